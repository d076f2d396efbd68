"""Who leads, since when, and how this member hands its lead over.

Source: etcd server (MoveLeader, TransferLeadership, parseProposeCtxErr); shared facts, peer.md
section 9.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from kvorum.cluster.ids import hex_id
from kvorum.cluster.members import Cluster
from kvorum.errors import (
    BadLeaderTransfereeError,
    Code,
    NotLeaderError,
    RequestTimeoutError,
    StatusError,
    TimeoutConnectionLostError,
    TimeoutLeaderFailError,
    WireError,
)
from kvorum.gotext import duration_text
from kvorum.server.clock import monotonic_s
from kvorum.server.connectivity import Connectivity
from kvorum.server.log import Logger
from kvorum.server.options import ServerOptions

LEADERLESS_MAX: Final = 3
"""Looks, an election timeout apart, that find no leader before streams of those who want one end:
opening them again costs much. Source: etcd api/v3rpc (maxNoLeaderCnt)."""
TRANSFER_TOOK_TOO_LONG: Final = "etcdserver: request timed out, leader transfer took too long"


class LeadershipPort(Protocol):
    """What this needs of the member's part in the consensus."""

    def leader_id(self) -> int:
        """The leader, as this member knows it; 0: there is none."""
        ...

    def transfer_leader(self, member_id: int) -> None: ...


class Leadership:
    """See the module.

    Args:
        ended: whether the member has stopped taking part.
    """

    def __init__(
        self,
        own_id: int,
        options: ServerOptions,
        cluster: Cluster,
        connectivity: Connectivity,
        port: LeadershipPort,
        *,
        ended: Callable[[], bool],
        log: Logger,
    ) -> None:
        self._own_id = own_id
        self._options = options
        self._cluster = cluster
        self._connectivity = connectivity
        self._port = port
        self._ended = ended
        self._log = log
        self._leader_id = 0
        self._elected_s = 0.0
        self._leaderless = 0
        self.on_leader_lost: Callable[[], None] = _nothing
        """Called when there has been no leader for `LEADERLESS_MAX` election timeouts."""

    def note(self, term: int) -> None:
        """The leader may be another now, in `term`.

        Source: raft (node.run), whose log lines operators look for.
        """
        before, leader_id = self._leader_id, self._port.leader_id()
        if leader_id == before:
            return
        self._leader_id = leader_id
        if not leader_id:
            change = f"lost leader {hex_id(before)}"
        else:
            self._elected_s = monotonic_s()
            change = f"elected leader {hex_id(leader_id)}"
            if before:
                change = f"changed leader from {hex_id(before)} to {hex_id(leader_id)}"
        self._log.info(f"raft.node: {hex_id(self._own_id)} {change} at term {term}")

    def count_leaderless(self) -> None:
        """An election timeout has passed."""
        if self._port.leader_id():
            self._leaderless = 0
            return
        self._leaderless += 1
        if self._leaderless == LEADERLESS_MAX:
            self.on_leader_lost()

    # Why a request has taken too long.

    def timeout_error(self, begun_s: float) -> WireError:
        """The refusal of a request that was begun then and has not been answered in time."""
        elected_s, window_s = self._elected_s, 2 * self._options.election_timeout_s
        if elected_s - window_s < begun_s < elected_s:
            return TimeoutLeaderFailError()
        leader_id = self._port.leader_id()
        connectivity = self._connectivity
        if leader_id == self._own_id:
            connected = connectivity.has_quorum_since(self._cluster.voters(), begun_s)
        else:
            connected = not leader_id or connectivity.since(leader_id, begun_s)
        return RequestTimeoutError() if connected else TimeoutConnectionLostError()

    # Handing over.

    async def move(self, target_id: int) -> None:
        """Make another member the leader, as a client asks.

        Raises:
            NotLeaderError: this member does not lead.
            BadLeaderTransfereeError: the target is no voter.
            StatusError: it took too long.
        """
        if self._port.leader_id() != self._own_id:
            raise NotLeaderError
        member = self._cluster.member(target_id)
        if member is None or member.is_learner:
            raise BadLeaderTransfereeError
        if not await self._transfer(target_id):
            raise StatusError(Code.UNKNOWN, TRANSFER_TOOK_TOO_LONG)

    async def hand_over(self) -> None:
        """Make the voter that has been connected longest the leader: this member leaves."""
        if self._port.leader_id() != self._own_id:
            return
        heir = self._connectivity.longest(self._cluster.voters())
        if heir is None:
            return
        if not await self._transfer(heir.id):
            self._log.warn(
                "leadership transfer failed",
                local_member_id=hex_id(self._own_id),
                error=TRANSFER_TOOK_TOO_LONG,
            )

    async def _transfer(self, target_id: int) -> bool:
        """Ask the target to take over, and wait. False: it has not in time, or it has gone."""
        if not self._connectivity.is_reachable(target_id):
            # Raft takes no proposals while it waits for a target.
            return False
        own, target = hex_id(self._own_id), hex_id(target_id)
        self._log.info(
            "leadership transfer starting",
            local_member_id=own,
            current_leader_member_id=own,
            transferee_member_id=target,
        )
        begun_s = monotonic_s()
        self._port.transfer_leader(target_id)
        while self._port.leader_id() != target_id and not self._ended():
            late = monotonic_s() - begun_s > self._options.request_timeout_s
            if late or not self._connectivity.is_reachable(target_id):
                return False  # it may be stopping as well
            await asyncio.sleep(self._options.heartbeat_interval_s)
        self._log.info(
            "leadership transfer finished",
            local_member_id=own,
            old_leader_member_id=own,
            new_leader_member_id=target,
            took=duration_text(monotonic_s() - begun_s),
        )
        return True


def _nothing() -> None:
    """Until somebody wants to know."""
