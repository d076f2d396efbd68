"""Calls about one member: how it is, what it holds, what it warns of."""

from __future__ import annotations

from kvorum.client.call import DEFAULT, Service, Timeout
from kvorum.client.methods import ALARM_GET, HASH_KV, STATUS
from kvorum.proto.rpc_pb2 import (
    AlarmRequest,
    AlarmResponse,
    HashKVRequest,
    HashKVResponse,
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
