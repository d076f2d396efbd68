"""Methods that count their calls, for callers in this process: the JSON gateway.

Stock's gateway is a gRPC client of its own server, so its calls stand in the figures as well. Calls
that come by HTTP/2 count themselves (`rpc.calls`), which is quicker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from kvorum.errors import Code, WireError, status_of
from kvorum.rpc.calls import Call, CallHandler, StreamMethod, UnaryMethod
from kvorum.rpc.frames import HEAD_BYTES
from kvorum.rpc.metrics.calls import MethodFigures
from kvorum.server.clock import monotonic_s

AsWireError = Callable[[BaseException], WireError]


def counted_unary(
    method: UnaryMethod, figures: MethodFigures, as_wire_error: AsWireError
) -> UnaryMethod:
    """`method`, counting in `figures`."""

    def call(request: Any, raw: bytes) -> bytes | Awaitable[bytes]:
        figures.started += 1
        figures.received_bytes += len(raw)
        begun_s = monotonic_s()
        try:
            response = method(request, raw)
        except Exception as error:
            _ended(figures, begun_s, status_of(as_wire_error(error)))
            raise
        if isinstance(response, bytes):
            figures.sent_bytes += len(response)
            _ended(figures, begun_s, Code.OK)
            return response
        future: asyncio.Future[bytes] = asyncio.ensure_future(response)

        def resolved(done: asyncio.Future[bytes]) -> None:
            error = None if done.cancelled() else done.exception()
            if done.cancelled():
                _ended(figures, begun_s, Code.CANCELLED)
            elif error is not None:
                _ended(figures, begun_s, status_of(as_wire_error(error)))
            else:
                figures.sent_bytes += len(done.result())
                _ended(figures, begun_s, Code.OK)

        future.add_done_callback(resolved)
        return future

    return call


def counted_stream(method: StreamMethod, figures: MethodFigures) -> StreamMethod:
    """`method`, counting in `figures`."""
    return lambda call: CountedStream(method, figures, call)


class CountedStream:
    """Stands between a method's handler and its call, and is each to the other."""

    def __init__(self, method: StreamMethod, figures: MethodFigures, call: Call) -> None:
        self._figures = figures
        self._call = call
        self._status = Code.CANCELLED
        """How it ends unless the method ends it."""
        self._begun_s = monotonic_s()
        figures.started += 1
        self.metadata = call.metadata
        self.start = call.start
        self.has_room = call.has_room
        self.on_writable = call.on_writable
        self._handler: CallHandler = method(self)
        self.half_closed = self._handler.half_closed

    def send(self, frames: bytes) -> bool:
        self._figures.sent += 1
        self._figures.sent_bytes += len(frames) - HEAD_BYTES
        return self._call.send(frames)

    def finish(self, error: WireError | None = None) -> None:
        self._status = Code.OK if error is None else status_of(error)
        self._call.finish(error)

    def message(self, request: Any) -> None:
        self._figures.received += 1
        self._figures.received_bytes += request.ByteSize()
        try:
            self._handler.message(request)
        except WireError as error:
            self._status = status_of(error)
            raise

    def closed(self) -> None:
        _ended(self._figures, self._begun_s, self._status)
        self._handler.closed()


def _ended(figures: MethodFigures, begun_s: float, status: int) -> None:
    figures.ended(status)
    if figures.seconds is not None:
        figures.seconds.observe(monotonic_s() - begun_s)
