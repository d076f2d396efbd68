"""A key of ours below a prefix, on a lease: put, waited for, and taken back when that fails.

What was begun for a caller who is gone is undone when it is done: the caller's disappearance does
not stop a proposal that is on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kvorum.errors import SessionExpiredError, WireError
from kvorum.proto.rpc_pb2 import (
    Compare,
    DeleteRangeRequest,
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseRevokeRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    ResponseHeader,
    TxnRequest,
    TxnResponse,
)
from kvorum.server.concurrency.port import ConcurrencyPort, key_of, send_txn
from kvorum.server.concurrency.queue import Queues
from kvorum.server.ports import Response

SESSION_TTL_S: Final = 60
"""Of the lease that is made for a caller who names none. Nobody keeps it alive but the caller."""


@dataclass(slots=True)
class Entered:
    """The key of somebody who takes part."""

    key: bytes
    created: int
    value: bytes
    """What it held already; the value that was given if it was put now."""
    lease: int
    own_lease: bool
    """The lease was made for this key, and ends with it."""
    header: ResponseHeader


class Sessions:
    """Makes and takes back keys."""

    def __init__(self, server: ConcurrencyPort) -> None:
        self._server = server
        self._queues = Queues(server)

    def stop(self, error: WireError) -> None:
        """The member stops: whoever waits is told, and its key taken back."""
        self._queues.end(error)

    async def enter(self, prefix: bytes, lease: int, value: bytes) -> Entered:
        """Put the key of a lease unless it is there.

        Args:
            prefix: of all who take part.
            lease: 0: one is made.
            value: of the key, if it is put.

        Raises:
            WireError: the lease does not exist, or the member cannot.
        """
        own_lease = lease == 0
        if own_lease:
            lease = await self.grant()
        key = b"%b%x" % (prefix, lease)
        request = TxnRequest(
            compare=[created_at(key, 0)],
            success=[RequestOp(request_put=PutRequest(key=key, value=value, lease=lease))],
            failure=[RequestOp(request_range=RangeRequest(key=key))],
        )

        def entered(raw: bytes) -> Entered:
            response = TxnResponse.FromString(raw)
            found = Entered(key, response.header.revision, value, lease, own_lease, response.header)
            if not response.succeeded:
                kv = response.responses[0].response_range.kvs[0]
                found.created, found.value = kv.create_revision, kv.value
            return found

        try:
            raw = await _see_through(
                send_txn(self._server, request), lambda raw: self.take_back(entered(raw))
            )
        except WireError:
            if own_lease:
                self.revoke(lease)
            raise
        return entered(raw)

    async def grant(self) -> int:
        """A lease for a caller who names none."""

        def lease_of(raw: bytes) -> int:
            return LeaseGrantResponse.FromString(raw).ID

        granted = self._server.lease_grant(LeaseGrantRequest(TTL=SESSION_TTL_S))
        return lease_of(await _see_through(granted, lambda raw: self.revoke(lease_of(raw))))

    async def wait_first(self, prefix: bytes, entered: Entered) -> bool:
        """Wait until every older key is gone. What else ends the waiting takes the key back.

        Returns:
            Whether there was anything to wait for.

        Raises:
            SessionExpiredError: our own key is gone.
            WireError: the member cannot tell.
        """
        server = self._server
        try:
            turn = self._queues.wait(prefix, entered.key, entered.created)
            waited = not turn.done()
            if not await turn:
                raise SessionExpiredError
            if waited:
                # By what this member has applied we are first; by what the cluster has, too?
                await server.wait_linearizable()
                kv = key_of(server, entered.key)
                if kv is None or kv.create_revision != entered.created:
                    raise SessionExpiredError
        except BaseException:
            self.take_back(entered)
            raise
        return waited

    def take_back(self, entered: Entered) -> None:
        """Remove the key, now or soon; whoever put it again since keeps it."""
        if entered.own_lease:
            self.revoke(entered.lease)
            return
        delete = RequestOp(request_delete_range=DeleteRangeRequest(key=entered.key))
        request = TxnRequest(compare=[created_at(entered.key, entered.created)], success=[delete])
        _forget(lambda: send_txn(self._server, request))

    def revoke(self, lease: int) -> None:
        """End a lease that was made for nothing, now or soon."""
        request = LeaseRevokeRequest(ID=lease)
        _forget(lambda: self._server.lease_revoke(request, request.SerializeToString()))


def created_at(key: bytes, revision: int) -> Compare:
    """The condition that `key` was created at `revision`; 0: that it is not there."""
    return Compare(key=key, target=Compare.CREATE, result=Compare.EQUAL, create_revision=revision)


async def _see_through(response: Response, undo: Callable[[bytes], None]) -> bytes:
    """The response; when the caller is gone before it comes, `undo` gets it."""
    if isinstance(response, bytes):
        return response
    future = asyncio.ensure_future(response)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:

        def done(future: asyncio.Future[bytes]) -> None:
            if not future.cancelled() and future.exception() is None:
                undo(future.result())

        future.add_done_callback(done)
        raise


def _forget(begin: Callable[[], Response]) -> None:
    """Begin something that nobody waits for. What a member that stops leaves, the lease ends."""
    try:
        response = begin()
    except WireError:
        return
    if not isinstance(response, bytes):
        response.add_done_callback(_heard)


def _heard(future: asyncio.Future[bytes]) -> None:
    if not future.cancelled():
        future.exception()
