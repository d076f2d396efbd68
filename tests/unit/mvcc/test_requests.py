"""One request each. Random ones, with every option at once, are in test_model.py."""

from __future__ import annotations

import pytest

from kvorum.errors import KeyNotFoundError, LeaseNotFoundError
from kvorum.mvcc import requests
from kvorum.proto.rpc_pb2 import (
    CompactionRequest,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    RangeResponse,
)
from tests.unit.mvcc.stores import Client

ALL = (b"\0", b"\0")


def test_a_put_answers_nothing_but_the_header(client: Client) -> None:
    assert requests.apply_put(client.store, PutRequest(key=b"a", value=b"1")) == b""
    assert client.store.revision == 2


def test_a_put_of_the_same_value_still_makes_a_revision(client: Client) -> None:
    client.put(b"a", b"1")
    client.put(b"a", b"1")
    kv = client.get(b"a")
    assert kv is not None
    assert (kv.create_revision, kv.mod_revision, kv.version) == (2, 3, 2)


def test_a_put_gives_the_previous_value_back(client: Client) -> None:
    assert not client.put(b"a", b"1", prev_kv=True).HasField("prev_kv")
    previous = client.get(b"a")
    assert client.put(b"a", b"2", prev_kv=True).prev_kv == previous


def test_a_put_may_keep_the_value_or_the_lease(client: Client) -> None:
    client.put(b"a", b"1", lease=7)
    client.put(b"a", lease=8, ignore_value=True)
    kv = client.get(b"a")
    assert kv is not None
    assert (kv.value, kv.lease) == (b"1", 8)
    client.put(b"a", b"2", ignore_lease=True)
    kv = client.get(b"a")
    assert kv is not None
    assert (kv.value, kv.lease, kv.version) == (b"2", 8, 3)


@pytest.mark.parametrize("option", ["ignore_value", "ignore_lease"])
def test_nothing_can_be_kept_of_a_key_that_is_not_there(client: Client, option: str) -> None:
    with pytest.raises(KeyNotFoundError):
        client.put(b"a", **{option: True})
    assert client.store.revision == 1


def test_a_put_to_an_unknown_lease_is_refused_before_anything_else(client: Client) -> None:
    with pytest.raises(LeaseNotFoundError):
        client.put(b"a", lease=99, ignore_value=True)
    with pytest.raises(LeaseNotFoundError):
        client.put(b"a", lease=-1)
    assert client.store.revision == 1


def fill(client: Client) -> None:
    """Keys a to e in another order, b twice. Revisions 2 to 7."""
    for key in (b"c", b"a", b"e", b"b", b"d", b"b"):
        client.put(key, b"%d" % (100 - client.store.revision))


def test_range_ends(client: Client) -> None:
    fill(client)
    assert client.keys(b"b") == [b"b"]
    assert client.keys(b"b", b"d") == [b"b", b"c"]
    assert client.keys(b"c", b"\0") == [b"c", b"d", b"e"]
    assert client.keys(*ALL) == [b"a", b"b", b"c", b"d", b"e"]
    assert client.keys(b"d", b"b") == []
    assert client.keys(b"b\0", b"c") == []
    assert client.keys(b"x") == []


def test_a_limit_leaves_the_count_as_it_is(client: Client) -> None:
    fill(client)
    response = client.range(*ALL, limit=2)
    assert [kv.key for kv in response.kvs] == [b"a", b"b"]
    assert (response.more, response.count) == (True, 5)
    response = client.range(*ALL, limit=5)
    assert (len(response.kvs), response.more, response.count) == (5, False, 5)
    assert len(client.keys(*ALL, limit=-1)) == 5


def test_count_only_and_keys_only(client: Client) -> None:
    fill(client)
    assert client.range(*ALL, count_only=True, limit=2) == RangeResponse(count=5)
    assert client.range(b"x", b"y", count_only=True) == RangeResponse()
    for response in (client.range(*ALL, keys_only=True), client.range(b"b", keys_only=True)):
        for kv in response.kvs:
            whole = client.get(kv.key)
            assert whole is not None
            whole.ClearField("value")
            assert kv == whole


