"""etcdserverpb.Lease."""

from __future__ import annotations

from collections.abc import Mapping
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
from kvorum.rpc.grpc import Call, Metadata, StreamMethod, UnaryMethod
from kvorum.server.ports import InfoPort, LeasePort, Response


class LeaseServer(LeasePort, InfoPort, Protocol):
    """Both ports in one object."""


def methods(server: LeaseServer) -> Mapping[str, UnaryMethod]:
    """The service's unary methods by path."""

    def grant(message: bytes, _: Metadata) -> Response:
        return server.lease_grant(LeaseGrantRequest.FromString(message))

    def revoke(message: bytes, _: Metadata) -> Response:
        return server.lease_revoke(LeaseRevokeRequest.FromString(message), message)

    async def time_to_live(message: bytes, _: Metadata) -> bytes:
        request = LeaseTimeToLiveRequest.FromString(message)
        life = await server.lease_time_to_live(request.ID, with_keys=request.keys)
        response = LeaseTimeToLiveResponse(
            ID=request.ID, TTL=life.remaining_s, grantedTTL=life.granted_s, keys=life.keys
        )
        return server.header() + response.SerializeToString()

    async def leases(message: bytes, _: Metadata) -> bytes:
        LeaseLeasesRequest.FromString(message)
        ids = await server.lease_ids()
        response = LeaseLeasesResponse(leases=[LeaseStatus(ID=lease_id) for lease_id in ids])
        return server.header() + response.SerializeToString()

    return {
        "/etcdserverpb.Lease/LeaseGrant": grant,
        "/etcdserverpb.Lease/LeaseRevoke": revoke,
        "/etcdserverpb.Lease/LeaseTimeToLive": time_to_live,
        "/etcdserverpb.Lease/LeaseLeases": leases,
    }


class KeepAlives:
    """One LeaseKeepAlive call: each message renews a lease and gets an answer."""

    __slots__ = ("_call", "_server")

    def __init__(self, server: LeaseServer, call: Call) -> None:
        self._server = server
        self._call = call

    def message(self, message: bytes) -> None:
        lease_id = LeaseKeepAliveRequest.FromString(message).ID
        ttl_s = self._server.lease_renew(lease_id)
        response = LeaseKeepAliveResponse(ID=lease_id, TTL=ttl_s)
        self._call.send(frame(self._server.header() + response.SerializeToString()))

    def half_closed(self) -> None:
        self._call.finish()

    def closed(self) -> None:
        """Nothing is held for a call."""


def streams(server: LeaseServer) -> Mapping[str, StreamMethod]:
    """The service's streaming methods by path."""
    return {"/etcdserverpb.Lease/LeaseKeepAlive": lambda call: KeepAlives(server, call)}
