"""Transactions. Random ones are compared with stock in tests/interop/test_stock_hash.py."""

from __future__ import annotations

from typing import Any

import pytest

from kvorum.errors import CompactedError, FutureRevisionError, KeyNotFoundError, LeaseNotFoundError
from kvorum.mvcc.checks import check_txn
from kvorum.mvcc.txn import is_serializable
from kvorum.proto.rpc_pb2 import Compare, RequestOp, TxnRequest
from tests.unit.mvcc.stores import Client, delete_op, put_op, range_op, txn_op

EQUAL, GREATER, LESS, NOT_EQUAL = range(4)
VERSION, CREATE, MOD, VALUE, LEASE = range(5)


def holds(client: Client, key: bytes, target: int, result: int, **fields: Any) -> bool:
    compare = Compare(key=key, target=target, result=result, **fields)
    return client.txn(compare=[compare]).succeeded


def test_an_empty_txn_succeeds_and_changes_nothing(client: Client) -> None:
    response = client.txn()
    assert response.succeeded
    assert not response.responses
    assert client.store.revision == 1


@pytest.mark.parametrize(
    ("target", "field", "actual"),
    [
        (VERSION, "version", 2),
        (CREATE, "create_revision", 2),
        (MOD, "mod_revision", 3),
        (LEASE, "lease", 7),
    ],
)
def test_compares_of_numbers(client: Client, target: int, field: str, actual: int) -> None:
    client.put(b"a", b"m")
    client.put(b"a", b"m", lease=7)
    for wanted in (actual - 1, actual, actual + 1):
        value = {field: wanted}
        assert holds(client, b"a", target, EQUAL, **value) == (actual == wanted)
        assert holds(client, b"a", target, GREATER, **value) == (actual > wanted)
        assert holds(client, b"a", target, LESS, **value) == (actual < wanted)
        assert holds(client, b"a", target, NOT_EQUAL, **value) == (actual != wanted)


def test_compares_of_values_are_by_bytes(client: Client) -> None:
    client.put(b"a", b"m\x80")
    for wanted in (b"", b"m", b"m\x80", b"m\xff", b"n"):
        assert holds(client, b"a", VALUE, EQUAL, value=wanted) == (wanted == b"m\x80")
        assert holds(client, b"a", VALUE, GREATER, value=wanted) == (wanted < b"m\x80")
        assert holds(client, b"a", VALUE, LESS, value=wanted) == (wanted > b"m\x80")
        assert holds(client, b"a", VALUE, NOT_EQUAL, value=wanted) == (wanted != b"m\x80")


def test_a_missing_key_has_zeros_but_no_value(client: Client) -> None:
    for target, field in ((VERSION, "version"), (CREATE, "create_revision"), (LEASE, "lease")):
        assert holds(client, b"x", target, EQUAL, **{field: 0})
        assert not holds(client, b"x", target, GREATER, **{field: 0})
        assert holds(client, b"x", target, LESS, **{field: 1})
    for result in range(4):
        assert not holds(client, b"x", VALUE, result, value=b"")
        assert not holds(client, b"x", VALUE, result, value=b"z")


def test_a_compare_of_a_range_is_of_every_key_in_it(client: Client) -> None:
    client.put(b"a")
    client.put(b"b")
    client.put(b"b")
    assert holds(client, b"a", VERSION, GREATER, version=0, range_end=b"\0")
    assert not holds(client, b"a", VERSION, EQUAL, version=1, range_end=b"\0")
    assert holds(client, b"a", VERSION, EQUAL, version=1, range_end=b"b")
    # No key in it: as one that is missing.
    assert holds(client, b"x", VERSION, EQUAL, version=0, range_end=b"z")
    assert not holds(client, b"x", VALUE, NOT_EQUAL, value=b"v", range_end=b"z")


def test_a_compare_with_the_value_of_another_target_compares_with_zero(client: Client) -> None:
    client.put(b"a", b"v")
    assert not holds(client, b"a", VERSION, EQUAL, value=b"v")
    assert holds(client, b"a", VERSION, GREATER, value=b"v")
    assert holds(client, b"a", VALUE, GREATER, version=5)


def test_a_compare_outside_of_the_enums(client: Client) -> None:
    client.put(b"a", b"v")
    assert holds(client, b"a", 9, EQUAL, version=5)
    assert not holds(client, b"a", 9, NOT_EQUAL, version=5)
    assert holds(client, b"a", VERSION, 9, version=5)


def test_all_compares_must_hold(client: Client) -> None:
    client.put(b"a")
    yes = Compare(key=b"a", target=VERSION, version=1)
    no = Compare(key=b"a", target=VERSION, version=2)
    response = client.txn(put_op(b"yes"), compare=[yes, no], failure=[put_op(b"no")])
    assert not response.succeeded
    assert client.keys(b"\0", b"\0") == [b"a", b"no"]


def test_operations_see_what_earlier_ones_did(client: Client) -> None:
    response = client.txn(
        range_op(b"a"),
        put_op(b"a", b"1"),
        range_op(b"a"),
        delete_op(b"x"),
        txn_op(put_op(b"b", b"2")),
        range_op(b"a", b"c", count_only=True),
    )
    before, put, after, deleted, nested, count = response.responses
    assert (before.response_range.header.revision, before.response_range.count) == (1, 0)
    assert put.response_put.header.revision == 2
    assert after.response_range.header.revision == 2
    assert after.response_range.kvs[0].mod_revision == 2
    assert deleted.response_delete_range.header.revision == 2
    assert nested.response_txn.HasField("header")
    assert nested.response_txn.header.revision == 0
    assert nested.response_txn.succeeded
    assert nested.response_txn.responses[0].response_put.header.revision == 2
    assert count.response_range.count == 2
    assert client.store.revision == 2


