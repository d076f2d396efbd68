"""etcdserverpb.KV.RangeStream, of etcd 3.7: a range in pieces. See `kvorum.mvcc.range_stream`.

While more than `UNSENT_BYTES_MAX` wait for the client, no further piece is read: what a member
holds for one call is that and one piece. Other requests are served between two pieces.
"""

from __future__ import annotations

import asyncio
from typing import Final

from kvorum.errors import Code, StatusError, WireError
from kvorum.proto.rpc_pb2 import RangeRequest
from kvorum.proto.wire import varint
from kvorum.rpc.grpc import Call
from kvorum.server.log import Logger
from kvorum.server.ports import KeyValuePort

PATH: Final = "/etcdserverpb.KV/RangeStream"
UNSENT_BYTES_MAX: Final = 1024 * 1024
_RANGE_RESPONSE_TAG: Final = b"\x0a"


class RangeStreaming:
    """One RangeStream call."""

    __slots__ = ("_call", "_log", "_server", "_task", "_writable")

    def __init__(self, server: KeyValuePort, call: Call, log: Logger) -> None:
        self._server = server
        self._call = call
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        call.on_writable(self._writable.set)

    def message(self, request: RangeRequest) -> None:
        if self._task is not None:
            raise StatusError(Code.INTERNAL, "a second request in a call that takes one")
        self._task = asyncio.ensure_future(self._run(request))

    def half_closed(self) -> None:
        if self._task is None:
            self._call.finish(StatusError(Code.UNKNOWN, "EOF"))

    def closed(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self, request: RangeRequest) -> None:
        try:
            await self._send_all(request)
        except WireError as error:
            self._call.finish(error)
        except Exception as error:
            self._log.error("failed to answer a request", error=error)
            self._call.finish(StatusError(Code.INTERNAL, "internal error; see the member's log"))
        else:
            self._call.finish()

    async def _send_all(self, request: RangeRequest) -> None:
        call = self._call
        async for piece in self._server.range_stream(request):
            call.send(_frame(piece))
            await asyncio.sleep(0)
            while not call.has_room(UNSENT_BYTES_MAX):
                self._writable.clear()
                await self._writable.wait()


def _frame(piece: bytes) -> bytes:
    """One framed RangeStreamResponse."""
    head = _RANGE_RESPONSE_TAG + varint(len(piece))
    return b"\0%b%b%b" % ((len(head) + len(piece)).to_bytes(4, "big"), head, piece)
