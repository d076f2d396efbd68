"""etcdserverpb.KV.RangeStream, of etcd 3.7: a range in pieces. See `kvorum.mvcc.range_stream`.

While more than `UNSENT_BYTES_MAX` wait for the client, no further piece is read: what a member
holds for one call is that and one piece. Other requests are served between two pieces.
"""

from __future__ import annotations

import asyncio
from typing import Final

from kvorum.proto.rpc_pb2 import RangeRequest
from kvorum.proto.wire import varint
from kvorum.rpc.calls import Call, CallHandler
from kvorum.rpc.services.streamed import StreamedAnswer
from kvorum.server.log import Logger
from kvorum.server.ports import KeyValuePort

PATH: Final = "/etcdserverpb.KV/RangeStream"
UNSENT_BYTES_MAX: Final = 1024 * 1024
_RANGE_RESPONSE_TAG: Final = b"\x0a"


def stream_range(server: KeyValuePort, call: Call, log: Logger) -> CallHandler:
    """Serve one RangeStream call."""

    async def answer(request: RangeRequest, to: StreamedAnswer) -> None:
        async for piece in server.range_stream(request):
            await to.send(_frame(piece), UNSENT_BYTES_MAX)
            await asyncio.sleep(0)

    return StreamedAnswer(call, answer, log)


def _frame(piece: bytes) -> bytes:
    """One framed RangeStreamResponse."""
    head = _RANGE_RESPONSE_TAG + varint(len(piece))
    return b"\0%b%b%b" % ((len(head) + len(piece)).to_bytes(4, "big"), head, piece)
