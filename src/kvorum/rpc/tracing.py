"""gRPC calls that are told to a tracer: one span for each, as the server inside etcd makes them.

Used only where a tracer was asked for; without one the calls of `rpc.calls` are made as they are.

Source: spans of otelgrpc (names, attributes, which statuses count as errors), which etcd 3.6 uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Protocol

from kvorum.errors import Code, WireError, status_of
from kvorum.rpc.calls import CallServer, StreamCall, UnaryCall, UnaryMethod
from kvorum.rpc.http2.hpack import Headers
from kvorum.rpc.http2.streams import Stream
from kvorum.rpc.metrics.calls import MethodFigures


class Span(Protocol):
    """One call under way."""

    def end(self, status: int, message: str = "") -> None:
        """The call is over, with this gRPC status. Called once."""
        ...


class Tracer(Protocol):
    """Who is told of calls."""

    def start(self, path: str, headers: Headers, remote: str) -> Span:
        """A call has begun.

        Args:
            path: `/etcdserverpb.KV/Put`.
            headers: of the call; they may name the caller's span.
            remote: the client's address and port; empty for a call from this process.
        """
        ...


class TracedUnaryCall(UnaryCall):
    """A unary call with a span."""

    __slots__ = ("_span",)

    def __init__(
        self,
        tracer: Tracer,
        server: CallServer,
        kind: Any,
        method: UnaryMethod,
        figures: MethodFigures,
        stream: Stream,
        headers: Headers,
    ) -> None:
        super().__init__(server, kind, method, figures, stream, headers)
        self._span: Span | None = tracer.start(figures.path, headers, stream.connection.remote)

    def cancelled(self) -> None:
        self._end(Code.CANCELLED)
        super().cancelled()

    def _respond(self, response: bytes) -> None:
        super()._respond(response)
        self._end(Code.OK)

    def _refuse(self, error: WireError) -> None:
        super()._refuse(error)
        self._end(status_of(error), error.message)

    def _end(self, status: int, message: str = "") -> None:
        span, self._span = self._span, None
        if span is not None:
            span.end(status, message)


class TracedStreamCall(StreamCall):
    """A streaming call with a span from its beginning to its end."""

    __slots__ = ("_span",)

    def __init__(
        self,
        tracer: Tracer,
        server: CallServer,
        kind: Any,
        figures: MethodFigures,
        stream: Stream,
        headers: Headers,
    ) -> None:
        super().__init__(server, kind, figures, stream, headers)
        self._span: Span | None = tracer.start(figures.path, headers, stream.connection.remote)

    def _close(self, status: int) -> None:
        super()._close(status)
        span, self._span = self._span, None
        if span is not None:
            span.end(status)


def traced_unary(method: UnaryMethod, tracer: Tracer, path: str) -> UnaryMethod:
    """A method for callers in this process (the JSON gateway) that makes a span of each call."""

    def call(request: Any, raw: bytes) -> bytes | Awaitable[bytes]:
        span = tracer.start(path, (), "")
        try:
            response = method(request, raw)
        except Exception as error:
            span.end(*_status(error))
            raise
        if isinstance(response, bytes):
            span.end(Code.OK)
            return response
        future: asyncio.Future[bytes] = asyncio.ensure_future(response)

        def ended(done: asyncio.Future[bytes]) -> None:
            if done.cancelled():
                span.end(Code.CANCELLED)
            else:
                span.end(*_status(done.exception()))

        future.add_done_callback(ended)
        return future

    return call


def _status(error: BaseException | None) -> tuple[int, str]:
    if error is None:
        return Code.OK, ""
    if isinstance(error, WireError):
        return status_of(error), error.message
    return Code.INTERNAL, "internal error"
