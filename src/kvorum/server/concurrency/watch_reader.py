"""One watch of this process: what comes is kept until it is read.

While `HELD_MAX` responses wait to be read the hub sends no more events; the rest is caught up from
history later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from kvorum.proto.rpc_pb2 import WatchCreateRequest, WatchRequest, WatchResponse
from kvorum.server.ports import WatchPort

HELD_MAX: Final = 64


class WatchReader:
    """A watch of `key`, or of all keys up to `range_end`, from `start_revision` on."""

    __slots__ = ("_came", "_full", "_held", "_stream")

    def __init__(
        self, server: WatchPort, key: bytes, range_end: bytes, start_revision: int
    ) -> None:
        self._held: deque[bytes] = deque()
        self._came = asyncio.Event()
        self._full = False
        self._stream = server.new_watch_stream(self)
        create = WatchCreateRequest(key=key, range_end=range_end, start_revision=start_revision)
        self._stream.handle(WatchRequest(create_request=create))

    def send(self, message: bytes) -> bool:
        self._held.append(message)
        self._came.set()
        self._full = len(self._held) >= HELD_MAX
        return not self._full

    async def next(self) -> WatchResponse:
        """The next response that has events, or that says that the watch has ended."""
        while True:
            while not self._held:
                if self._full:
                    self._full = False
                    self._stream.writable()
                self._came.clear()
                await self._came.wait()
            response = WatchResponse.FromString(self._held.popleft())
            if response.events or response.canceled:
                return response

    def close(self) -> None:
        self._stream.close()
