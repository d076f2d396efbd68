"""Ids, against values that stock etcd computed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvorum.cluster.ids import (
    RequestIds,
    added_member_id,
    bootstrap_member_id,
    cluster_id,
    hex_id,
)


def test_the_default_member_and_cluster_have_stocks_well_known_ids() -> None:
    member = bootstrap_member_id(["http://localhost:2380"], "etcd-cluster")
    assert hex_id(member) == "8e9e05c52164694d"
    assert hex_id(cluster_id([member])) == "cdf818194e3a8c32"


def test_a_member_on_two_urls_has_the_id_that_stock_3_5_1_logged() -> None:
    urls = ["http://127.0.0.1:45972", "http://127.0.0.1:45971"]
    member = bootstrap_member_id(urls, "etcd-cluster")
    assert hex_id(member) == "a05418c58a7bfc4"  # no leading zero
    assert hex_id(cluster_id([member])) == "73727a64d445eabb"


def test_the_order_of_urls_and_members_does_not_matter() -> None:
    assert bootstrap_member_id(["b", "a"], "t") == bootstrap_member_id(["a", "b"], "t")
    assert cluster_id([3, 1, 2]) == cluster_id([1, 2, 3])


def test_another_token_gives_another_member() -> None:
    urls = ["http://localhost:2380"]
    assert bootstrap_member_id(urls, "one") != bootstrap_member_id(urls, "two")


def test_a_member_added_later_is_told_apart_by_the_second_it_was_added() -> None:
    urls = ["http://localhost:2380"]
    assert added_member_id(urls, 1_700_000_000) != added_member_id(urls, 1_700_000_001)
    assert added_member_id(urls, 1) == bootstrap_member_id(urls, "1")


@given(member=st.integers(0, 2**64 - 1), unix_ms=st.integers(0, 2**63))
def test_request_ids_of_a_member_start_with_its_low_bits_and_do_not_repeat(
    member: int, unix_ms: int
) -> None:
    ids = RequestIds(member, unix_ms)
    made = [ids.next() for _ in range(600)]
    assert len(set(made)) == len(made)
    assert all(0 < n < 2**64 and n >> 48 == member & 0xFFFF for n in made)


def test_a_restart_one_millisecond_later_goes_on_above_256_requests() -> None:
    before, after = RequestIds(7, 1_000), RequestIds(7, 1_001)
    last = [before.next() for _ in range(256)][-1]
    assert after.next() > last


def test_zero_is_never_given_out() -> None:
    ids = RequestIds(0, 2**40 - 1)
    made = [ids.next() for _ in range(300)]
    assert 0 not in made
    assert made[-1] < made[0]  # the counter has wrapped around
