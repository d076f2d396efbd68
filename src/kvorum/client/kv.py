"""Keys: get, put, delete, compact, and transactions."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from kvorum.client.call import DEFAULT, Service, Timeout
from kvorum.client.methods import COMPACT, DELETE_RANGE, PUT, RANGE, TXN, TXN_READ
from kvorum.client.range_stream import read_range
from kvorum.client.txn import Txn
from kvorum.proto.rpc_pb2 import (
    CompactionRequest,
    CompactionResponse,
    DeleteRangeRequest,
    DeleteRangeResponse,
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    TxnRequest,
    TxnResponse,
)


class KV(Service):
    """The key-value calls. All raise WireError (see kvorum.errors) and take a time limit.

    For ranges see `kvorum.client.ranges`: `await kv.get(*prefix_range(b"job/"))`.
    """

    __slots__ = ()

    async def get(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        revision: int = 0,
        limit: int = 0,
        sort_order: RangeRequest.SortOrder = RangeRequest.NONE,
        sort_target: RangeRequest.SortTarget = RangeRequest.KEY,
        keys_only: bool = False,
        count_only: bool = False,
        serializable: bool = False,
        timeout_s: Timeout = DEFAULT,
    ) -> RangeResponse:
        """Read keys.

        Args:
            key: first key.
            range_end: first key no longer read; empty: `key` alone.
            revision: as of which revision; 0: now.
            limit: at most so many keys (`more` tells whether there are others); 0: all.
            sort_order: without it by key, ascending.
            sort_target: what to sort by.
            keys_only: leave out the values.
            count_only: leave out everything but the number of keys.
            serializable: ask this member alone, which may be behind the others.
            timeout_s: see ClientOptions.timeout_s.

        Raises:
            CompactedError, FutureRevisionError: there is no such revision (any more).
        """
        request = RangeRequest(
            key=key,
            range_end=range_end,
            revision=revision,
            limit=limit,
            sort_order=sort_order,
            sort_target=sort_target,
            keys_only=keys_only,
            count_only=count_only,
            serializable=serializable,
        )
        return await self.range(request, timeout_s=timeout_s)

    async def range(self, request: RangeRequest, *, timeout_s: Timeout = DEFAULT) -> RangeResponse:
        """Read keys, with a request made by the caller."""
        return await self._call(RANGE, request, timeout_s)

    def range_stream(
        self, request: RangeRequest, *, timeout_s: float | None = None
    ) -> AsyncGenerator[RangeResponse, None]:
        """Read keys in pieces, all of one revision, from members of 3.7 on.

        Each piece has some keys; the last one has the header, `more` and the count besides. To give
        up early, close the iterator (`aclosing`).

        Args:
            request: as for `range`; it cannot ask for another order than that of the keys, nor for
                a range of revisions.
            timeout_s: for all of it. None: as long as it takes; only for the first piece is there
                a limit then, that of every request.

        Raises:
            StatusError: Unimplemented: the member is older, or cannot do this request in pieces;
                `range` can.
            CompactedError: the revision has been compacted, maybe in the midst of it.
            FutureRevisionError: there is no such revision yet.
        """
        return read_range(self._transport, request, timeout_s)

    async def put(
        self,
        key: bytes,
        value: bytes = b"",
        *,
        lease: int = 0,
        prev_kv: bool = False,
        ignore_value: bool = False,
        ignore_lease: bool = False,
        timeout_s: Timeout = DEFAULT,
    ) -> PutResponse:
        """Write a key.

        Args:
            key: the key.
            value: its new value.
            lease: id of a lease that the key ends with; 0: none.
            prev_kv: answer with what the key was before.
            ignore_value: keep the key's present value.
            ignore_lease: keep the key's present lease.
            timeout_s: see ClientOptions.timeout_s.

        Raises:
            LeaseNotFoundError: there is no such lease.
            KeyNotFoundError: nothing to keep: the key does not exist.
        """
        request = PutRequest(
            key=key,
            value=value,
            lease=lease,
            prev_kv=prev_kv,
            ignore_value=ignore_value,
            ignore_lease=ignore_lease,
        )
        return await self.put_request(request, timeout_s=timeout_s)

    async def put_request(
        self, request: PutRequest, *, timeout_s: Timeout = DEFAULT
    ) -> PutResponse:
        """Write a key, with a request made by the caller."""
        return await self._call(PUT, request, timeout_s)

    async def delete(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        prev_kv: bool = False,
        timeout_s: Timeout = DEFAULT,
    ) -> DeleteRangeResponse:
        """Delete keys; `deleted` tells how many there were."""
        request = DeleteRangeRequest(key=key, range_end=range_end, prev_kv=prev_kv)
        return await self.delete_range(request, timeout_s=timeout_s)

    async def delete_range(
        self, request: DeleteRangeRequest, *, timeout_s: Timeout = DEFAULT
    ) -> DeleteRangeResponse:
        """Delete keys, with a request made by the caller."""
        return await self._call(DELETE_RANGE, request, timeout_s)

    def txn(self) -> Txn:
        """Begin to build a transaction; see `kvorum.client.txn`."""
        return Txn(self.commit)

    async def commit(self, request: TxnRequest, *, timeout_s: Timeout = DEFAULT) -> TxnResponse:
        """Run a transaction.

        Raises:
            TooManyOpsError, DuplicateKeyError: it cannot be run.
        """
        method = TXN_READ if _only_reads(request) else TXN
        return await self._call(method, request, timeout_s)

    async def compact(
        self, revision: int, *, physical: bool = False, timeout_s: Timeout = DEFAULT
    ) -> CompactionResponse:
        """Forget every revision before `revision`; with `physical` answer when the space is free.

        Raises:
            CompactedError, FutureRevisionError: it cannot be compacted to that.
        """
        request = CompactionRequest(revision=revision, physical=physical)
        return await self._call(COMPACT, request, timeout_s)


def _only_reads(request: TxnRequest) -> bool:
    return all(
        op.WhichOneof("request") == "request_range"
        for branch in (request.success, request.failure)
        for op in branch
    )
