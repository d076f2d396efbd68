"""Changes of the members that clients ask for: checked, proposed, and waited for.

Two kinds of checks. Here, before anything is proposed, what only this member knows: whom it is
connected to, how far a learner is. When the entry is applied, what every member decides alike
(`Cluster.validate`).

Source: etcd server (AddMember, RemoveMember, …); shared facts, peer.md section 10.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from kvorum.cluster.ids import added_member_id, hex_id
from kvorum.cluster.member import Member
from kvorum.cluster.members import (
    Cluster,
    add_change,
    promote_change,
    remove_change,
    update_change,
)
from kvorum.cluster.urls import check_urls
from kvorum.errors import (
    ConfigError,
    LearnerNotReadyError,
    MemberBadUrlsError,
    MemberNotEnoughStartedError,
    MemberNotFoundError,
    MemberNotLearnerError,
    UnhealthyClusterError,
    WireError,
)
from kvorum.proto.raftpb import ConfChange, ConfChangeType
from kvorum.proto.versions import Version
from kvorum.raft import ProposalDroppedError
from kvorum.server.clock import monotonic_s, unix_ms
from kvorum.server.connectivity import Connectivity
from kvorum.server.log import Logger

READY_PERCENT: Final = 90
"""How much of the leader's log a learner must have to be promoted. Source: etcd (readyPercent)."""
RETRY_S: Final = 0.1
COUNTS_NEW_MEMBER_SINCE: Final = Version(3, 6)
"""From here on a member may be added while a voter is away, as long as the quorum with the new one
is connected. Before, every voter must be. Source: etcd (mayAddMember)."""


TELLS_ROLE_SINCE: Final = Version(3, 6)
_RAFT_NAMES: Final[dict[int, str]] = {
    ConfChangeType.ADD_NODE: "ConfChangeAddNode",
    ConfChangeType.REMOVE_NODE: "ConfChangeRemoveNode",
    ConfChangeType.UPDATE_NODE: "ConfChangeUpdateNode",
    ConfChangeType.ADD_LEARNER_NODE: "ConfChangeAddLearnerNode",
}


class ReconfigurationPort(Protocol):
    """What this needs of the member."""

    def propose_conf_change(self, change: ConfChange) -> None: ...
    def next_id(self) -> int: ...
    def timeout_error(self, begun_s: float) -> WireError:
        """Why what was begun then has taken too long."""
        ...

    def matched(self) -> dict[int, int]:
        """How far each member's log is known to agree with the leader's; this member leads."""
        ...


