"""Requests that are refused: each with stock's code and text, and each without any effect.

Codes and texts are what stock etcd 3.5.1 answered to these same requests
(KVORUM_TEST_SERVER=<stock etcd> runs them against it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from kvorum.proto import rpc_pb2 as rpc
from tests.robustness.calls import DEADLINE_S, Calls, Status, status_of
from tests.servers import Server, start_server

INVALID_ARGUMENT = 3
NOT_FOUND = 5
RESOURCE_EXHAUSTED = 8
FAILED_PRECONDITION = 9
OUT_OF_RANGE = 11

NO_KEY = (INVALID_ARGUMENT, "etcdserver: key is not provided")
KEY_NOT_FOUND = (INVALID_ARGUMENT, "etcdserver: key not found")
NO_LEASE = (NOT_FOUND, "etcdserver: requested lease not found")
TOO_LARGE = (INVALID_ARGUMENT, "etcdserver: request is too large")
TOO_MANY_OPS = (INVALID_ARGUMENT, "etcdserver: too many operations in txn request")
DUPLICATE_KEY = (INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request")
COMPACTED = (OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted")
FUTURE = (OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision")

MAX_REQUEST_BYTES = 1_572_864
MAX_OPS = 128
LEASE = 77
UNKNOWN_LEASE = 4711
COMPACTED_AT = 6
# Ten puts after the first, then the compaction of revision 6.
REVISION = 12
FAR_REVISION = 10**12


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Keys, a lease, and a compaction: every refused request has something it could have harmed."""
    with start_server() as running:
        with Calls(running.target) as calls:
            calls.grant_call(rpc.LeaseGrantRequest(TTL=3600, ID=LEASE), timeout=DEADLINE_S)
            calls.put(b"leased", b"v", lease=LEASE)
            for n in range(10):
                calls.put(b"key%d" % n, b"value")
            calls.compact(COMPACTED_AT)
            assert calls.revision() == REVISION
        yield running


@pytest.fixture
def calls(server: Server) -> Iterator[Calls]:
    with Calls(server.target) as connection:
        yield connection


def everything(calls: Calls) -> tuple[int, list[tuple[bytes, bytes, int, int]]]:
    answer = calls.get(b"\0", b"\0")
    return answer.header.revision, [(k.key, k.value, k.mod_revision, k.lease) for k in answer.kvs]


def put_op(key: bytes, **fields: Any) -> Any:
    return rpc.RequestOp(request_put=rpc.PutRequest(key=key, **fields))


def delete_op(key: bytes, range_end: bytes = b"") -> Any:
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key, range_end=range_end))


def range_op(key: bytes, **fields: Any) -> Any:
    return rpc.RequestOp(request_range=rpc.RangeRequest(key=key, **fields))


def txn_op(**branches: Any) -> Any:
    return rpc.RequestOp(request_txn=rpc.TxnRequest(**branches))


def txn(calls: Calls, **branches: Any) -> Any:
    return calls.txn_call(rpc.TxnRequest(**branches), timeout=DEADLINE_S)


def delete(calls: Calls, key: bytes) -> Any:
    return calls.delete_call(rpc.DeleteRangeRequest(key=key), timeout=DEADLINE_S)


def grant(calls: Calls, **fields: int) -> Any:
    return calls.grant_call(rpc.LeaseGrantRequest(**fields), timeout=DEADLINE_S)


def revoke(calls: Calls, lease: int) -> Any:
    return calls.revoke_call(rpc.LeaseRevokeRequest(ID=lease), timeout=DEADLINE_S)


def compare(key: bytes) -> Any:
    return rpc.Compare(key=key, version=0)


def puts(count: int) -> list[Any]:
    return [put_op(b"new%d" % n) for n in range(count)]