def test_sorting(client: Client) -> None:
    fill(client)
    down = {"sort_order": RangeRequest.DESCEND}
    assert client.keys(*ALL, **down) == [b"e", b"d", b"c", b"b", b"a"]
    assert client.keys(*ALL, **down, limit=2) == [b"e", b"d"]
    assert client.keys(*ALL, sort_target=RangeRequest.CREATE) == [b"c", b"a", b"e", b"b", b"d"]
    assert client.keys(*ALL, sort_target=RangeRequest.MOD) == [b"c", b"a", b"e", b"d", b"b"]
    assert client.keys(*ALL, sort_target=RangeRequest.VALUE, **down) == [
        b"c", b"a", b"e", b"d", b"b",
    ]  # fmt: skip
    assert client.keys(*ALL, sort_target=RangeRequest.VERSION, **down)[0] == b"b"


def test_a_limit_with_a_target_but_no_order_cuts_before_it_sorts(client: Client) -> None:
    fill(client)
    by_creation = {"sort_target": RangeRequest.CREATE, "limit": 2}
    assert client.keys(*ALL, **by_creation) == [b"c", b"a"]
    assert client.keys(b"a", b"c", **by_creation) == [b"a", b"b"]
    # Of d and e, and c behind the limit, the first two: as stock does.
    assert client.keys(b"c", b"\0", **by_creation) == [b"c", b"e"]
    ordered = client.keys(*ALL, **by_creation, sort_order=RangeRequest.DESCEND)
    assert ordered == [b"d", b"b"]


def test_filters_bound_revisions_but_not_the_count(client: Client) -> None:
    fill(client)
    assert client.keys(*ALL, min_mod_revision=6) == [b"b", b"d"]
    assert client.keys(*ALL, max_mod_revision=3) == [b"a", b"c"]
    assert client.keys(*ALL, min_create_revision=4, max_create_revision=5) == [b"b", b"e"]
    response = client.range(*ALL, min_mod_revision=3, limit=1)
    assert ([kv.key for kv in response.kvs], response.more, response.count) == ([b"a"], True, 5)
    assert client.range(b"a", max_mod_revision=2) == RangeResponse(count=1)


def test_a_range_at_an_older_revision(client: Client) -> None:
    fill(client)
    client.delete(b"c")
    assert client.keys(*ALL, revision=4) == [b"a", b"c", b"e"]
    assert client.keys(*ALL, revision=7, limit=3) == [b"a", b"b", b"c"]
    assert client.range(*ALL, revision=3, count_only=True).count == 2
    assert client.keys(*ALL, revision=-1) == [b"a", b"b", b"d", b"e"]
    kv = client.get(b"b", revision=6)
    assert kv is not None
    assert kv.version == 1


def test_a_delete_tells_how_many_and_what(client: Client) -> None:
    fill(client)
    held = list(client.range(b"a", b"d").kvs)
    response = client.delete(b"a", b"d", prev_kv=True)
    assert response.deleted == 3
    assert list(response.prev_kvs) == held
    assert client.delete(b"d").deleted == 1
    assert client.keys(*ALL) == [b"e"]


def test_a_delete_of_nothing_changes_nothing(client: Client) -> None:
    request = DeleteRangeRequest(key=b"a", range_end=b"b", prev_kv=True)
    assert requests.apply_delete_range(client.store, request) == b""
    assert client.store.revision == 1


def test_a_delete_of_very_many_keys(client: Client) -> None:
    txn = client.store.begin()
    for n in range(2000):
        txn.put(b"%04d" % n, b"")
    txn.end()
    assert client.delete(b"0500", b"1500").deleted == 1000
    assert client.range(*ALL, count_only=True).count == 1000
    assert client.keys(b"0498", b"1502") == [b"0498", b"0499", b"1500", b"1501"]
    assert client.range(*ALL, count_only=True, revision=2).count == 2000


def test_a_compaction_request_starts_a_compaction(client: Client) -> None:
    fill(client)
    compaction = requests.apply_compaction(client.store, CompactionRequest(revision=4))
    assert not compaction.done
    client.finish_compactions()
    assert compaction.done


def test_a_large_list_is_answered_whole(client: Client) -> None:
    txn = client.store.begin()
    for n in range(3000):
        txn.put(b"%04d" % n, b"v" * (n % 700))
    txn.end()
    client.backend.commit()
    response = client.range(*ALL)
    assert [len(kv.value) for kv in response.kvs] == [n % 700 for n in range(3000)]
    assert not response.more


def test_the_header_inside_of_a_txn_holds_the_revision_alone() -> None:
    encoded = requests.revision_header(20_000)
    assert RangeResponse.FromString(encoded).header.revision == 20_000
    assert encoded == RangeResponse(header={"revision": 20_000}).SerializeToString()
