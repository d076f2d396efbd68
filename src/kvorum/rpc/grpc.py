"""gRPC on an HTTP/2 connection: routing by path. The calls themselves are in `rpc.calls`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from kvorum.errors import Code, NoLeaderError, StatusError, WireError
from kvorum.rpc.calls import (
    Call,
    CallHandler,
    CallServer,
    StreamCall,
    StreamMethod,
    UnaryCall,
    UnaryMethod,
)
from kvorum.rpc.http2.hpack import Headers, literal
from kvorum.rpc.http2.streams import Receiver, Stream
from kvorum.rpc.learners import LearnerGuard
from kvorum.rpc.metadata import Metadata
from kvorum.rpc.metrics.calls import CallFigures
from kvorum.rpc.metrics.counted import counted_stream, counted_unary
from kvorum.rpc.responses import refusal_block, status_block
from kvorum.rpc.tracing import TracedStreamCall, TracedUnaryCall, Tracer, traced_unary
from kvorum.server.log import Logger

UnaryMethods = Mapping[str, tuple[Any, UnaryMethod]]
"""Class of the request and method, by path (`/etcdserverpb.KV/Put`)."""
StreamMethods = Mapping[str, tuple[Any, StreamMethod]]
"""Class of the client's messages and method, by path."""


class GrpcApp(CallServer):
    """Routes calls by path.

    Args:
        unary, streams: the methods.
        has_leader, size_max, log, figures: see `CallServer`.
        tracer: told of each call.
        guard: refuses what a learner does not answer.
    """

    def __init__(
        self,
        unary: UnaryMethods,
        streams: StreamMethods,
        *,
        has_leader: Callable[[], bool],
        size_max: int,
        log: Logger,
        figures: CallFigures | None = None,
        tracer: Tracer | None = None,
        guard: LearnerGuard | None = None,
    ) -> None:
        super().__init__(has_leader=has_leader, size_max=size_max, log=log, figures=figures)
        self._tracer = tracer
        self._unary_call: Callable[..., UnaryCall] = UnaryCall
        self._stream_call: Callable[..., StreamCall] = StreamCall
        if tracer is not None:
            self._unary_call = partial(TracedUnaryCall, tracer)
            self._stream_call = partial(TracedStreamCall, tracer)
        self._set_methods(unary, streams)
        if guard is not None:
            guard.on_voter = lambda: self._set_methods(unary, streams)
            self._set_methods(
                {path: (kind, guard.unary(method)) for path, (kind, method) in unary.items()},
                {
                    path: (kind, guard.stream(path, method))
                    for path, (kind, method) in streams.items()
                },
            )
        self._services = {path.split("/")[1] for path in (*unary, *streams)}
        self.on_finish: list[Callable[[WireError], None]] = []
        """Called by `finish_all`: end the unary calls that may wait for ever."""

    def _set_methods(self, unary: UnaryMethods, streams: StreamMethods) -> None:
        figures = self.figures
        self._unary = {
            path.encode(): (*method, figures.method(path)) for path, method in unary.items()
        }
        self._streams = {
            path.encode(): (*method, figures.method(path)) for path, method in streams.items()
        }

    def open(self, path: bytes, stream: Stream, headers: Headers) -> Receiver:
        """Begin a call; what it returns gets the request's data."""
        unary = self._unary.get(path)
        if unary is not None:
            return self._unary_call(self, *unary, stream, headers)
        streaming = self._streams.get(path)
        if streaming is not None:
            kind, method, figures = streaming
            call = self._stream_call(self, kind, figures, stream, headers)
            call.open(method)
            return call
        stream.send_headers(refusal_block(self.unknown(path.decode("latin-1"))), end=True)
        return _Ignored()

    def unary(self, path: str) -> tuple[Any, UnaryMethod] | None:
        """The unary method at `path`, for callers in this process."""
        found = self._unary.get(path.encode())
        if found is None:
            return None
        kind, method, figures = found
        counted = counted_unary(method, figures, self.as_wire_error)
        return kind, traced_unary(counted, self._tracer, path) if self._tracer else counted

    def streaming(self, path: str) -> tuple[Any, StreamMethod] | None:
        """The streaming method at `path`, for callers in this process."""
        found = self._streams.get(path.encode())
        if found is None:
            return None
        kind, method, figures = found
        return kind, counted_stream(method, figures)

    def finish_leaderless(self) -> None:
        """End the streaming calls that want a leader: there has been none for long."""
        for call in tuple(self.open_calls):
            if call.metadata.raw(b"hasleader") == b"true":
                call.finish(NoLeaderError())

    def finish_all(self, error: WireError) -> None:
        """End every streaming call, and every unary one that may wait for ever, with `error`."""
        for end in self.on_finish:
            end(error)
        for call in tuple(self.open_calls):
            call.finish(error)

    def unknown(self, path: str) -> StatusError:
        """The refusal of a path that has no method."""
        parts = path.split("/")
        if len(parts) != 3 or parts[0]:
            return StatusError(Code.UNIMPLEMENTED, f'malformed method name: "{path}"')
        if parts[1] in self._services:
            text = f"unknown method {parts[2]} for service {parts[1]}"
        else:
            text = f"unknown service {parts[1]}"
        return StatusError(Code.UNIMPLEMENTED, text)


def refused_plain(stream: Stream, headers: Headers) -> Receiver:
    """Refuse a request that is no call, on a port that has nothing else. Source: grpc-go."""
    kind = next((value for name, value in headers if name == b"content-type"), b"")
    shown = kind.decode("latin-1")
    error = StatusError(Code.INVALID_ARGUMENT, f'invalid gRPC request content-type "{shown}"')
    stream.send_headers(
        literal(b":status", b"415")
        + literal(b"content-type", b"application/grpc")
        + status_block(error),
        end=True,
    )
    return _Ignored()


class _Ignored:
    """Receives the rest of a request that has been refused."""

    def data(self, chunk: bytes, ended: bool) -> None:
        return

    def cancelled(self) -> None:
        return


__all__ = ["Call", "CallHandler", "GrpcApp", "Metadata", "StreamMethods", "UnaryMethods"]
