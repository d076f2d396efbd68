"""Transactions: compares, then the operations of one branch, under one revision.

Which branch every transaction takes, those nested in it included, is decided before the first
change: a nested compare does not see what the transaction around it puts. Then the operations that
will run are checked, puts before ranges, as stock does; only then is anything changed, so a
transaction is refused whole or runs whole.

Source: shared facts, client.md section 6; order of checks, when nested compares look, and the
headers inside of a response as stock 3.5.1 and 3.4.23 answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kvorum.errors import CompactedError, FutureRevisionError, KeyNotFoundError, LeaseNotFoundError
from kvorum.mvcc.intervals import IntervalSet
from kvorum.mvcc.keyvalue import value_of
from kvorum.mvcc.requests import (
    delete_range_in,
    put_in,
    range_at,
    range_bound,
    revision_header,
)
from kvorum.mvcc.revision import main_of
from kvorum.mvcc.store import Store
from kvorum.mvcc.write import WriteTxn
from kvorum.proto.rpc_pb2 import (
    Compare,
    PutRequest,
    RangeRequest,
    TxnRequest,
)
from kvorum.proto.wire import varint

EQUAL, GREATER, LESS, NOT_EQUAL = range(4)
BY_VERSION, BY_CREATE, BY_MOD, BY_VALUE, BY_LEASE = range(5)

_PUT, _RANGE = "request_put", "request_range"
_DELETE_RANGE, _TXN = "request_delete_range", "request_txn"

_SUCCEEDED = b"\x10\x01"
_RESPONSES = b"\x1a"
# A nested transaction's response has a header with nothing in it.
_EMPTY_HEADER = b"\x0a\x00"


def apply_txn(store: Store, request: TxnRequest) -> bytes:
    """Run a transaction. Returns the body of its response, without the header.

    Raises:
        KeyNotFoundError: ignore_value or ignore_lease of a key that is not there.
        LeaseNotFoundError: a put names a lease that does not exist.
        FutureRevisionError, CompactedError: a range asks for a revision that cannot be read.
    """
    plan = _Plan(store, request)
    plan.check(store)
    store.counters.txns += len(plan.steps) > 1
    txn = store.begin()
    body = _run(store, txn, plan)
    txn.end()
    return body


def is_serializable(request: TxnRequest) -> bool:
    """Whether every range of a transaction that only reads is satisfied with this member's data."""
    return all(
        operation.request_range.serializable
        for branch in (request.success, request.failure)
        for operation in branch
        if operation.HasField("request_range")
    )


class _Plan:
    """Which branch a transaction takes, and the plans of the transactions nested in that branch."""

    __slots__ = ("steps", "succeeded")

    def __init__(self, store: Store, request: TxnRequest) -> None:
        self.succeeded = True
        for compare in request.compare:
            if not _holds(store, compare):
                self.succeeded = False
                break
        # Kind and request of each operation; a plan stands for a nested transaction.
        self.steps: list[tuple[str | None, Any]] = []
        for operation in request.success if self.succeeded else request.failure:
            kind = operation.WhichOneof("request")
            if kind == _TXN:
                self.steps.append((kind, _Plan(store, operation.request_txn)))
            else:
                self.steps.append((kind, kind and getattr(operation, kind)))

    def walk(self) -> Iterator[tuple[str | None, Any]]:
        """The operations that will run, in the order in which they will."""
        for step in self.steps:
            if step[0] == _TXN:
                yield from step[1].walk()
            else:
                yield step

    def check(self, store: Store) -> None:
        """Refuse what cannot run; nothing has been changed yet."""
        if len(self.steps) == 1:
            # As kube-apiserver writes: nothing to set up for.
            kind, request = self.steps[0]
            if kind == _PUT:
                _check_put(store, request, ())
                return
            if kind == _RANGE:
                _check_range(store, request)
                return
        deleted = IntervalSet()
        ranges = []
        for kind, request in self.walk():
            if kind == _PUT:
                _check_put(store, request, deleted)
            elif kind == _RANGE:
                ranges.append(request)
            elif kind == _DELETE_RANGE:
                end = range_bound(request.range_end)
                deleted.add(request.key, request.key + b"\0" if end is None else end or None)
        for request in ranges:
            _check_range(store, request)


