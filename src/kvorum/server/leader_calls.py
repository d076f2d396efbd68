"""What only the leader knows, asked of it on behalf of this member's clients.

A lease lives at the leader: nobody else has its clock. So does how far a learner is. A member that
does not lead asks its leader over the peer port, again as long as a request may take: leaders
change.

Source: etcd server (LeaseRenew, LeaseTimeToLive, PromoteMember, waitLeader).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from kvorum.cluster.member import Member
from kvorum.cluster.members import Cluster
from kvorum.errors import (
    Code,
    LearnerNotReadyError,
    LeaseNotFoundError,
    MemberNotFoundError,
    MemberNotLearnerError,
    NoLeaderError,
    RequestTimeoutError,
    StatusError,
    StoppedError,
    WireError,
)
from kvorum.server.peer_ports import PeerError, PeerQueriesPort, PeerRefusedError
from kvorum.server.ports import LeaseLife

RETRY_S: Final = 0.05
"""Between two questions. Source: etcd (LeaseRenew)."""
ATTEMPT_ELECTIONS: Final = 2
"""How many election timeouts one question may take: by then there is another leader to ask."""

T = TypeVar("T")


class LeaderCalls:
    """See the module.

    Args:
        leader_id: the leader as this member knows it; 0: there is none.
        queries: asks members; None: there are none.
        stopping: set when the member stops.
    """

    def __init__(
        self,
        cluster: Cluster,
        queries: PeerQueriesPort | None,
        *,
        leader_id: Callable[[], int],
        stopping: asyncio.Event,
        election_timeout_s: float,
        timeout_s: float,
    ) -> None:
        self._cluster = cluster
        self._queries = queries
        self._leader_id = leader_id
        self._stopping = stopping
        self._attempt_s = ATTEMPT_ELECTIONS * election_timeout_s
        self._timeout_s = timeout_s

    async def lease_renew(self, lease_id: int) -> int:
        """Renew a lease at the leader. Returns its TTL in seconds.

        Raises:
            LeaseNotFoundError
            UnavailableError: no leader answered in time.
        """
        return await self._ask(
            lambda queries, leader: queries.lease_renew(leader.peer_urls, lease_id),
            _lease_refusal,
            self._attempt_s,
        )

    async def lease_time_to_live(self, lease_id: int, *, with_keys: bool) -> LeaseLife:
        """What is left of a lease, by the leader's clock. Raises as `lease_renew`."""
        return await self._ask(
            lambda queries, leader: queries.lease_time_to_live(
                leader.peer_urls, lease_id, with_keys=with_keys
            ),
            _lease_refusal,
            self._attempt_s,
        )

    async def promote(self, member_id: int) -> None:
        """Have the leader make a learner a voter.

        Raises:
            MemberNotFoundError, MemberNotLearnerError, LearnerNotReadyError
            UnavailableError: no leader answered in time.
        """
        await self._ask(
            lambda queries, leader: queries.promote(leader.peer_urls, member_id),
            _promote_refusal,
            self._timeout_s,
        )

    def stop(self) -> None:
        """Ask nothing more."""
        if self._queries is not None:
            self._queries.close()

    async def _ask(
        self,
        question: Callable[[PeerQueriesPort, Member], Awaitable[T]],
        refusal: Callable[[PeerRefusedError], WireError | None],
        attempt_s: float,
    ) -> T:
        queries = self._queries
        if queries is None:
            raise NoLeaderError  # alone, and not leading
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    leader = await self._wait_leader()
                    try:
                        async with asyncio.timeout(attempt_s):
                            return await question(queries, leader)
                    except PeerRefusedError as error:
                        final = refusal(error)
                        if final is not None:
                            raise final from None
                    except (PeerError, TimeoutError):
                        pass  # it is gone, or about to be
                    await asyncio.sleep(RETRY_S)
        except TimeoutError:
            raise (RequestTimeoutError if self._leader_id() else NoLeaderError) from None

    async def _wait_leader(self) -> Member:
        while True:
            if self._stopping.is_set():
                raise StoppedError
            leader = self._cluster.member(self._leader_id())
            if leader is not None and leader.peer_urls:
                return leader
            await asyncio.sleep(RETRY_S)


def _lease_refusal(error: PeerRefusedError) -> WireError | None:
    """The error that ends the asking; None: ask again."""
    return LeaseNotFoundError() if error.status == 404 else None


def _promote_refusal(error: PeerRefusedError) -> WireError | None:
    text = error.text
    for kind in (LearnerNotReadyError, MemberNotLearnerError):
        if kind.text.removeprefix("etcdserver: ") in text:
            return kind()
    if error.status == 404:
        return MemberNotFoundError()
    if error.status in {408, 503}:
        return RequestTimeoutError()
    return StatusError(Code.UNKNOWN, f"member promote: unknown error({text})")
