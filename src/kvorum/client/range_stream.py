"""A range received in pieces (RangeStream of etcd 3.7).

Source: etcd 3.7, documentation of RangeStream.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from kvorum.client.call import DEFAULT, Timeout
from kvorum.client.deadline import Deadline
from kvorum.client.methods import RANGE_STREAM
from kvorum.client.retry import Retry
from kvorum.client.stream import Stream
from kvorum.client.transport import Transport
from kvorum.errors import WireError
from kvorum.proto.rpc_pb2 import RangeRequest, RangeResponse, RangeStreamResponse

RangeCall = Stream[RangeRequest, RangeStreamResponse]


async def read_range(
    transport: Transport, request: RangeRequest, timeout_s: Timeout
) -> AsyncGenerator[RangeResponse, None]:
    """See `KV.range_stream`."""
    stream, response = await _begin(transport, request, timeout_s)
    try:
        while response is not None:
            yield response.range_response
            response = await stream.next()
    finally:
        stream.cancel()


async def _begin(
    transport: Transport, request: RangeRequest, timeout_s: Timeout
) -> tuple[RangeCall, RangeStreamResponse | None]:
    """The call and its first message. Until there is one, the call may be made again."""
    deadline = Deadline(None if timeout_s is DEFAULT else timeout_s)
    # Without a limit for all of it there still is one for finding a member.
    patience = deadline if deadline.left_s() is not None else Deadline(transport.options.timeout_s)
    retry = Retry(transport.options, transport.ring, patience, is_read=True)
    token_renewed = False
    while True:
        target = transport.ring.current
        try:
            stream = await transport.ask(target, RANGE_STREAM, request, deadline.left_s())
            try:
                return stream, await stream.next()
            except BaseException:
                stream.cancel()
                raise
        except WireError as error:
            if not token_renewed and transport.token_is_stale(error):
                token_renewed = True
                continue
            raised = await retry.after(target, error)
        if raised is not None:
            raise raised
