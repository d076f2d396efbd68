"""A range received in pieces (RangeStream of etcd 3.7).

Source: etcd 3.7, documentation of RangeStream.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from kvorum.client.methods import RANGE_STREAM
from kvorum.client.transport import Transport
from kvorum.proto.rpc_pb2 import RangeRequest, RangeResponse


async def read_range(
    transport: Transport, request: RangeRequest, timeout_s: float | None
) -> AsyncGenerator[RangeResponse, None]:
    """See `KV.range_stream`."""
    stream, response = await transport.ask(RANGE_STREAM, request, timeout_s=timeout_s)
    try:
        while response is not None:
            yield response.range_response
            response = await stream.next()
    finally:
        stream.cancel()
