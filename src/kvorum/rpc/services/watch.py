"""etcdserverpb.Watch: one task reads the client's requests, one writes what the hub produced.

The sink between them is bounded: above `buffer_bytes_max` the hub is told so and the stream's
watchers fall behind, to be caught up from history when the client reads again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from kvorum.proto.rpc_pb2 import WatchRequest
from kvorum.rpc.grpc import Call, ClientGoneError, StreamMethod
from kvorum.rpc.streams import until_stopping
from kvorum.server.ports import InfoPort, WatchPort

BUFFER_BYTES_MAX: Final = 4 * 1024 * 1024
"""Encoded responses that wait for one stream's client, at most (one response may be above it)."""

CHUNK_BYTES_MAX: Final = 256 * 1024
"""Responses handed to the transport at once: enough to make its cost per call small."""


class WatchServer(WatchPort, InfoPort):
    """Both ports in one object."""


class Outbox:
    """Responses on their way to one client, already framed."""

    __slots__ = ("_bytes", "_bytes_max", "_frames", "_waiter", "refused")

    def __init__(self, bytes_max: int = BUFFER_BYTES_MAX) -> None:
        self._frames: list[bytes] = []
        self._bytes = 0
        self._bytes_max = bytes_max
        self._waiter: asyncio.Future[None] | None = None
        self.refused = False

    def send(self, message: bytes) -> bool:
        """Take one encoded response. False: full, until `writable` is called on the stream."""
        size = len(message)
        self._frames.append(b"\0" + size.to_bytes(4, "big") + message)
        self._bytes += size
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self._bytes > self._bytes_max:
            self.refused = True
            return False
        return True

    async def take(self) -> bytes:
        """Frames to send next, some `CHUNK_BYTES_MAX` of them; waits until there are any."""
        if not self._frames:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        frames = self._frames
        if self._bytes <= CHUNK_BYTES_MAX:
            self._frames = []
            self._bytes = 0
            return b"".join(frames)
        count = size = 0
        while count < len(frames) and size < CHUNK_BYTES_MAX:
            size += len(frames[count])
            count += 1
        chunk = b"".join(frames[:count])
        del frames[:count]
        self._bytes = sum(map(len, frames))
        return chunk

    @property
    def is_half_empty(self) -> bool:
        return self._bytes <= self._bytes_max // 2


def streams(server: WatchServer) -> Mapping[str, StreamMethod]:
    """The service's methods by path."""

    async def serve(call: Call) -> None:
        outbox = Outbox()
        stream = server.new_watch_stream(outbox)
        await call.start()

        async def write() -> None:
            while True:
                await call.write(await outbox.take())
                if outbox.refused and outbox.is_half_empty:
                    outbox.refused = False
                    stream.writable()

        writer = asyncio.ensure_future(write())
        try:
            while (message := await call.read()) is not None:
                stream.handle(WatchRequest.FromString(message))
            # The client has no more to ask but goes on listening.
            await writer
        finally:
            stream.close()
            writer.cancel()
            await asyncio.wait((writer,))
            if not writer.cancelled() and writer.exception() is not None:
                raise ClientGoneError from writer.exception()

    async def watch(call: Call) -> None:
        await until_stopping(server.stopping, serve(call))

    return {"/etcdserverpb.Watch/Watch": watch}
