"""gRPC on an HTTP/2 connection: routing by path. The calls themselves are in `rpc.calls`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kvorum.errors import Code, StatusError, WireError
from kvorum.rpc.calls import Call, CallHandler, CallServer, StreamMethod, UnaryCall, UnaryMethod
from kvorum.rpc.http2.hpack import Headers
from kvorum.rpc.http2.streams import Receiver, Stream
from kvorum.rpc.metadata import Metadata
from kvorum.rpc.responses import refusal_block
from kvorum.server.log import Logger

UnaryMethods = Mapping[str, tuple[Any, UnaryMethod]]
"""Class of the request and method, by path (`/etcdserverpb.KV/Put`)."""
StreamMethods = Mapping[str, tuple[Any, StreamMethod]]
"""Class of the client's messages and method, by path."""


class GrpcApp(CallServer):
    """Routes calls by path.

    Args:
        unary, streams: the methods.
        has_leader, size_max, log: see `CallServer`.
    """

    def __init__(
        self,
        unary: UnaryMethods,
        streams: StreamMethods,
        *,
        has_leader: Callable[[], bool],
        size_max: int,
        log: Logger,
    ) -> None:
        super().__init__(has_leader=has_leader, size_max=size_max, log=log)
        self._unary = {path.encode(): method for path, method in unary.items()}
        self._streams = {path.encode(): method for path, method in streams.items()}
        self._services = {path.split("/")[1] for path in (*unary, *streams)}

    def open(self, path: bytes, stream: Stream, headers: Headers) -> Receiver:
        """Begin a call; what it returns gets the request's data."""
        unary = self._unary.get(path)
        if unary is not None:
            return UnaryCall(self, *unary, stream, headers)
        streaming = self._streams.get(path)
        if streaming is not None:
            call = Call(self, streaming[0], stream, headers)
            call.open(streaming[1])
            return call
        stream.send_headers(refusal_block(self._unknown(path.decode("latin-1"))), end=True)
        return _Ignored()

    def finish_all(self, error: WireError) -> None:
        """End every streaming call with `error`."""
        for call in tuple(self.open_calls):
            call.finish(error)

    def _unknown(self, path: str) -> StatusError:
        parts = path.split("/")
        if len(parts) != 3 or parts[0]:
            return StatusError(Code.UNIMPLEMENTED, f'malformed method name: "{path}"')
        if parts[1] in self._services:
            text = f"unknown method {parts[2]} for service {parts[1]}"
        else:
            text = f"unknown service {parts[1]}"
        return StatusError(Code.UNIMPLEMENTED, text)


class _Ignored:
    """Receives the rest of a request that has been refused."""

    def data(self, chunk: bytes, ended: bool) -> None:
        return

    def cancelled(self) -> None:
        return


__all__ = ["Call", "CallHandler", "GrpcApp", "Metadata", "StreamMethods", "UnaryMethods"]
