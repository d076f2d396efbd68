"""One two-way stream of messages to a member."""

from __future__ import annotations

import asyncio
from typing import Any, Generic

from kvorum.client.endpoint import Endpoint
from kvorum.client.errors import ClientClosedError, ConnectionLostError
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
        """The next message of a stream that the member does not end.

        Raises:
            WireError: why there is no next one; ConnectionLostError when the member just ended it.
        """
        response = await self.next()
        if response is None:
            raise ConnectionLostError("the member ended the stream", self.endpoint.text)
        return response

    async def next(self) -> ResponseT | None:
        """The next message; None: the member has ended the stream, and all is well.

        Raises:
            WireError: why the stream is over.
        """
        import grpc.aio  # noqa: PLC0415

        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as failure:
            raise wire_error(failure, self.endpoint.text) from None
        except asyncio.CancelledError:
            if cancelled_by_close():
                raise ClientClosedError from None
            raise
        message: ResponseT | None = None if response is grpc.aio.EOF else response
        return message

    def cancel(self) -> None:
        """End the stream from this side."""
        self._call.cancel()


def cancelled_by_close() -> bool:
    """Whether a CancelledError that was caught came from gRPC and not from the task's owner.

    gRPC raises it in the calls of a channel that is closed. To let it pass would look as if
    somebody had cancelled the task.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() == 0
