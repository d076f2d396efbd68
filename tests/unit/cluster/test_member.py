from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.cluster.member import Member
from kvorum.errors import DecodeError

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


def test_a_record_has_gos_key_order_and_leaves_empty_fields_out() -> None:
    member = Member(id=7, peer_urls=("http://a:1",))
    assert member.encode() == b'{"id":7,"peerURLs":["http://a:1"]}'


def test_a_full_record_is_stocks() -> None:
    member = Member(
        id=2**64 - 1,
        peer_urls=("http://a:1",),
        is_learner=True,
        name="m&m",
        client_urls=("http://a:2",),
    )
    assert member.encode() == (
        b'{"id":18446744073709551615,"peerURLs":["http://a:1"],"isLearner":true,'
        b'"name":"m\\u0026m","clientURLs":["http://a:2"]}'
    )


def test_unknown_keys_and_nulls_of_other_versions_are_left_alone() -> None:
    assert Member.decode(b'{"id":1,"peerURLs":null,"future":{}}') == Member(id=1)


def test_a_member_is_started_once_it_has_a_name() -> None:
    assert not Member(id=1).is_started
    assert Member(id=1, name="a").is_started


@given(
    member_id=st.integers(0, 2**64 - 1),
    urls=st.lists(_TEXT, max_size=3),
    name=_TEXT,
    is_learner=st.booleans(),
)
def test_a_record_reads_back(member_id: int, urls: list[str], name: str, is_learner: bool) -> None:
    member = Member(id=member_id, peer_urls=tuple(urls), name=name, is_learner=is_learner)
    assert Member.decode(member.encode()) == member


@pytest.mark.parametrize(
    "data",
    [
        b'{"id":-1}',
        b'{"id":1.5}',
        b'{"id":true}',
        b'{"id":18446744073709551616}',
        b'{"id":1,"peerURLs":"x"}',
        b'{"id":1,"peerURLs":[1]}',
        b'{"id":1,"name":3}',
        b'{"id":1,"isLearner":"yes"}',
    ],
)
def test_a_record_with_a_wrong_type_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError, match="member record"):
        Member.decode(data)
