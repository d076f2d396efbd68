"""etcdserverpb.Lease."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from itertools import islice
from typing import Final, Protocol

from kvorum.errors import TooManyRequestsError, WireError
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

FORWARDED_MAX: Final = 16
"""Renewals of one call that are asked of the leader at the same time."""
WAITING_MAX: Final = 200_000
"""Leases of one call that wait for the leader. A client may well keep all its leases alive by one
call, and send them all at once."""


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
    """One LeaseKeepAlive call: each message renews a lease and gets an answer, in order.

    A member that leads answers at once. Another asks its leader, a few leases at a time; what
    comes meanwhile waits here.
    """

    __slots__ = ("_call", "_server", "_task", "_waiting")

    def __init__(self, server: LeaseServer, call: Call) -> None:
        self._server = server
        self._call = call
        self._waiting: dict[int, None] = {}
        """Leases to renew, in the order in which they came; a set with an order."""
        self._task: asyncio.Task[None] | None = None

    def message(self, request: LeaseKeepAliveRequest) -> None:
        if self._task is None:
            ttl_s = self._server.lease_renew(request.ID)
            if isinstance(ttl_s, int):
                self._answer(request.ID, ttl_s)
            else:
                self._task = asyncio.ensure_future(self._forward(request.ID, ttl_s))
            return
        if len(self._waiting) >= WAITING_MAX and request.ID not in self._waiting:
            raise TooManyRequestsError
        self._waiting[request.ID] = None

    def half_closed(self) -> None:
        if self._task is None:
            self._call.finish()
        else:
            self._task.add_done_callback(lambda _: self._call.finish())

    def closed(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _answer(self, lease_id: int, ttl_s: int) -> None:
        response = LeaseKeepAliveResponse(ID=lease_id, TTL=ttl_s)
        self._call.send(frame(self._server.header() + response.SerializeToString()))

    async def _forward(self, lease_id: int, renewal: Awaitable[int]) -> None:
        """Answer when the leader has; then see to what has come meanwhile."""
        try:
            self._answer(lease_id, await renewal)
            while self._waiting:
                ids = list(islice(self._waiting, FORWARDED_MAX))
                for one in ids:
                    del self._waiting[one]
                ttls = await asyncio.gather(*map(self._renew, ids))
                for one, ttl_s in zip(ids, ttls, strict=True):
                    self._answer(one, ttl_s)
        except WireError as error:
            self._task = None
            self._call.finish(error)
        self._task = None

    async def _renew(self, lease_id: int) -> int:
        ttl_s = self._server.lease_renew(lease_id)
        return ttl_s if isinstance(ttl_s, int) else await ttl_s


def streams(server: LeaseServer) -> StreamMethods:
    """The service's streaming methods by path."""
    return {
        "/etcdserverpb.Lease/LeaseKeepAlive": (
            LeaseKeepAliveRequest,
            lambda call: KeepAlives(server, call),
        )
    }