class Reconfiguration:
    """See the module.

    Args:
        own_id: this member.
        strict: refuse changes that would cost the cluster its quorum (`--strict-reconfig-check`).
        version: which rules apply.
        timeout_s: how long a change may take.
        log: refusals are told.
    """

    def __init__(
        self,
        own_id: int,
        cluster: Cluster,
        connectivity: Connectivity,
        port: ReconfigurationPort,
        *,
        strict: bool,
        version: Version,
        timeout_s: float,
        log: Logger,
    ) -> None:
        self._own_id = own_id
        self._cluster = cluster
        self._connectivity = connectivity
        self._port = port
        self._strict = strict
        self._version = version
        self._timeout_s = timeout_s
        self._log = log
        self._waiting: dict[int, asyncio.Future[None]] = {}

    async def add(self, peer_urls: Sequence[str], *, is_learner: bool) -> Member:
        """Add a member; it gets its id here.

        Raises:
            RequestError, UnavailableError: as stock words them.
        """
        urls = _checked_urls(peer_urls)
        if self._strict:
            self._check_add(urls, is_learner=is_learner)
        member_id = self._free_id(urls)
        member = Member(id=member_id, peer_urls=urls, is_learner=is_learner)
        await self._change(lambda request_id: add_change(request_id, member))
        return member

    def _free_id(self, urls: Sequence[str]) -> int:
        """An id for a new member.

        It is made from the time in seconds, which may not have gone on since a member with these
        URLs was added and removed; and an id never comes back.
        """
        unix_s = unix_ms() // 1000
        while self._cluster.is_removed(member_id := added_member_id(urls, unix_s)):
            unix_s += 1
        return member_id

    async def remove(self, member_id: int) -> None:
        """Remove a member for good."""
        if self._cluster.member(member_id) is None:
            raise MemberNotFoundError
        if self._strict:
            self._check_remove(member_id)
        await self._change(lambda request_id: remove_change(request_id, member_id))

    async def update(self, member_id: int, peer_urls: Sequence[str]) -> None:
        """Give a member other peer URLs.

        Stock takes any text here, and ends when it applies one that is no URL.
        """
        urls = _checked_urls(peer_urls)
        await self._change(lambda request_id: update_change(request_id, member_id, urls))

    async def promote(self, member_id: int) -> None:
        """Make a learner a voter. This member leads: nobody else knows how far the learner is."""
        member = self._cluster.member(member_id)
        if member is None:
            raise MemberNotFoundError
        if not member.is_learner:
            raise MemberNotLearnerError
        matched = self._port.matched()
        ours, theirs = matched.get(self._own_id, 0), matched.get(member_id, 0)
        if theirs * 100 < ours * READY_PERCENT:
            raise LearnerNotReadyError
        if self._strict:
            self._check_promote(member_id)
        await self._change(lambda request_id: promote_change(request_id, member_id))

    def applied(self, change: ConfChange, before: Member | None, error: Exception | None) -> None:
        """A committed change has been done, or refused. Called from apply.

        Args:
            change: what was asked for.
            before: the member as it was.
            error: why it was refused; None: it was done.
        """
        if error is None and change.node_id:
            self._tell(change, before)
        self._end(change.id, error)

    def fail_all(self, error: WireError) -> None:
        """The member stops."""
        for change_id in list(self._waiting):
            self._end(change_id, error)

    def _end(self, change_id: int, error: Exception | None) -> None:
        future = self._waiting.pop(change_id, None)
        if future is None or future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def _tell(self, change: ConfChange, before: Member | None) -> None:
        """The log line of a change. Source: those of 3.5.1 and 3.6.16."""
        log = self._log.bound(
            cluster_id=hex_id(self._cluster.id), local_member_id=hex_id(self._own_id)
        )
        member_id, member = hex_id(change.node_id), self._cluster.member(change.node_id)
        if member is None:
            urls = () if before is None else before.peer_urls
            log.warn(
                "removed member", removed_remote_peer_id=member_id, removed_remote_peer_urls=urls
            )
        elif before is None:
            role = {"added_peer_is_learner": member.is_learner}
            log.info(
                "added member",
                added_peer_id=member_id,
                added_peer_peer_urls=member.peer_urls,
                **(role if self._version >= TELLS_ROLE_SINCE else {}),
            )
        elif before.is_learner and not member.is_learner:
            log.info("promote member", promoted_member_id=member_id)
        else:
            log.info(
                "updated member",
                updated_remote_peer_id=member_id,
                updated_remote_peer_urls=member.peer_urls,
            )

    async def _change(self, make: Callable[[int], ConfChange]) -> None:
        change = make(self._port.next_id())
        future = asyncio.get_running_loop().create_future()
        self._waiting[change.id] = future
        begun_s = monotonic_s()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._propose(change)
                await future
        except TimeoutError:
            raise self._port.timeout_error(begun_s) from None
        finally:
            self._waiting.pop(change.id, None)
        self._log.info(
            "applied a configuration change through raft",
            local_member_id=hex_id(self._own_id),
            raft_conf_change=_RAFT_NAMES[change.type],
            raft_conf_change_node_id=hex_id(change.node_id),
        )

    async def _propose(self, change: ConfChange) -> None:
        """Propose, again while there is no leader to take it."""
        while True:
            try:
                self._port.propose_conf_change(change)
            except ProposalDroppedError:
                await asyncio.sleep(RETRY_S)
            else:
                return

    # Checks of `--strict-reconfig-check`.

    def _check_add(self, peer_urls: Sequence[str], *, is_learner: bool) -> None:
        """Refuse a new member that the quorum might be lost with.

        Raises:
            MemberNotEnoughStartedError, UnhealthyClusterError
        """
        try:
            if not is_learner:
                self._cluster.check_add_voter()
        except MemberNotEnoughStartedError as error:
            self._refused("add", "not enough healthy members", ",".join(peer_urls), error)
            raise
        voters = self._cluster.voters()
        if self._version < COUNTS_NEW_MEMBER_SINCE:
            needed = len(voters)
        else:
            needed = 1 if len(voters) == 1 else (len(voters) + 1) // 2 + 1
        if self._connectivity.healthy(voters) < needed:
            refusal = UnhealthyClusterError()
            reason = (
                "local member has not been connected to all peers, reconfigure breaks active quorum"
            )
            self._refused("add", reason, ",".join(peer_urls), refusal)
            raise refusal

    def _check_remove(self, member_id: int) -> None:
        """Refuse a removal that leaves fewer connected voters than the new quorum.

        Raises:
            MemberNotEnoughStartedError, UnhealthyClusterError
        """
        try:
            self._cluster.check_remove(member_id)
        except MemberNotEnoughStartedError as error:
            self._refused("remove", "not enough healthy members", hex_id(member_id), error)
            raise
        member = self._cluster.member(member_id)
        assert member is not None, member_id
        if member.is_learner or not self._connectivity.is_reachable(member_id):
            return  # whoever is gone anyway is no loss
        voters = self._cluster.voters()
        if self._connectivity.healthy(voters) - 1 < (len(voters) - 1) // 2 + 1:
            refusal = UnhealthyClusterError()
            reason = (
                "local member has not been connected to all peers, reconfigure breaks active quorum"
            )
            self._refused("remove", reason, hex_id(member_id), refusal)
            raise refusal

    def _check_promote(self, member_id: int) -> None:
        """Refuse a promotion that leaves too few started voters for the new quorum.

        Raises:
            MemberNotEnoughStartedError
        """
        try:
            self._cluster.check_promote()
        except MemberNotEnoughStartedError as error:
            self._refused("promote", "not enough healthy members", hex_id(member_id), error)
            raise

    def _refused(self, what: str, reason: str, whom: str, error: WireError) -> None:
        self._log.warn(
            f"rejecting member {what} request; {reason}",
            local_member_id=hex_id(self._own_id),
            **{f"requested_member_{what}": whom},
            error=error,
        )


def _checked_urls(peer_urls: Sequence[str]) -> tuple[str, ...]:
    """Peer URLs that a client gave, sorted as etcd keeps them.

    Raises:
        MemberBadUrlsError
    """
    try:
        return check_urls(peer_urls)
    except ConfigError:
        raise MemberBadUrlsError from None
