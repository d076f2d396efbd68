"""One two-way stream of messages to a member."""

from __future__ import annotations

import asyncio
from typing import Any, Generic

from kvorum.client.endpoint import Endpoint
from kvorum.client.errors import ConnectionLostError
from kvorum.client.methods import RequestT, ResponseT
from kvorum.client.status import wire_error


class Stream(Generic[RequestT, ResponseT]):
    """An open stream. Sends come from one task only, and receives from one task only."""

    __slots__ = ("_call", "endpoint")

    def __init__(self, endpoint: Endpoint, call: Any) -> None:
        self.endpoint = endpoint
        self._call = call

    async def send(self, request: RequestT) -> None:
        """Send a message; waits while the member takes no more.

        Raises:
            ConnectionLostError: the stream is over. `receive` knows why.
        """
        import grpc.aio  # noqa: PLC0415 - see kvorum.client.channels

        try:
            await self._call.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
            raise ConnectionLostError("stream is over", self.endpoint.text) from None

    async def receive(self) -> ResponseT:
        """The next message.

        Raises:
            WireError: why there is no next one; ConnectionLostError when the member just ended it.
        """
        import grpc.aio  # noqa: PLC0415

        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as failure:
            raise wire_error(failure, self.endpoint.text) from None
        if response is grpc.aio.EOF:
            raise ConnectionLostError("the member ended the stream", self.endpoint.text)
        message: ResponseT = response
        return message

    def cancel(self) -> None:
        """End the stream from this side."""
        self._call.cancel()
