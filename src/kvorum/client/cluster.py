"""The members of a cluster."""

from __future__ import annotations

from kvorum.client.call import DEFAULT, Service, Timeout
from kvorum.client.methods import MEMBER_LIST
from kvorum.proto.rpc_pb2 import MemberListRequest, MemberListResponse


class Cluster(Service):
    """The membership calls."""

    __slots__ = ()

    async def member_list(
        self, *, linearizable: bool = True, timeout_s: Timeout = DEFAULT
    ) -> MemberListResponse:
        """The members; with `linearizable` as the majority knows them, else as this member does."""
        request = MemberListRequest(linearizable=linearizable)
        return await self._call(MEMBER_LIST, request, timeout_s)
