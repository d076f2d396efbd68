"""Transactions: comparisons, and what is done when they all hold, or when one does not.

await client.kv.txn().when(
    compare_version(b"lock", "=", 0)
).then(
    op_put(b"lock", b"me"),
).orelse(
    op_get(b"lock"),
).commit()
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Literal, Protocol

from kvorum.client.call import DEFAULT, Timeout
from kvorum.proto.rpc_pb2 import (
    Compare,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    TxnRequest,
    TxnResponse,
)

Relation = Literal["=", "!=", "<", ">"]

RELATIONS: dict[Relation, Compare.CompareResult] = {
    "=": Compare.EQUAL,
    "!=": Compare.NOT_EQUAL,
    "<": Compare.LESS,
    ">": Compare.GREATER,
}


def compare_version(
    key: bytes, relation: Relation, version: int, range_end: bytes = b""
) -> Compare:
    """Number of writes since the key was created; 0 for a key that does not exist."""
    return Compare(
        result=RELATIONS[relation],
        target=Compare.VERSION,
        key=key,
        range_end=range_end,
        version=version,
    )


def compare_create(
    key: bytes, relation: Relation, revision: int, range_end: bytes = b""
) -> Compare:
    """Revision that created the key; 0 for a key that does not exist."""
    return Compare(
        result=RELATIONS[relation],
        target=Compare.CREATE,
        key=key,
        range_end=range_end,
        create_revision=revision,
    )


def compare_mod(key: bytes, relation: Relation, revision: int, range_end: bytes = b"") -> Compare:
    """Revision of the last write to the key; 0 for a key that does not exist."""
    return Compare(
        result=RELATIONS[relation],
        target=Compare.MOD,
        key=key,
        range_end=range_end,
        mod_revision=revision,
    )


def compare_value(key: bytes, relation: Relation, value: bytes, range_end: bytes = b"") -> Compare:
    """Value of the key, byte by byte. Never true for a key that does not exist."""
    return Compare(
        result=RELATIONS[relation],
        target=Compare.VALUE,
        key=key,
        range_end=range_end,
        value=value,
    )


def compare_lease(key: bytes, relation: Relation, lease: int, range_end: bytes = b"") -> Compare:
    """Lease of the key; 0 for none."""
    return Compare(
        result=RELATIONS[relation],
        target=Compare.LEASE,
        key=key,
        range_end=range_end,
        lease=lease,
    )


def op_get(
    key: bytes, range_end: bytes = b"", *, limit: int = 0, keys_only: bool = False
) -> RequestOp:
    """Read keys; for every other option put a RangeRequest into a RequestOp."""
    request = RangeRequest(key=key, range_end=range_end, limit=limit, keys_only=keys_only)
    return RequestOp(request_range=request)


def op_put(key: bytes, value: bytes, *, lease: int = 0, prev_kv: bool = False) -> RequestOp:
    """Write a key."""
    request = PutRequest(key=key, value=value, lease=lease, prev_kv=prev_kv)
    return RequestOp(request_put=request)


def op_delete(key: bytes, range_end: bytes = b"", *, prev_kv: bool = False) -> RequestOp:
    """Delete keys."""
    request = DeleteRangeRequest(key=key, range_end=range_end, prev_kv=prev_kv)
    return RequestOp(request_delete_range=request)


class Commit(Protocol):
    """What runs a transaction."""

    def __call__(
        self, request: TxnRequest, *, timeout_s: Timeout = ...
    ) -> Awaitable[TxnResponse]: ...


class Txn:
    """A transaction that is being built. Each method adds to what is there and returns the same."""

    __slots__ = ("_commit", "request")

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self.request = TxnRequest()

    def when(self, *comparisons: Compare) -> Txn:
        """Add comparisons; all must hold. With none the transaction succeeds."""
        self.request.compare.extend(comparisons)
        return self

    def then(self, *operations: RequestOp) -> Txn:
        """Add what is done when the comparisons hold."""
        self.request.success.extend(operations)
        return self

    def orelse(self, *operations: RequestOp) -> Txn:
        """Add what is done when they do not."""
        self.request.failure.extend(operations)
        return self

    async def commit(self, *, timeout_s: Timeout = DEFAULT) -> TxnResponse:
        """Run it."""
        return await self._commit(self.request, timeout_s=timeout_s)