BAD: dict[str, tuple[Callable[[Calls], Any], Status]] = {
    "put without a key": (lambda c: c.put(b"", b"v"), NO_KEY),
    "range without a key": (lambda c: c.get(b""), NO_KEY),
    "delete without a key": (lambda c: delete(c, b""), NO_KEY),
    "txn put without a key": (lambda c: txn(c, success=[put_op(b"new"), put_op(b"")]), NO_KEY),
    "txn range without a key": (lambda c: txn(c, failure=[range_op(b"")]), NO_KEY),
    "compare without a key": (
        lambda c: txn(c, compare=[compare(b"")], success=[put_op(b"new")]),
        NO_KEY,
    ),
    "txn with an empty operation": (
        lambda c: txn(c, success=[put_op(b"new"), rpc.RequestOp()]),
        KEY_NOT_FOUND,
    ),
    "ignore_value with a value": (
        lambda c: c.put(b"key1", b"v", ignore_value=True),
        (INVALID_ARGUMENT, "etcdserver: value is provided"),
    ),
    "ignore_value of a missing key": (
        lambda c: c.put(b"missing", ignore_value=True),
        KEY_NOT_FOUND,
    ),
    "ignore_lease with a lease": (
        lambda c: c.put(b"key1", b"v", lease=LEASE, ignore_lease=True),
        (INVALID_ARGUMENT, "etcdserver: lease is provided"),
    ),
    "put with an unknown lease": (lambda c: c.put(b"key1", b"v", lease=UNKNOWN_LEASE), NO_LEASE),
    "txn put with an unknown lease": (
        lambda c: txn(c, success=[put_op(b"key2"), put_op(b"key1", lease=UNKNOWN_LEASE)]),
        NO_LEASE,
    ),
    "revoke of an unknown lease": (lambda c: revoke(c, UNKNOWN_LEASE), NO_LEASE),
    "grant of a lease that exists": (
        lambda c: grant(c, TTL=100, ID=LEASE),
        (FAILED_PRECONDITION, "etcdserver: lease already exists"),
    ),
    "grant of a TTL beyond the limit": (
        lambda c: grant(c, TTL=9_000_000_001),
        (OUT_OF_RANGE, "etcdserver: too large lease TTL"),
    ),
    "request too large": (lambda c: c.put(b"new", b"x" * MAX_REQUEST_BYTES), TOO_LARGE),
    "request too large for the transport": (
        lambda c: c.put(b"a", b"x" * (2 << 20)),
        (RESOURCE_EXHAUSTED, "grpc: received message larger than max (2097160 vs. 2097152)"),
    ),
    "too many operations": (lambda c: txn(c, success=puts(MAX_OPS + 1)), TOO_MANY_OPS),
    "too many operations not taken": (lambda c: txn(c, failure=puts(MAX_OPS + 1)), TOO_MANY_OPS),
    "too many compares": (
        lambda c: txn(c, compare=[compare(b"key1")] * (MAX_OPS + 1), success=puts(1)),
        TOO_MANY_OPS,
    ),
    "too many operations inside": (
        lambda c: txn(c, success=[txn_op(success=puts(MAX_OPS))]),
        TOO_MANY_OPS,
    ),
    "one key put twice": (lambda c: txn(c, success=[*puts(3), put_op(b"new1")]), DUPLICATE_KEY),
    "one key put twice, not taken": (
        lambda c: txn(c, failure=[put_op(b"new"), put_op(b"new")]),
        DUPLICATE_KEY,
    ),
    "a key put and deleted": (
        lambda c: txn(c, success=[put_op(b"key1"), delete_op(b"key0", b"key2")]),
        DUPLICATE_KEY,
    ),
    "a key put twice over nesting": (
        lambda c: txn(c, success=[put_op(b"new"), txn_op(success=[put_op(b"new")])]),
        DUPLICATE_KEY,
    ),
    "range at a compacted revision": (
        lambda c: c.get(b"key1", revision=COMPACTED_AT - 1),
        COMPACTED,
    ),
    "range at a future revision": (lambda c: c.get(b"key1", revision=FAR_REVISION), FUTURE),
    "serializable range at a future revision": (
        lambda c: c.get(b"key1", revision=FAR_REVISION, serializable=True),
        FUTURE,
    ),
    "txn that reads a future revision": (
        lambda c: txn(c, success=[put_op(b"new"), range_op(b"key1", revision=FAR_REVISION)]),
        FUTURE,
    ),
    "txn that reads a compacted revision": (
        lambda c: txn(c, success=[put_op(b"new"), range_op(b"key1", revision=2)]),
        COMPACTED,
    ),
    "compaction of a compacted revision": (lambda c: c.compact(COMPACTED_AT), COMPACTED),
    "compaction of revision 0": (lambda c: c.compact(0), COMPACTED),
    "compaction of a future revision": (lambda c: c.compact(FAR_REVISION), FUTURE),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_refused_without_effect(calls: Calls, name: str) -> None:
    send, expected = BAD[name]
    before = everything(calls)
    with pytest.raises(grpc.RpcError) as refused:
        send(calls)
    assert status_of(refused.value) == expected
    assert everything(calls) == before
    assert before[0] == REVISION


def test_the_largest_transaction_is_accepted() -> None:
    """The limit itself is not over the limit: 128 operations in each branch, 128 compares."""
    with start_server() as fresh, Calls(fresh.target) as calls:
        full = {"compare": [compare(b"key1")] * MAX_OPS, "failure": puts(MAX_OPS)}
        answer = txn(calls, **full, success=puts(MAX_OPS))
        assert answer.succeeded
        assert len(answer.responses) == MAX_OPS
        assert calls.get(b"new", b"nex", count_only=True).count == MAX_OPS


def test_a_watch_of_a_compacted_revision_is_cancelled(calls: Calls) -> None:
    """No gRPC error: the watcher is announced, then cancelled with the revision to start from."""
    create = rpc.WatchCreateRequest(key=b"key1", start_revision=2)
    stream = calls.watch(create)
    created, cancelled = next(stream), next(stream)
    assert created.created
    assert not created.canceled
    assert cancelled.canceled
    assert cancelled.compact_revision == COMPACTED_AT
    assert not cancelled.events
