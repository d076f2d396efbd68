"""etcdserverpb.Lease."""

from __future__ import annotations

from typing import Protocol

from kvorum.proto.rpc_pb2 import (
    LeaseGrantRequest,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseLeasesRequest,
    LeaseLeasesResponse,
    LeaseRevokeRequest,
    LeaseStatus,
    LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
)
from kvorum.rpc.frames import frame
from kvorum.rpc.grpc import Call, StreamMethods, UnaryMethods
from kvorum.server.ports import InfoPort, LeasePort, Response


class LeaseServer(LeasePort, InfoPort, Protocol):
    """Both ports in one object."""


def methods(server: LeaseServer) -> UnaryMethods:
    """The service's unary methods by path."""

    def grant(request: LeaseGrantRequest, _: bytes) -> Response:
        return server.lease_grant(request)

    async def time_to_live(request: LeaseTimeToLiveRequest, _: bytes) -> bytes:
        life = await server.lease_time_to_live(request.ID, with_keys=request.keys)
        response = LeaseTimeToLiveResponse(
            ID=request.ID, TTL=life.remaining_s, grantedTTL=life.granted_s, keys=life.keys
        )
        return server.header() + response.SerializeToString()

    async def leases(_: LeaseLeasesRequest, __: bytes) -> bytes:
        ids = await server.lease_ids()
        response = LeaseLeasesResponse(leases=[LeaseStatus(ID=lease_id) for lease_id in ids])
        return server.header() + response.SerializeToString()

    return {
        "/etcdserverpb.Lease/LeaseGrant": (LeaseGrantRequest, grant),
        "/etcdserverpb.Lease/LeaseRevoke": (LeaseRevokeRequest, server.lease_revoke),
        "/etcdserverpb.Lease/LeaseTimeToLive": (LeaseTimeToLiveRequest, time_to_live),
        "/etcdserverpb.Lease/LeaseLeases": (LeaseLeasesRequest, leases),
    }


class KeepAlives:
    """One LeaseKeepAlive call: each message renews a lease and gets an answer."""

    __slots__ = ("_call", "_server")

    def __init__(self, server: LeaseServer, call: Call) -> None:
        self._server = server
        self._call = call

    def message(self, request: LeaseKeepAliveRequest) -> None:
        ttl_s = self._server.lease_renew(request.ID)
        response = LeaseKeepAliveResponse(ID=request.ID, TTL=ttl_s)
        self._call.send(frame(self._server.header() + response.SerializeToString()))

    def half_closed(self) -> None:
        self._call.finish()

    def closed(self) -> None:
        """Nothing is held for a call."""


def streams(server: LeaseServer) -> StreamMethods:
    """The service's streaming methods by path."""
    return {
        "/etcdserverpb.Lease/LeaseKeepAlive": (
            LeaseKeepAliveRequest,
            lambda call: KeepAlives(server, call),
        )
    }
