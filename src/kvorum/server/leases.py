"""What the leader does for leases: revokes those that have expired, and checkpoints long ones.

Both go through the log, so that all members let go of a lease at the same entry. At most
`REVOKES_UNDER_WAY_MAX` revokes wait for the log, and `REVOKES_PER_S_MAX` are proposed a second:
a hundred thousand leases that expire together must not stop the clients' writes.

Source: shared facts, client.md section 5 (rates) and 8.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from kvorum.errors import LeaseNotFoundError, WireError
from kvorum.lease import Lessor
from kvorum.proto.rpc_pb2 import LeaseCheckpoint, LeaseCheckpointRequest, LeaseRevokeRequest
from kvorum.server import entries
from kvorum.server.options import ServerOptions

ROUND_S: Final = 0.5
REVOKES_PER_S_MAX: Final = 1000
REVOKES_PER_ROUND_MAX: Final = int(REVOKES_PER_S_MAX * ROUND_S)
CHECKPOINTS_PER_ROUND_MAX: Final = 1000

Done = Callable[["asyncio.Future[bytes]"], None]
ProposeOwn = Callable[[bytes, Any], "asyncio.Future[bytes]"]


class LeaseKeeper:
    """Runs on the leader; `round` is called every `ROUND_S`."""

    def __init__(self, lessor: Lessor, propose: ProposeOwn, options: ServerOptions) -> None:
        self._lessor = lessor
        self._propose = propose
        self._checkpoints = options.lease_checkpoint_interval_s is not None
        self._under_way = 0
        self.expired_total = 0
        """Leases that ran out and were revoked for it."""

    def round(self) -> None:
        """Propose what has become due."""
        room = REVOKES_PER_ROUND_MAX - self._under_way
        if room > 0:
            for lease_id in self._lessor.expired(room):
                self._send(entries.LEASE_REVOKE, LeaseRevokeRequest(ID=lease_id), self._expired)
        if self._checkpoints:
            self._checkpoint()

    def renewed(self) -> None:
        """A client has renewed a lease: what the log says of it must not end it too early."""
        if self._lessor.has_resets:
            self._checkpoint()

    def _checkpoint(self) -> None:
        due = self._lessor.due_checkpoints(CHECKPOINTS_PER_ROUND_MAX)
        if due:
            checkpoints = [
                LeaseCheckpoint(ID=one.lease_id, remaining_TTL=one.remaining_s) for one in due
            ]
            request = LeaseCheckpointRequest(checkpoints=checkpoints)
            self._send(entries.LEASE_CHECKPOINT, request)

    def _send(self, tag: bytes, request: Any, done: Done | None = None) -> None:
        try:
            future = self._propose(tag, request)
        except WireError:
            return  # the queue is full; the lessor offers the lease again
        self._under_way += 1
        future.add_done_callback(self._done)
        if done is not None:
            future.add_done_callback(done)

    def _expired(self, future: asyncio.Future[bytes]) -> None:
        if not future.cancelled() and future.exception() is None:
            self.expired_total += 1

    def _done(self, future: asyncio.Future[bytes]) -> None:
        self._under_way -= 1
        if future.cancelled():
            return
        error = future.exception()
        # Revoked by a client meanwhile, or not applied in time: then it is offered again.
        assert error is None or isinstance(error, LeaseNotFoundError | WireError), error


__all__ = ["ROUND_S", "LeaseKeeper"]