def _check_put(store: Store, request: PutRequest, deleted: IntervalSet | tuple[()]) -> None:
    key = request.key
    # A key can be deleted before it is put in one transaction (see the quirks in `checks`). Stock
    # looks at the data before the transaction alone, and panics when the key is gone.
    if (request.ignore_value or request.ignore_lease) and (
        key in deleted or not store.index.count(key, None)
    ):
        raise KeyNotFoundError
    if request.lease and not store.lessor.exists(request.lease):
        raise LeaseNotFoundError
    if deleted:
        deleted.remove(key)


def _check_range(store: Store, request: RangeRequest) -> None:
    # Other than for a range by itself, a revision below 0 is looked at like any other.
    if request.revision > store.revision:
        raise FutureRevisionError
    if request.revision and request.revision < store.compact_revision:
        raise CompactedError


# Compares.


def _holds(store: Store, compare: Compare) -> bool:
    """Whether every key of a compare's range is as it says. No key at all is one missing key."""
    keys = store.index.live_keys(compare.key, range_bound(compare.range_end))
    if not keys:
        if compare.target == BY_VALUE:
            return False
        return _is(compare.result, 0, _wanted(compare))
    if len(keys) == 1:
        return _is(compare.result, _actual(store, keys[0], compare.target), _wanted(compare))
    wanted = _wanted(compare)
    return all(_is(compare.result, _actual(store, key, compare.target), wanted) for key in keys)


def _wanted(compare: Compare) -> int | bytes | None:
    """What a compare names: 0 or b"" when that is for another target; None: it has no target."""
    target = compare.target
    if target == BY_VERSION:
        return compare.version
    if target == BY_CREATE:
        return compare.create_revision
    if target == BY_MOD:
        return compare.mod_revision
    if target == BY_VALUE:
        return compare.value
    if target == BY_LEASE:
        return compare.lease
    return None


def _actual(store: Store, key: bytes, target: int) -> int | bytes:
    """What a key that is alive has; from the index alone, unless its value is asked for."""
    row, create, version, _, _ = store.index.records[key]
    if target == BY_VERSION:
        return version
    if target == BY_CREATE:
        return create
    if target == BY_MOD:
        return main_of(row)
    if target == BY_VALUE:
        return value_of(store.value(row))
    return store.leases.get(key, 0)


def _is(result: int, actual: int | bytes, wanted: int | bytes | None) -> bool:
    """A target outside of its enum is equal to anything, a result outside of its enum holds."""
    if wanted is None:
        return result not in (GREATER, LESS, NOT_EQUAL)
    if result == EQUAL:
        return actual == wanted
    if result == NOT_EQUAL:
        return actual != wanted
    if result == GREATER:
        return actual > wanted  # type: ignore[operator]
    if result == LESS:
        return actual < wanted  # type: ignore[operator]
    return True


# Operations.


def _run(store: Store, txn: WriteTxn, plan: _Plan) -> bytes:
    """Run the operations of a plan; returns the body of the response."""
    parts = [_SUCCEEDED] if plan.succeeded else []
    for kind, request in plan.steps:
        if kind == _PUT:
            body = put_in(store, txn, request)
            tag, response = b"\x12", revision_header(txn.revision) + body
        elif kind == _RANGE:
            body = range_at(store, request, txn.revision)
            tag, response = b"\x0a", revision_header(txn.revision) + body
        elif kind == _DELETE_RANGE:
            body = delete_range_in(store, txn, request)
            tag, response = b"\x1a", revision_header(txn.revision) + body
        elif kind == _TXN:
            tag, response = b"\x22", _EMPTY_HEADER + _run(store, txn, request)
        else:
            # `checks` refuses an operation that is none; one that another member let into the log
            # gets a response that is none.
            parts += (_RESPONSES, b"\0")
            continue
        size = varint(len(response))
        parts += (_RESPONSES, varint(len(tag) + len(size) + len(response)), tag, size, response)
    return b"".join(parts)
