from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.errors import DecodeError
from kvorum.storage import buckets

i64 = st.integers(-(2**63), 2**63 - 1)
revisions = st.integers(0, 2**63 - 1)


def test_the_buckets_are_etcds() -> None:
    assert [bucket.name.decode() for bucket in buckets.BUCKETS] == [
        "alarm",
        "auth",
        "authRoles",
        "authUsers",
        "cluster",
        "key",
        "lease",
        "members",
        "members_removed",
        "meta",
    ]


def test_revision_keys_are_written_as_etcd_writes_them() -> None:
    assert buckets.revision_key(2, 0).hex() == "0000000000000002" + "5f" + "0000000000000000"
    assert (
        buckets.tombstone_key(258, 1).hex() == "0000000000000102" + "5f" + "0000000000000001" + "74"
    )


@given(revisions, revisions)
def test_a_revision_key_is_read_as_it_was_written(main: int, sub: int) -> None:
    assert buckets.parse_revision_key(buckets.revision_key(main, sub)) == (main, sub, False)
    assert buckets.parse_revision_key(buckets.tombstone_key(main, sub)) == (main, sub, True)


@given(st.tuples(revisions, revisions), st.tuples(revisions, revisions))
def test_revision_keys_are_in_the_order_of_revisions(
    one: tuple[int, int], other: tuple[int, int]
) -> None:
    assert (buckets.revision_key(*one) < buckets.revision_key(*other)) == (one < other)


@pytest.mark.parametrize(
    "key", [b"", b"0" * 16, b"0" * 17, b"0" * 18, buckets.revision_key(1, 1) + b"x", b"0" * 19]
)
def test_what_is_no_revision_is_refused(key: bytes) -> None:
    with pytest.raises(DecodeError, match="is not a revision"):
        buckets.parse_revision_key(key)


@given(i64)
def test_a_lease_key_is_read_as_it_was_written(lease_id: int) -> None:
    assert buckets.parse_lease_key(buckets.lease_key(lease_id)) == lease_id


@given(st.integers(0, 2**64 - 1))
def test_a_number_is_read_as_it_was_written(value: int) -> None:
    assert buckets.decode_u64(buckets.encode_u64(value)) == value


def test_numbers_of_another_length_are_refused() -> None:
    with pytest.raises(DecodeError, match="64-bit"):
        buckets.decode_u64(b"\0" * 7)
    with pytest.raises(DecodeError, match="lease id"):
        buckets.parse_lease_key(b"\0" * 9)


def test_member_keys_have_no_leading_zeros() -> None:
    assert buckets.member_key(0xABC) == b"abc"
