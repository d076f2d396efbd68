"""etcdserverpb.Cluster: the members, and changes of them.

Source: etcd server (api/v3rpc/member.go): responses hold the members after the change, and a
header without a revision.
"""

from __future__ import annotations

from typing import Any

from kvorum.proto.rpc_pb2 import (
    Member,
    MemberAddRequest,
    MemberAddResponse,
    MemberListRequest,
    MemberListResponse,
    MemberPromoteRequest,
    MemberPromoteResponse,
    MemberRemoveRequest,
    MemberRemoveResponse,
    MemberUpdateRequest,
    MemberUpdateResponse,
)
from kvorum.rpc.grpc import UnaryMethods
from kvorum.server.ports import ClusterPort


def methods(server: ClusterPort) -> UnaryMethods:
    """The service's methods by path."""

    def respond(kind: Any, **more: Any) -> bytes:
        members = [Member(**member) for member in server.members()]
        body: bytes = kind(members=members, **more).SerializeToString()
        return server.header_without_revision() + body

    async def member_list(request: MemberListRequest, _: bytes) -> bytes:
        if request.linearizable:
            await server.wait_linearizable()
        return respond(MemberListResponse)

    async def member_add(request: MemberAddRequest, _: bytes) -> bytes:
        added = await server.member_add(list(request.peerURLs), is_learner=request.isLearner)
        return respond(MemberAddResponse, member=Member(**added))

    async def member_remove(request: MemberRemoveRequest, _: bytes) -> bytes:
        await server.member_remove(request.ID)
        return respond(MemberRemoveResponse)

    async def member_update(request: MemberUpdateRequest, _: bytes) -> bytes:
        await server.member_update(request.ID, list(request.peerURLs))
        return respond(MemberUpdateResponse)

    async def member_promote(request: MemberPromoteRequest, _: bytes) -> bytes:
        await server.member_promote(request.ID)
        return respond(MemberPromoteResponse)

    return {
        "/etcdserverpb.Cluster/MemberAdd": (MemberAddRequest, member_add),
        "/etcdserverpb.Cluster/MemberList": (MemberListRequest, member_list),
        "/etcdserverpb.Cluster/MemberPromote": (MemberPromoteRequest, member_promote),
        "/etcdserverpb.Cluster/MemberRemove": (MemberRemoveRequest, member_remove),
        "/etcdserverpb.Cluster/MemberUpdate": (MemberUpdateRequest, member_update),
    }
