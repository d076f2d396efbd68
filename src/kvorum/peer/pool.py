"""Connections that questions to other members were asked on, kept for the next ones.

A member that does not lead asks its leader for each renewal of a lease. Most of what such a
question cost was the connection made for it.
"""

from __future__ import annotations

import asyncio
from typing import Final

from kvorum.peer.http import Answer, HeaderList, PeerConnection, PeerHttpError
from kvorum.peer.options import PeerOptions
from kvorum.peer.posting import connection_to

IDLE_MAX: Final = 32
"""Connections that wait for a question; one more is closed."""
IDLE_S: Final = 30.0
"""How long they wait, about: leaders change, and members close what is not used."""


class ConnectionPool:
    """See the module. Who needs many at a time gets many; few of them are kept."""

    def __init__(self, options: PeerOptions, *, io_timeout_s: float) -> None:
        self._options = options
        self._io_timeout_s = io_timeout_s
        self._idle: list[tuple[PeerConnection, float]] = []
        """With the time of the last use; the one that was used last is last."""
        self._sweeping: asyncio.TimerHandle | None = None
        self._is_open = True

    async def request(
        self, url: str, method: str, path: str, headers: HeaderList, body: bytes
    ) -> Answer:
        """Ask something that may be asked twice.

        The other side may close a connection in the moment when a question is sent on it; then it
        is asked again, on a new one.

        Raises:
            PeerHttpError
        """
        kept = self._take(url)
        if kept is not None:
            try:
                return await self._ask(kept, method, path, headers, body)
            except PeerHttpError as error:
                if isinstance(error.__cause__, TimeoutError):
                    raise
        fresh = connection_to(url, self._options, io_timeout_s=self._io_timeout_s)
        return await self._ask(fresh, method, path, headers, body)

    def close(self) -> None:
        """Let go of all connections; none is kept from now on."""
        self._is_open = False
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection, _ in self._idle:
            connection.close()
        self._idle.clear()

    async def _ask(
        self, connection: PeerConnection, method: str, path: str, headers: HeaderList, body: bytes
    ) -> Answer:
        answer = await connection.request(method, path, headers, body)
        self._keep(connection)
        return answer

    def _take(self, url: str) -> PeerConnection | None:
        for place in range(len(self._idle) - 1, -1, -1):
            connection, _ = self._idle[place]
            if connection.url == url:
                del self._idle[place]
                if connection.is_usable:
                    return connection
                connection.close()
        return None

    def _keep(self, connection: PeerConnection) -> None:
        if not self._is_open or not connection.is_usable:
            connection.close()
            return
        if len(self._idle) >= IDLE_MAX:
            self._idle.pop(0)[0].close()
        loop = asyncio.get_running_loop()
        self._idle.append((connection, loop.time()))
        if self._sweeping is None:
            self._sweeping = loop.call_later(IDLE_S, self._sweep)

    def _sweep(self) -> None:
        """Close what has not been used for long."""
        loop = asyncio.get_running_loop()
        while self._idle and loop.time() - self._idle[0][1] >= IDLE_S / 2:
            self._idle.pop(0)[0].close()
        self._sweeping = loop.call_later(IDLE_S, self._sweep) if self._idle else None
