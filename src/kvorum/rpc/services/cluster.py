"""etcdserverpb.Cluster, as far as one member needs it: the list of members."""

from __future__ import annotations

from kvorum.proto.rpc_pb2 import Member, MemberListRequest, MemberListResponse
from kvorum.rpc.grpc import UnaryMethods
from kvorum.server.ports import InfoPort


def methods(server: InfoPort) -> UnaryMethods:
    """The service's methods by path."""

    async def member_list(request: MemberListRequest, _: bytes) -> bytes:
        if request.linearizable:
            await server.wait_linearizable()
        response = MemberListResponse(members=[Member(**member) for member in server.members()])
        return server.header_without_revision() + response.SerializeToString()

    return {"/etcdserverpb.Cluster/MemberList": (MemberListRequest, member_list)}
