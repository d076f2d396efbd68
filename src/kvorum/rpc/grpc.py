"""gRPC on an HTTP/2 connection: routing, framing, status, deadlines.

A unary method is a plain function of the request, parsed and as bytes, to the response's bytes, or
to an awaitable of them; it knows nothing of HTTP. A streaming method is called once and returns an
object that gets the client's messages; it sends through its `Call`. Neither makes a task.

Source: gRPC over HTTP/2; texts of refusals as grpc-go (the server inside stock etcd) words them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any, Final, Protocol

from google.protobuf.message import DecodeError as ProtobufDecodeError

from kvorum.errors import Code, DeadlineError, NoLeaderError, StatusError, WireError, status_of
from kvorum.rpc import strict
from kvorum.rpc.frames import HEAD_BYTES, FrameReader, check_encoding, too_large
from kvorum.rpc.http2.connection import FRAME_BYTES_MAX, Receiver, Stream
from kvorum.rpc.http2.hpack import Headers, indexed_literal, literal
from kvorum.server.log import Logger

UnaryMethod = Callable[[Any, bytes], "bytes | Awaitable[bytes]"]
UnaryMethods = Mapping[str, tuple[Any, UnaryMethod]]
"""Class of the request and method, by path (`/etcdserverpb.KV/Put`)."""

_CONTENT_TYPE: Final = (b"content-type", b"application/grpc")
_STATUS_OK: Final = (b"grpc-status", b"0")
_STATUS_200: Final = b"\x88"

# The two header blocks of a good response, by what the client's table knows already: nothing, the
# content type, or both (then the status is in front of it). A block moves the state on, so blocks
# must be sent in the order in which they are made.
_START: Final = (
    _STATUS_200 + indexed_literal(*_CONTENT_TYPE),
    _STATUS_200 + b"\xbe",
    _STATUS_200 + b"\xbf",
)
_OK: Final = (literal(*_STATUS_OK), indexed_literal(*_STATUS_OK), b"\xbe")
_NO_TABLE_START: Final = b"\x20" + _STATUS_200 + literal(*_CONTENT_TYPE)
_NO_TABLE_OK: Final = literal(*_STATUS_OK)

_UNITS_S: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


class Metadata:
    """Headers of a request, looked at only when somebody asks."""

    __slots__ = ("headers",)

    def __init__(self, headers: Headers) -> None:
        self.headers = headers

    def raw(self, name: bytes) -> bytes:
        """First value of the header `name` (lower case); empty: it is not there."""
        for key, value in self.headers:
            if key == name:
                return value
        return b""


class CallHandler(Protocol):
    """The server's side of one streaming call."""

    def message(self, request: Any) -> None:
        """The client sent a message.

        Raises:
            WireError: the call ends with this status.
        """
        ...

    def half_closed(self) -> None:
        """The client has sent its last message."""
        ...

    def closed(self) -> None:
        """The call is over, for whatever reason. Called once; nothing can be sent any more."""
        ...


StreamMethod = Callable[["Call"], CallHandler]
StreamMethods = Mapping[str, tuple[Any, StreamMethod]]
"""Class of the client's messages and method, by path."""


class Call:
    """One streaming call, as its handler sees it."""

    __slots__ = ("_app", "_handler", "_kind", "_over", "_reader", "_started", "_stream", "metadata")

    def __init__(self, app: GrpcApp, kind: Any, stream: Stream, headers: Headers) -> None:
        self._app = app
        self._kind = kind
        self._stream = stream
        self.metadata = Metadata(headers)
        self._reader = FrameReader(app.size_max, self.metadata.raw(b"grpc-encoding"))
        self._handler: CallHandler | None = None
        self._started = False
        self._over = False

    # For the handler.

    def start(self) -> None:
        """Send the response's headers now, before there is a message."""
        if not self._started and not self._over:
            self._started = True
            self._stream.send_headers(start_block(self._stream))

    def send(self, frames: bytes) -> bool:
        """Send one or more framed messages.

        Returns:
            False: that is enough for now; what is given is kept all the same. `on_writable` is
            called when there is room again.
        """
        if self._over:
            return True
        self.start()
        return self._stream.send(frames)

    def on_writable(self, callback: Callable[[], None]) -> None:
        self._stream.on_writable = callback

    def finish(self, error: WireError | None = None) -> None:
        """End the call with OK or with the status of `error`. A second call does nothing."""
        if self._over:
            return
        if error is None:
            self.start()
            self._stream.end(ok_block(self._stream))
        elif self._started:
            self._stream.end(status_block(error))
        else:
            self._stream.send_headers(_refusal_block(error), end=True)
        self._close()

    # For the connection.

    def open(self, method: StreamMethod) -> None:
        try:
            check_encoding(self.metadata.raw(b"grpc-encoding"))
            self._app.check_leader(self.metadata)
            self._handler = method(self)
        except WireError as error:
            self.finish(error)

    def data(self, chunk: bytes, ended: bool) -> None:
        if self._over or self._handler is None:
            return
        reader, handler = self._reader, self._handler
        reader.feed(chunk)
        try:
            while not self._over and (message := reader.take()) is not None:
                handler.message(_parsed(self._kind, message))
            if ended and not self._over:
                if not reader.is_empty:
                    raise StatusError(Code.INTERNAL, "unexpected EOF")
                handler.half_closed()
        except WireError as error:
            self.finish(error)
        except Exception as error:
            self.finish(self._app.failed(error))

    def cancelled(self) -> None:
        self._close()

    def _close(self) -> None:
        if not self._over:
            self._over = True
            self._app.open_calls.discard(self)
            if self._handler is not None:
                self._handler.closed()


