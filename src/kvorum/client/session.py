"""A session: a lease that is kept alive as long as its program lives and can reach the cluster.

    async with client.session(ttl_s=10) as session:
        async with session.lock(b"job"):
            ...

What is put with the session's lease goes with it: the locks it holds, the elections it has won.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, Self

from kvorum.client.election import Election
from kvorum.client.errors import ClientClosedError
from kvorum.client.mutex import Mutex
from kvorum.errors import WireError

if TYPE_CHECKING:
    from kvorum.client.client import Client
    from kvorum.client.keepalive import KeepAlive

TTL_S: Final = 60
REVOKE_TIMEOUT_S: Final = 5.0


class Session:
    """See the module. Made by `Client.session`; begins with `start`, or with `async with`."""

    def __init__(self, client: Client, ttl_s: int) -> None:
        self._client = client
        self._ttl_s = ttl_s if ttl_s > 0 else TTL_S
        self._kept: KeepAlive | None = None
        self.lease_id = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self, *, timeout_s: float | None = None) -> None:
        """Get the lease; waits for a member as long as it takes, or `timeout_s`."""
        response = await self._client.leases.grant(self._ttl_s, timeout_s=timeout_s)
        self.lease_id = response.ID
        self._kept = self._client.leases.keep_alive(self.lease_id)

    async def wait_over(self) -> WireError:
        """Return the reason when the lease has ended, or cannot be kept alive any more."""
        if self._kept is None:
            return ClientClosedError()
        return await self._kept.wait_over()

    async def close(self) -> None:
        """End the lease, and what hangs on it. If no member can be told, it ends by its time."""
        kept, self._kept = self._kept, None
        if kept is None:
            return
        kept.cancel()
        with contextlib.suppress(WireError):
            await self._client.leases.revoke(self.lease_id, timeout_s=REVOKE_TIMEOUT_S)

    def lock(self, name: bytes) -> Mutex:
        """The lock of this name, for this session; it is not held yet."""
        return Mutex(self._client, self.lease_id, name)

    def election(self, name: bytes) -> Election:
        """The election of this name, for this session to take part in."""
        return Election(self._client, self.lease_id, name)
