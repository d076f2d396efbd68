"""What clients may ask of a member about its cluster: its members, and who leads it.

Source: etcd server (api/v3rpc/member, maintenance); shared facts, peer.md sections 9 and 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kvorum.cluster.member import Member
from kvorum.errors import Code, StatusError, WireError
from kvorum.proto.rpc_pb2 import DowngradeRequest
from kvorum.server.member import EtcdServer

UNKNOWN_METHOD: Final = "etcdserver: unknown method"


class ClusterApi:
    """The part of `MemberApi` that is `ClusterPort`."""

    def __init__(self, server: EtcdServer) -> None:
        self._server = server

    def members(self) -> list[dict[str, Any]]:
        return [_fields(member) for member in self._server.cluster.members()]

    async def member_add(self, peer_urls: Sequence[str], *, is_learner: bool) -> dict[str, Any]:
        added = await self._server.reconfiguration.add(peer_urls, is_learner=is_learner)
        return _fields(added)

    async def member_remove(self, member_id: int) -> None:
        await self._server.reconfiguration.remove(member_id)

    async def member_update(self, member_id: int, peer_urls: Sequence[str]) -> None:
        await self._server.reconfiguration.update(member_id, peer_urls)

    async def member_promote(self, member_id: int) -> None:
        server, counters = self._server, self._server.counters
        if not server.is_leader:
            await server.leader_calls.promote(member_id)  # where it is counted
            return
        try:
            await server.reconfiguration.promote(member_id)
        except WireError as error:
            reason = error.message
            failures = counters.promote_failures
            failures[reason] = failures.get(reason, 0) + 1
            raise
        counters.promote_successes += 1

    async def move_leader(self, target_id: int) -> None:
        await self._server.leadership.move(target_id)

    async def downgrade(self, request: DowngradeRequest) -> str:
        downgrading = self._server.work.downgrading
        if request.action == DowngradeRequest.VALIDATE:
            return await downgrading.validate(request.version)
        if request.action == DowngradeRequest.ENABLE:
            return await downgrading.enable(request.version)
        if request.action == DowngradeRequest.CANCEL:
            return await downgrading.cancel()
        raise StatusError(Code.UNKNOWN, UNKNOWN_METHOD)


def _fields(member: Member) -> dict[str, Any]:
    """Fields of `etcdserverpb.Member`."""
    return {
        "ID": member.id,
        "name": member.name,
        "peerURLs": member.peer_urls,
        "clientURLs": member.client_urls,
        "isLearner": member.is_learner,
    }