def test_sub_headers_hold_the_revision_alone(client: Client) -> None:
    header = client.txn(put_op(b"a")).responses[0].response_put.header
    assert [field.name for field, _ in header.ListFields()] == ["revision"]


def test_a_nested_compare_looks_at_what_was_before_the_txn(client: Client) -> None:
    exists = Compare(key=b"a", target=VERSION, result=GREATER, version=0)
    response = client.txn(
        put_op(b"a"),
        txn_op(range_op(b"a"), compare=[exists], failure=[delete_op(b"a")]),
    )
    nested = response.responses[1].response_txn
    assert not nested.succeeded
    assert nested.responses[0].response_delete_range.deleted == 1


def test_an_older_revision_inside_of_a_txn_does_not_see_its_writes(client: Client) -> None:
    client.put(b"a", b"old")
    response = client.txn(put_op(b"a", b"new"), range_op(b"a", revision=2), range_op(b"a"))
    assert response.responses[1].response_range.kvs[0].value == b"old"
    assert response.responses[2].response_range.kvs[0].value == b"new"


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        (range_op(b"a", revision=4), FutureRevisionError),
        (range_op(b"a", revision=1), CompactedError),
        (range_op(b"a", revision=-1), CompactedError),
        (put_op(b"b", lease=99), LeaseNotFoundError),
        (put_op(b"b", ignore_value=True), KeyNotFoundError),
        (put_op(b"b", ignore_lease=True), KeyNotFoundError),
        (put_op(b"b", ignore_value=True, lease=99), KeyNotFoundError),
    ],
)
def test_a_txn_that_cannot_run_whole_is_refused_whole(
    client: Client, operation: RequestOp, error: type[Exception]
) -> None:
    client.put(b"a")
    client.put(b"a")
    client.compact(2)
    for operations in ([put_op(b"z"), operation], [put_op(b"z"), txn_op(operation)]):
        with pytest.raises(error):
            client.txn(*operations)
        assert client.store.revision == 3
        assert client.keys(b"\0", b"\0") == [b"a"]
    # What the other branch would do is not looked at.
    assert client.txn(put_op(b"z"), failure=[operation]).succeeded


def test_puts_are_checked_before_ranges(client: Client) -> None:
    with pytest.raises(LeaseNotFoundError):
        client.txn(range_op(b"a", revision=99), put_op(b"b", lease=99))


def test_a_negative_revision_is_the_newest_until_there_was_a_compaction(client: Client) -> None:
    client.put(b"a")
    assert client.txn(range_op(b"a", revision=-1)).responses[0].response_range.count == 1
    with pytest.raises(CompactedError):
        client.txn(range_op(b"a", revision=-2))


def test_quirk_a_put_deleted_from_a_key_on_in_one_txn(client: Client) -> None:
    client.put(b"b")
    response = client.txn(put_op(b"c"), delete_op(b"a", b"\0"))
    assert response.responses[1].response_delete_range.deleted == 2
    assert client.keys(b"\0", b"\0") == []
    client.restart()
    assert client.keys(b"\0", b"\0") == []


def test_quirk_a_key_deleted_and_put_again_in_one_txn(client: Client) -> None:
    client.put(b"a", b"1")
    client.txn(delete_op(b"a", b"\0"), put_op(b"a", b"2"))
    kv = client.get(b"a")
    assert kv is not None
    assert (kv.create_revision, kv.version, kv.value) == (3, 1, b"2")


def test_nothing_can_be_kept_of_a_key_that_the_txn_has_deleted(client: Client) -> None:
    """Stock panics here."""
    client.put(b"a", b"1")
    for nested in (False, True):
        deletion = delete_op(b"a", b"\0")
        with pytest.raises(KeyNotFoundError):
            client.txn(txn_op(deletion) if nested else deletion, put_op(b"a", ignore_value=True))
    assert client.store.revision == 2


def test_an_operation_that_is_none_gets_a_response_that_is_none(client: Client) -> None:
    """It cannot come from a client, but an entry of the log must have an answer."""
    response = client.txn(RequestOp(), put_op(b"a"))
    assert response.responses[0].WhichOneof("response") is None
    assert response.responses[1].response_put.header.revision == 2


def test_a_txn_of_ranges_alone_does_not_write() -> None:
    reads = TxnRequest(success=[range_op(b"a", serializable=True)], failure=[range_op(b"b")])
    assert not check_txn(reads)
    assert not is_serializable(reads)
    reads.failure[0].request_range.serializable = True
    assert is_serializable(reads)
    assert check_txn(TxnRequest(failure=[put_op(b"a")]))
    assert check_txn(TxnRequest(success=[txn_op(range_op(b"a"))]))
    assert not check_txn(TxnRequest())


@pytest.mark.parametrize("limit", [2**63 - 1, 2**62, 3])
def test_a_range_has_no_limit_where_nothing_reaches_it(client: Client, limit: int) -> None:
    """Stock adds one to the limit of such a range. A number that cannot be one must not end every
    member that finds it in its log."""
    for key in (b"a", b"b"):
        client.put(key)
    operation = range_op(b"a", b"\0", limit=limit, sort_target=1)
    response = client.txn(put_op(b"c"), operation)
    found = response.responses[1].response_range
    assert [kv.key for kv in found.kvs] == [b"a", b"b", b"c"]
    assert (found.count, found.more) == (3, False)
