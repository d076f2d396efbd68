"""What the leader does for leases: renews, revokes those that have expired, checkpoints long ones.

Revokes and checkpoints go through the log, so that all members let go of a lease at the same entry.
At most `REVOKES_PER_ROUND_MAX` of them wait for the log, so no more than `REVOKES_PER_S_MAX` are
proposed a second: a hundred thousand leases that expire together must not stop the clients' writes.

A member that was held up (its process stopped, its machine asleep) may not lead any more and not
know it yet. Its clients have gone on with another leader meanwhile, so by its clock all leases have
expired, and what it proposed would be handed on to that leader. So before it revokes it asks the
others whether it still leads, and before it renews, too, when it was held up just now.

Source: shared facts, client.md section 5 (rates) and 8; etcd server (LeaseRenew,
revokeExpiredLeases; etcd issue 15247).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from kvorum.errors import (
    LeaseNotFoundError,
    NotLeaderError,
    RequestTimeoutError,
    StoppedError,
    TooManyRequestsError,
    WireError,
)
from kvorum.lease import Lessor
from kvorum.lease.lessor import CHECKPOINTS_PER_BATCH_MAX, REVOKES_PER_S_MAX
from kvorum.proto.rpc_pb2 import LeaseCheckpoint, LeaseCheckpointRequest, LeaseRevokeRequest
from kvorum.server import entries
from kvorum.server.clock import monotonic_s
from kvorum.server.options import ServerOptions

ROUND_S: Final = 0.5
REVOKES_PER_ROUND_MAX: Final = int(REVOKES_PER_S_MAX * ROUND_S)
END_POLL_S: Final = 0.05

Done = Callable[["asyncio.Future[bytes]"], None]
ProposeOwn = Callable[[bytes, Any], "asyncio.Future[bytes]"]


class LeaseKeeper:
    """Runs on the leader; `round` is called every `ROUND_S`.

    Args:
        lessor: the leases.
        propose: proposes a request of the member's own.
        leads_surely: whether nobody else can lead, without asking.
        wait_linearizable: returns when everything committed before has been applied. This member
            led at some time after the call if it leads then.
    """

    def __init__(
        self,
        lessor: Lessor,
        propose: ProposeOwn,
        options: ServerOptions,
        *,
        leads_surely: Callable[[], bool],
        wait_linearizable: Callable[[], Awaitable[None]],
    ) -> None:
        self._lessor = lessor
        self._propose = propose
        self._leads_surely = leads_surely
        self._wait_linearizable = wait_linearizable
        self._checkpoints = options.lease_checkpoint_interval_s is not None
        self._held_up_s = options.election_timeout_s
        self._timeout_s = options.request_timeout_s
        self._round_s = monotonic_s()
        self._under_way = 0
        self._revoking: asyncio.Task[None] | None = None
        self._stopped = False
        self.expired_total = 0
        """Leases that ran out and were revoked for it."""

    # By the clock.

    def round(self) -> None:
        """Propose what has become due."""
        self._round_s = monotonic_s()
        revoking = self._revoking
        if revoking is not None and revoking.done():
            self._revoking = None
            revoking.result()  # a bug ends the member
        if self._lessor.has_due_expiries and self._revoking is None:
            if self._leads_surely():
                self._revoke()
            else:
                self._revoking = asyncio.ensure_future(self._revoke_if_leading())
        if self._checkpoints:
            self._checkpoint()

    def stop(self) -> None:
        self._stopped = True
        if self._revoking is not None:
            self._revoking.cancel()

    async def _revoke_if_leading(self) -> None:
        try:
            await self._wait_linearizable()
        except WireError:
            return  # the next round tries again, if we lead then
        if self._lessor.is_leader:
            self._revoke()

    def _revoke(self) -> None:
        room = REVOKES_PER_ROUND_MAX - self._under_way
        if room > 0:
            for lease_id in self._lessor.expired(room):
                self._send(entries.LEASE_REVOKE, LeaseRevokeRequest(ID=lease_id), self._expired)

    # For clients.

    def renew(self, lease_id: int) -> int | Awaitable[int]:
        """Let a lease run its TTL from now on. Returns the TTL in seconds, at once or later.

        Both ways it raises:
            LeaseNotFoundError: there is no such lease, or no more.
            NotLeaderError: the leader has to be asked.
            UnavailableError: it could not be done in time.
        """
        if not self._lessor.is_leader:
            raise NotLeaderError
        if monotonic_s() - self._round_s > self._held_up_s and not self._leads_surely():
            return self._renew_if_leading(lease_id)
        return self._renew(lease_id)

    async def _renew_if_leading(self, lease_id: int) -> int:
        await self._wait_linearizable()
        ttl_s = self._renew(lease_id)
        return ttl_s if isinstance(ttl_s, int) else await ttl_s

    def _renew(self, lease_id: int) -> int | Awaitable[int]:
        lessor = self._lessor
        try:
            ttl_s = lessor.renew(lease_id)
        except LeaseNotFoundError:
            if lessor.exists(lease_id):
                return self._wait_end(lease_id)
            raise
        told = self.renewed()
        return ttl_s if told is None else _after(told, ttl_s)

    async def _wait_end(self, lease_id: int) -> int:
        """A lease has expired. That it is over is only known when it has been revoked.

        Another leader may have come, which keeps it.
        """
        lessor, deadline_s = self._lessor, monotonic_s() + self._timeout_s
        while lessor.exists(lease_id):
            if not lessor.is_leader:
                raise NotLeaderError
            if self._stopped:
                raise StoppedError
            if monotonic_s() >= deadline_s:
                raise RequestTimeoutError
            await asyncio.sleep(END_POLL_S)
        raise LeaseNotFoundError

    def renewed(self) -> asyncio.Future[bytes] | None:
        """A client has renewed a lease: what the log says of it must not end it too early.

        Returns:
            What to wait for before the client is told; None: nothing.

        Raises:
            TooManyRequestsError: the log cannot be told now.
        """
        if not self._lessor.has_resets:
            return None
        told = self._checkpoint()
        if told is None:
            raise TooManyRequestsError  # the next renewal tries again
        return told

    # Proposing.

    def _checkpoint(self) -> asyncio.Future[bytes] | None:
        due = self._lessor.due_checkpoints(CHECKPOINTS_PER_BATCH_MAX)
        if not due:
            return None
        checkpoints = [
            LeaseCheckpoint(ID=one.lease_id, remaining_TTL=one.remaining_s) for one in due
        ]
        request = LeaseCheckpointRequest(checkpoints=checkpoints)
        return self._send(entries.LEASE_CHECKPOINT, request)

    def _send(
        self, tag: bytes, request: Any, done: Done | None = None
    ) -> asyncio.Future[bytes] | None:
        try:
            future = self._propose(tag, request)
        except WireError:
            return None  # the queue is full; the lessor offers the lease again
        self._under_way += 1
        future.add_done_callback(self._done)
        if done is not None:
            future.add_done_callback(done)
        return future

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


async def _after(told: asyncio.Future[bytes], ttl_s: int) -> int:
    """The TTL, once the log has taken a checkpoint back.

    Others may wait for the same entry, so who gives up does not take it with it.
    """
    await asyncio.shield(told)
    return ttl_s


__all__ = ["ROUND_S", "LeaseKeeper"]
