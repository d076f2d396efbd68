"""Leases: grant, revoke, look up, keep alive."""

from __future__ import annotations

import asyncio
import contextlib

from kvorum.client.call import DEFAULT, Service, Timeout
from kvorum.client.deadline import Deadline
from kvorum.client.errors import (
    ConnectionLostError,
    DeadlineExceededError,
    TransportError,
)
from kvorum.client.keepalive import KeepAlive, LeaseKeeper
from kvorum.client.methods import (
    LEASE_GRANT,
    LEASE_KEEP_ALIVE,
    LEASE_LEASES,
    LEASE_REVOKE,
    LEASE_TIME_TO_LIVE,
)
from kvorum.client.transport import Transport
from kvorum.errors import LeaseNotFoundError, WireError
from kvorum.proto.rpc_pb2 import (
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseLeasesRequest,
    LeaseLeasesResponse,
    LeaseRevokeRequest,
    LeaseRevokeResponse,
    LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
)


class Leases(Service):
    """The lease calls. A lease is named by its id, an integer that the member chooses."""

    __slots__ = ("_keeper",)

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self._keeper = LeaseKeeper(transport)

    async def close(self) -> None:
        await self._keeper.close()

    async def grant(
        self, ttl_s: int, *, lease_id: int = 0, timeout_s: Timeout = DEFAULT
    ) -> LeaseGrantResponse:
        """Make a lease that ends `ttl_s` seconds after it was last kept alive.

        The member may give it a longer time (`TTL` of the response), and an id if `lease_id` is 0.

        Raises:
            LeaseExistsError: `lease_id` is taken.
            LeaseTtlTooLargeError: the time is too long.
        """
        request = LeaseGrantRequest(TTL=ttl_s, ID=lease_id)
        return await self._call(LEASE_GRANT, request, timeout_s)

    async def revoke(self, lease_id: int, *, timeout_s: Timeout = DEFAULT) -> LeaseRevokeResponse:
        """End a lease and delete its keys.

        Raises:
            LeaseNotFoundError: there is no such lease.
        """
        return await self._call(LEASE_REVOKE, LeaseRevokeRequest(ID=lease_id), timeout_s)

    async def time_to_live(
        self, lease_id: int, *, keys: bool = False, timeout_s: Timeout = DEFAULT
    ) -> LeaseTimeToLiveResponse:
        """Seconds that a lease has left (-1: there is none), and with `keys` the keys it holds."""
        request = LeaseTimeToLiveRequest(ID=lease_id, keys=keys)
        return await self._call(LEASE_TIME_TO_LIVE, request, timeout_s)

    async def list(self, *, timeout_s: Timeout = DEFAULT) -> LeaseLeasesResponse:
        """All leases, those that end first first."""
        return await self._call(LEASE_LEASES, LeaseLeasesRequest(), timeout_s)

    def keep_alive(self, lease_id: int) -> KeepAlive:
        """Keep a lease alive until the result is cancelled; see KeepAlive."""
        return self._keeper.add(lease_id)

    async def keep_alive_once(
        self, lease_id: int, *, timeout_s: Timeout = DEFAULT
    ) -> LeaseKeepAliveResponse:
        """Set the remaining time of a lease back to the whole.

        Raises:
            LeaseNotFoundError: there is no such lease.
        """
        if timeout_s is DEFAULT:
            timeout_s = self._transport.options.timeout_s
        ring, deadline = self._transport.ring, Deadline(timeout_s)
        retry = self._transport.retry(ring, deadline, is_read=True)
        patience_s = self._transport.options.read_attempt_s
        raised: WireError | None = None
        while raised is None:
            endpoint, left_s = ring.current, deadline.left_s()
            is_cut = len(ring) > 1 and (left_s is None or patience_s < left_s)
            try:
                async with asyncio.timeout(patience_s if is_cut else left_s):
                    response = await self._keep_alive_attempt(lease_id)
            except TimeoutError:
                if not is_cut:
                    raise DeadlineExceededError(endpoint.text) from None
                lost = ConnectionLostError(f"no answer within {patience_s:g} s", endpoint.text)
                raised = await retry.after(endpoint, lost)
                patience_s *= 2
            except WireError as error:
                if len(ring) == 1 and not isinstance(error, TransportError):
                    raise  # as Go's client; the member has waited for a leader itself
                raised = await retry.after(endpoint, error)
            else:
                if response.TTL <= 0:
                    raise LeaseNotFoundError
                return response
        raise raised

    async def _keep_alive_attempt(self, lease_id: int) -> LeaseKeepAliveResponse:
        stream = await self._transport.open_stream(LEASE_KEEP_ALIVE)
        try:
            with contextlib.suppress(ConnectionLostError):  # `receive` tells why
                await stream.send(LeaseKeepAliveRequest(ID=lease_id))
            return await stream.receive()
        finally:
            stream.cancel()