class UnaryCall:
    """One unary call. The hot path: no buffer, no task, no timer unless one is needed."""

    __slots__ = ("_app", "_headers", "_kind", "_method", "_reader", "_stream", "_timer")

    def __init__(
        self, app: GrpcApp, kind: Any, method: UnaryMethod, stream: Stream, headers: Headers
    ) -> None:
        self._app = app
        self._kind = kind
        self._method: UnaryMethod | None = method
        self._stream: Stream | None = stream
        self._headers = headers
        self._reader: FrameReader | None = None
        self._timer: asyncio.TimerHandle | None = None

    def data(self, chunk: bytes, ended: bool) -> None:
        method = self._method
        if method is None:
            return  # answered already; more of the client's data changes nothing
        size = len(chunk) - HEAD_BYTES
        # One chunk that is exactly one plain message is by far the usual case.
        if self._reader is None and size >= 0 and chunk[:5] == b"\0" + size.to_bytes(4, "big"):
            if size > self._app.size_max:
                self._refuse(too_large(size, self._app.size_max))
            else:
                self._run(method, chunk[HEAD_BYTES:])
        else:
            self._data_in_parts(method, chunk, ended)

    def cancelled(self) -> None:
        self._method = self._stream = None
        if self._timer is not None:
            self._timer.cancel()

    def _data_in_parts(self, method: UnaryMethod, chunk: bytes, ended: bool) -> None:
        reader = self._reader
        if reader is None:
            encoding = Metadata(self._headers).raw(b"grpc-encoding")
            reader = self._reader = FrameReader(self._app.size_max, encoding)
        reader.feed(chunk)
        try:
            message = reader.take()
            if message is None:
                if ended:
                    text = "EOF" if reader.is_empty else "unexpected EOF"
                    raise StatusError(Code.UNKNOWN, text)
                return
        except WireError as error:
            self._refuse(error)
            return
        self._run(method, message)

    def _run(self, method: UnaryMethod, message: bytes) -> None:
        self._method = None
        headers = self._headers
        timeout_s = None
        try:
            for key, value in headers:
                if key == b"grpc-timeout":
                    timeout_s = parse_timeout_s(value)
                elif key == b"hasleader":
                    self._app.check_leader(Metadata(headers))
                elif key == b"grpc-encoding":
                    check_encoding(value)
            response = method(self._kind.FromString(message), message)
        except Exception as error:
            reason = strict.fault(self._kind, message)
            self._refuse(self._app.as_wire_error(error) if reason is None else malformed(reason))
            return
        if type(response) is bytes:
            self._respond(response)
            return
        future: asyncio.Future[bytes] = asyncio.ensure_future(response)  # type: ignore[arg-type]
        future.add_done_callback(self._resolved)
        if timeout_s is not None:
            self._timer = future.get_loop().call_later(timeout_s, self._expired)

    def _resolved(self, future: asyncio.Future[bytes]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        error = None if future.cancelled() else future.exception()
        if self._stream is None:
            return  # nobody waits any more
        if future.cancelled():
            self._refuse(StatusError(Code.CANCELLED, "etcdserver: request canceled"))
        elif error is not None:
            self._refuse(self._app.as_wire_error(error))
        else:
            self._respond(future.result())

    def _expired(self) -> None:
        if self._stream is not None:
            self._refuse(DeadlineError())

    def _respond(self, response: bytes) -> None:
        stream = self._stream
        assert stream is not None
        self._stream = None
        prefix = b"\0" + len(response).to_bytes(4, "big")
        if len(response) < FRAME_BYTES_MAX:
            head, data = start_block(stream), prefix + response
            stream.connection.respond(stream, head, data, ok_block(stream))
            return
        stream.send_headers(start_block(stream))
        stream.send(prefix)
        stream.send(response)
        stream.end(ok_block(stream))

    def _refuse(self, error: WireError) -> None:
        stream, self._stream, self._method = self._stream, None, None
        if stream is not None:
            stream.send_headers(_refusal_block(error), end=True)


class GrpcApp:
    """Routes calls by path.

    Args:
        unary, streams: the methods.
        has_leader: whether the member knows a leader, for requests that ask for it.
        size_max: bytes of one message, at most.
        log: where failures of the server itself are told.
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
        self._unary = {path.encode(): method for path, method in unary.items()}
        self._streams = {path.encode(): method for path, method in streams.items()}
        self._services = {path.split("/")[1] for path in (*unary, *streams)}
        self._has_leader = has_leader
        self._log = log
        self.size_max = size_max
        self.open_calls: set[Call] = set()

    def open(self, path: bytes, stream: Stream, headers: Headers) -> Receiver:
        """Begin a call; what it returns gets the request's data."""
        unary = self._unary.get(path)
        if unary is not None:
            return UnaryCall(self, *unary, stream, headers)
        streaming = self._streams.get(path)
        if streaming is not None:
            call = Call(self, streaming[0], stream, headers)
            self.open_calls.add(call)
            call.open(streaming[1])
            return call
        stream.send_headers(_refusal_block(self._unknown(path.decode("latin-1"))), end=True)
        return _Ignored()

    def finish_all(self, error: WireError) -> None:
        """End every streaming call with `error`."""
        for call in tuple(self.open_calls):
            call.finish(error)

    def check_leader(self, metadata: Metadata) -> None:
        """Refuse a call that wants a leader while none is known.

        Raises:
            NoLeaderError
        """
        if metadata.raw(b"hasleader") == b"true" and not self._has_leader():
            raise NoLeaderError

    def as_wire_error(self, error: BaseException) -> WireError:
        """The status for whatever a method raised."""
        if isinstance(error, WireError):
            return error
        if isinstance(error, ProtobufDecodeError):
            return malformed(str(error))
        return self.failed(error)

    def failed(self, error: BaseException) -> StatusError:
        """A bug of ours: the log gets all of it, the client that there is one."""
        self._log.error("failed to answer a request", error=error)
        return StatusError(Code.INTERNAL, "internal error; the member's log has the details")

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


def start_block(stream: Stream) -> bytes:
    """The first header block of a good response. Send it before making another block."""
    connection = stream.connection
    if not connection.table_allowed:
        return _NO_TABLE_START
    state = connection.response_state
    if state == 0:
        connection.response_state = 1
    return _START[state]


def ok_block(stream: Stream) -> bytes:
    """The last header block of a good response. Send it before making another block."""
    connection = stream.connection
    if not connection.table_allowed:
        return _NO_TABLE_OK
    state = connection.response_state
    if stream.pending is not None:
        return _NO_TABLE_OK  # it will be sent later, when the table may be another
    if state == 1:
        connection.response_state = 2
    return _OK[state]


@lru_cache(maxsize=256)
def _status_fields(status: int, message: str) -> bytes:
    return literal(b"grpc-status", b"%d" % status) + literal(
        b"grpc-message", percent_encode(message)
    )


def status_block(error: WireError) -> bytes:
    """The last header block of a call that failed."""
    return _status_fields(status_of(error), error.message)


def _refusal_block(error: WireError) -> bytes:
    """The only header block of a call that failed before it sent anything."""
    return _STATUS_200 + literal(*_CONTENT_TYPE) + status_block(error)


def percent_encode(text: str) -> bytes:
    """`text` as a `grpc-message`: printable ASCII but `%` stays, all else is `%XX` of UTF-8."""
    return b"".join(
        b"%c" % byte if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte
        for byte in text.encode()
    )


def parse_timeout_s(value: bytes) -> float:
    """Seconds in a `grpc-timeout` header (`"5S"`, `"4999999u"`).

    Raises:
        StatusError: it is not one; grpc-go answers INTERNAL.
    """
    text = value.decode("latin-1")
    unit = _UNITS_S.get(text[-1:])
    digits = text[:-1]
    if unit is None or not digits.isascii() or not digits.isdigit() or len(digits) > 8:
        raise StatusError(Code.INTERNAL, f'malformed grpc-timeout: "{text}"')
    return int(digits) * unit


def malformed(reason: str) -> StatusError:
    """The refusal of bytes that are not the message of the method."""
    return StatusError(Code.INTERNAL, f"grpc: error unmarshalling request: {reason}")


def _parsed(kind: Any, message: bytes) -> Any:
    """A message of a stream.

    Raises:
        StatusError: it is not one.
    """
    reason = None
    try:
        request = kind.FromString(message)
    except ProtobufDecodeError as error:
        reason = strict.fault(kind, message) or str(error)
    if reason is not None:
        text = f"grpc: failed to unmarshal the received message {reason}"
        raise StatusError(Code.INTERNAL, text)
    return request


__all__ = [
    "Call",
    "CallHandler",
    "GrpcApp",
    "Metadata",
    "StreamMethods",
    "UnaryMethods",
    "malformed",
    "parse_timeout_s",
    "percent_encode",
]
