"""Calls about one member: how it is, what it holds, what it warns of."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from kvorum.client.call import DEFAULT, Service, Timeout
from kvorum.client.methods import (
    ALARM,
    ALARM_GET,
    DEFRAGMENT,
    DOWNGRADE,
    HASH_KV,
    MOVE_LEADER,
    STATUS,
)
from kvorum.client.snapshot import SnapshotPart, read_snapshot
from kvorum.proto.rpc_pb2 import (
    NONE,
    AlarmRequest,
    AlarmResponse,
    AlarmType,
    DefragmentRequest,
    DefragmentResponse,
    DowngradeRequest,
    DowngradeResponse,
    HashKVRequest,
    HashKVResponse,
    MoveLeaderRequest,
    MoveLeaderResponse,
    StatusRequest,
    StatusResponse,
)


class Maintenance(Service):
    """The maintenance calls. `endpoint` names the member to ask; None: the one in use."""

    __slots__ = ()

    async def status(
        self, endpoint: str | None = None, *, timeout_s: Timeout = DEFAULT
    ) -> StatusResponse:
        """Version, size, leader and log position of a member."""
        return await self._call(STATUS, StatusRequest(), timeout_s, endpoint)

    async def hash_kv(
        self, endpoint: str | None = None, *, revision: int = 0, timeout_s: Timeout = DEFAULT
    ) -> HashKVResponse:
        """Checksum of a member's keys up to `revision` (0: all); members must agree on it.

        Raises:
            CompactedError, FutureRevisionError: the member does not have that revision.
        """
        return await self._call(HASH_KV, HashKVRequest(revision=revision), timeout_s, endpoint)

    async def alarms(
        self, endpoint: str | None = None, *, timeout_s: Timeout = DEFAULT
    ) -> AlarmResponse:
        """The alarms that are raised in the cluster."""
        request = AlarmRequest(action=AlarmRequest.GET)
        return await self._call(ALARM_GET, request, timeout_s, endpoint)

    async def disarm(
        self, member_id: int = 0, alarm: AlarmType = NONE, *, timeout_s: Timeout = DEFAULT
    ) -> AlarmResponse:
        """Take back an alarm of a member; without arguments every alarm that is raised.

        Returns:
            What was taken back. Without arguments there is no header.
        """
        if member_id or alarm != NONE:
            request = AlarmRequest(action=AlarmRequest.DEACTIVATE, memberID=member_id, alarm=alarm)
            return await self._call(ALARM, request, timeout_s)
        found = AlarmResponse()
        for one in (await self.alarms(timeout_s=timeout_s)).alarms:
            response = await self.disarm(one.memberID, one.alarm, timeout_s=timeout_s)
            found.alarms.extend(response.alarms)
        return found

    async def defragment(
        self, endpoint: str | None = None, *, timeout_s: Timeout = DEFAULT
    ) -> DefragmentResponse:
        """Have a member write its database anew, without free space. It may take a while."""
        return await self._call(DEFRAGMENT, DefragmentRequest(), timeout_s, endpoint)

    async def move_leader(
        self, target_id: int, endpoint: str | None = None, *, timeout_s: Timeout = DEFAULT
    ) -> MoveLeaderResponse:
        """Make the member with this id the leader.

        Raises:
            NotLeaderError: the member that was asked does not lead.
            BadLeaderTransfereeError: the target is no voter.
        """
        request = MoveLeaderRequest(targetID=target_id)
        return await self._call(MOVE_LEADER, request, timeout_s, endpoint)

    async def downgrade_validate(
        self, version: str, *, timeout_s: Timeout = DEFAULT
    ) -> DowngradeResponse:
        """Ask whether the cluster could be taken to a lower version, `X.Y`.

        Raises:
            WrongDowngradeVersionError, InvalidDowngradeTargetError, DowngradeInProgressError
        """
        request = DowngradeRequest(action=DowngradeRequest.VALIDATE, version=version)
        return await self._call(DOWNGRADE, request, timeout_s)

    async def downgrade_enable(
        self, version: str, *, timeout_s: Timeout = DEFAULT
    ) -> DowngradeResponse:
        """Let the cluster go to a lower version, `X.Y`. Raises as `downgrade_validate`."""
        request = DowngradeRequest(action=DowngradeRequest.ENABLE, version=version)
        return await self._call(DOWNGRADE, request, timeout_s)

    async def downgrade_cancel(self, *, timeout_s: Timeout = DEFAULT) -> DowngradeResponse:
        """Take back that the cluster may go to a lower version.

        Raises:
            NoInflightDowngradeError: it may not anyway; newer members do not say so.
        """
        request = DowngradeRequest(action=DowngradeRequest.CANCEL)
        return await self._call(DOWNGRADE, request, timeout_s)

    def snapshot(
        self, endpoint: str | None = None, *, timeout_s: float | None = None
    ) -> AsyncGenerator[SnapshotPart, None]:
        """A member's whole database, piece by piece, with its SHA-256 behind it.

        Put one behind the other the pieces are a snapshot file. That they follow each other is
        checked, the SHA-256 is not. To give up early, close the iterator (`aclosing`).

        Args:
            endpoint: the member to ask; None: the one in use.
            timeout_s: for all of it. None: as long as it takes; only for finding a member is
                there a limit then, that of every request.

        Raises:
            DeadlineExceededError: the time is over; ConnectDeadlineError: it went on connecting.
            ConnectionLostError: the member or the connection failed; what came is worth nothing.
            WireError: the member refused.
        """
        return read_snapshot(self._transport, endpoint, timeout_s)
