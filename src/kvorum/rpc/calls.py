"""Calls of gRPC: a unary one, and one that streams.

A unary method is a plain function of the request, parsed and as bytes, to the response's bytes, or
to an awaitable of them; it knows nothing of HTTP. A streaming method is called once and returns an
object that gets the client's messages; it sends through its `Call`. Neither makes a task.

Source: gRPC over HTTP/2; texts of refusals as grpc-go (the server inside stock etcd) words them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from google.protobuf.message import DecodeError as ProtobufDecodeError

from kvorum.errors import Code, DeadlineError, NoLeaderError, StatusError, WireError, status_of
from kvorum.rpc import strict
from kvorum.rpc.deadlines import Deadlines
from kvorum.rpc.frames import HEAD_BYTES, FrameReader, check_encoding, too_large
from kvorum.rpc.http2.hpack import Headers
from kvorum.rpc.http2.streams import Stream
from kvorum.rpc.metadata import Metadata, parse_timeout_s
from kvorum.rpc.metrics.calls import CallFigures, EndedCall, MethodFigures
from kvorum.rpc.responses import ok_block, refusal_block, start_block, status_block
from kvorum.server.clock import monotonic_s
from kvorum.server.log import Logger

CLIENT_API_VERSION = b"client-api-version"
_MEANINGFUL = frozenset({b"grpc-timeout", b"hasleader", b"grpc-encoding", CLIENT_API_VERSION})
"""Headers that a unary call looks at."""

UnaryMethod = Callable[[Any, bytes], "bytes | Awaitable[bytes]"]
StreamMethod = Callable[["Call"], "CallHandler"]


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


class CallServer:
    """What every call of a server shares.

    Args:
        has_leader: whether the member knows a leader, for requests that ask for it.
        size_max: bytes of one message, at most.
        log: where failures of the server itself are told.
        figures: counts the calls.
    """

    def __init__(
        self,
        *,
        has_leader: Callable[[], bool],
        size_max: int,
        log: Logger,
        figures: CallFigures | None = None,
    ) -> None:
        self.figures = figures or CallFigures()
        self.unary_versions = self.figures.unary_versions
        self._has_leader = has_leader
        self._log = log
        self.size_max = size_max
        self.deadlines = Deadlines()
        self.open_calls: set[Call] = set()

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


class Call(Protocol):
    """One streaming call, as its handler sees it, whatever it came by."""

    metadata: Metadata

    def start(self) -> None:
        """Send the response's headers now, before there is a message."""
        ...

    def send(self, frames: bytes) -> bool:
        """Send one or more framed messages.

        Returns:
            False: that is enough for now; what is given is kept all the same. `on_writable` is
            called when there is room again.
        """
        ...

    def has_room(self, unsent_bytes_max: int) -> bool:
        """Whether at most so many bytes wait for the client to read. For calls that send much.

        False: `on_writable` is called when some of them have gone; then ask again.
        """
        ...

    def on_writable(self, callback: Callable[[], None]) -> None: ...

    def finish(self, error: WireError | None = None) -> None:
        """End the call with OK or with the status of `error`. A second call does nothing."""
        ...


class StreamCall:
    """A call on an HTTP/2 stream. See `Call`.

    While the client does not read what was sent, its messages wait here unread: in parts of a
    request as the connection counts them (`Stream.hold`), and at most its stream's window, which
    is not renewed meanwhile.
    """

    __slots__ = (
        "_begun_s",
        "_ended",
        "_figures",
        "_handler",
        "_kind",
        "_on_writable",
        "_over",
        "_reader",
        "_server",
        "_started",
        "_stream",
        "_timer",
        "metadata",
    )

    def __init__(
        self,
        server: CallServer,
        kind: Any,
        figures: MethodFigures,
        stream: Stream,
        headers: Headers,
    ) -> None:
        self._server = server
        self._figures = figures
        self._begun_s = 0.0
        """0: the method has not been called."""
        self._kind = kind
        self._stream = stream
        self.metadata = Metadata(headers)
        self._reader = FrameReader(server.size_max, self.metadata.raw(b"grpc-encoding"))
        self._handler: CallHandler | None = None
        self._on_writable: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._started = False
        self._ended = False
        """The client has sent its last message."""
        self._over = False

    # For the handler.

    def start(self) -> None:
        if not self._started and not self._over:
            self._started = True
            self._stream.send_headers(start_block(self._stream))

    def send(self, frames: bytes) -> bool:
        if self._over:
            return True
        figures = self._figures
        figures.sent += 1
        figures.sent_bytes += len(frames) - HEAD_BYTES
        self.start()
        return self._stream.send(frames)

    def has_room(self, unsent_bytes_max: int) -> bool:
        pending = None if self._over else self._stream.pending
        if pending is None or pending.size <= unsent_bytes_max:
            return True
        self._stream.refused = True
        return False

    def on_writable(self, callback: Callable[[], None]) -> None:
        self._on_writable = callback

    def finish(self, error: WireError | None = None) -> None:
        if self._over:
            return
        if error is None:
            self.start()
            self._stream.end(ok_block(self._stream))
        elif self._started:
            self._stream.end(status_block(error))
        else:
            self._stream.send_headers(refusal_block(error), end=True)
        self._close(Code.OK if error is None else status_of(error))

    # For the connection.

    def open(self, method: StreamMethod) -> None:
        self._server.open_calls.add(self)
        self._stream.on_writable = self._writable
        try:
            check_encoding(self.metadata.raw(b"grpc-encoding"))
            version = self.metadata.raw(CLIENT_API_VERSION)
            if version:
                self._server.figures.count_version(self._server.figures.stream_versions, version)
            self._server.check_leader(self.metadata)
            timeout = self.metadata.raw(b"grpc-timeout")
            if timeout:
                timeout_s = parse_timeout_s(timeout)
                self._timer = asyncio.get_running_loop().call_later(timeout_s, self._expired)
            self._figures.started += 1
            self._begun_s = monotonic_s()
            self._handler = method(self)
        except Exception as error:
            self.finish(self._server.as_wire_error(error))

    def data(self, chunk: bytes, ended: bool) -> None:
        if self._over:
            return
        self._reader.feed(chunk)
        self._ended = ended
        self._read()

    def cancelled(self) -> None:
        self._close(Code.CANCELLED)

    def _read(self) -> None:
        reader, handler, stream = self._reader, self._handler, self._stream
        figures = self._figures
        assert handler is not None
        try:
            while not stream.refused and (message := reader.take()) is not None:
                figures.received += 1
                figures.received_bytes += len(message)
                handler.message(_parsed(self._kind, message))
                if self._over:
                    return
            if not stream.hold(reader.size):
                raise _too_much_held()
            if self._ended and not stream.refused:
                if reader.size:
                    raise StatusError(Code.INTERNAL, "unexpected EOF")
                handler.half_closed()
        except WireError as error:
            self.finish(error)
        except Exception as error:
            self.finish(self._server.failed(error))

    def _writable(self) -> None:
        if self._over:
            return
        if self._on_writable is not None:
            self._on_writable()
        if self._reader.size or self._ended:
            self._read()

    def _expired(self) -> None:
        self.finish(DeadlineError())

    def _close(self, status: int) -> None:
        if self._over:
            return
        self._over = True
        if self._begun_s:
            self._figures.ended(status)
            took_s = monotonic_s() - self._begun_s
            if took_s > self._figures.notable_s:
                self._server.figures.finished(self._figures, took_s, None)
        if self._timer is not None:
            self._timer.cancel()
        self._server.open_calls.discard(self)
        if self._handler is not None:
            try:
                self._handler.closed()
            except Exception as error:
                self._server.failed(error)  # the other calls of the connection are to be closed too


class UnaryCall:
    """One unary call. The hot path: no buffer and no task unless one is needed, and no timer."""

    __slots__ = (
        "_begun_s",
        "_figures",
        "_future",
        "_headers",
        "_kind",
        "_message",
        "_method",
        "_reader",
        "_server",
        "_stream",
    )

    def __init__(
        self,
        server: CallServer,
        kind: Any,
        method: UnaryMethod,
        figures: MethodFigures,
        stream: Stream,
        headers: Headers,
    ) -> None:
        self._server = server
        self._kind = kind
        self._figures = figures
        self._begun_s = 0.0
        """When the method was called; 0: it has not been, or the call has been counted as ended."""
        self._method: UnaryMethod | None = method
        self._stream: Stream | None = stream
        self._headers = headers
        self._reader: FrameReader | None = None
        self._future: asyncio.Future[bytes] | None = None
        """The answer to come. Cancelled when nobody waits for it: some methods wait for long."""

    def data(self, chunk: bytes, ended: bool) -> None:
        method = self._method
        if method is None:
            return  # answered already; more of the client's data changes nothing
        size = len(chunk) - HEAD_BYTES
        # One chunk that is exactly one plain message is by far the usual case.
        if self._reader is None and size >= 0 and chunk[:5] == b"\0" + size.to_bytes(4, "big"):
            if size > self._server.size_max:
                self._refuse(too_large(size, self._server.size_max))
            else:
                self._run(method, chunk[HEAD_BYTES:])
        else:
            self._data_in_parts(method, chunk, ended)

    def cancelled(self) -> None:
        self._method = self._stream = None
        self._ended(Code.CANCELLED, None)
        if self._future is not None:
            self._future.cancel()
        self._server.deadlines.discard(self, None)

    def _data_in_parts(self, method: UnaryMethod, chunk: bytes, ended: bool) -> None:
        reader = self._reader
        if reader is None:
            encoding = Metadata(self._headers).raw(b"grpc-encoding")
            reader = self._reader = FrameReader(self._server.size_max, encoding)
        reader.feed(chunk)
        try:
            message = reader.take()
            if message is None:
                if ended:
                    text = "EOF" if reader.size == 0 else "unexpected EOF"
                    raise StatusError(Code.UNKNOWN, text)
                stream = self._stream
                assert stream is not None
                if not stream.hold(reader.size):
                    raise _too_much_held()
                return
        except WireError as error:
            self._refuse(error)
            return
        self._reader = None
        if self._stream is not None:
            self._stream.hold(0)
        self._run(method, message)

    def _run(self, method: UnaryMethod, message: bytes) -> None:
        self._method = None
        headers, figures = self._headers, self._figures
        timeout_s = None
        try:
            for key, value in headers:
                if key in _MEANINGFUL:
                    if key == b"grpc-timeout":
                        timeout_s = parse_timeout_s(value)
                    elif key == CLIENT_API_VERSION:
                        versions = self._server.unary_versions
                        if value in versions:
                            versions[value] += 1
                        else:
                            self._server.figures.count_version(versions, value)
                    elif key == b"hasleader":
                        self._server.check_leader(Metadata(headers))
                    else:
                        check_encoding(value)
            request = self._kind.FromString(message)
            self._message = message
            figures.started += 1
            figures.received_bytes += len(message)
            self._begun_s = monotonic_s()
            response = method(request, message)
        except Exception as error:
            reason = strict.fault(self._kind, message)
            self._refuse(self._server.as_wire_error(error) if reason is None else malformed(reason))
            return
        if type(response) is bytes:
            self._respond(response)
            return
        # `ensure_future` of a future takes 0.7 µs to return it.
        future: asyncio.Future[bytes]
        if isinstance(response, asyncio.Future):
            future = response
        else:
            future = asyncio.ensure_future(response)  # type: ignore[arg-type]
        self._future = future
        future.add_done_callback(self._resolved)
        if timeout_s is not None:
            self._server.deadlines.add(self, self._begun_s + timeout_s)

    def _resolved(self, future: asyncio.Future[bytes]) -> None:
        self._server.deadlines.discard(self, None)
        error = None if future.cancelled() else future.exception()
        if self._stream is None:
            return  # nobody waits any more
        if future.cancelled():
            self._refuse(StatusError(Code.CANCELLED, "etcdserver: request canceled"))
        elif error is not None:
            self._refuse(self._server.as_wire_error(error))
        else:
            self._respond(future.result())

    def expired(self) -> None:
        """The client's deadline is over."""
        if self._stream is not None:
            self._refuse(DeadlineError())
        if self._future is not None:
            self._future.cancel()

    def _respond(self, response: bytes) -> None:
        stream, figures = self._stream, self._figures
        assert stream is not None
        figures.ok += 1
        figures.sent_bytes += len(response)
        took_s = monotonic_s() - self._begun_s
        if took_s > figures.notable_s:
            self._tell(took_s, response)
        self._begun_s = 0.0
        self._stream = None
        connection = stream.connection
        prefix = b"\0" + len(response).to_bytes(4, "big")
        if connection.may_respond(stream, len(response) + HEAD_BYTES):
            head = start_block(stream)  # before the other one: each changes what the next is
            connection.respond(stream, head, prefix + response, ok_block(stream))
        elif connection.unsent_bytes > connection.limits.unsent_bytes:
            stream.send_headers(refusal_block(_too_much_unsent()), end=True)
        else:
            stream.send_headers(start_block(stream))
            stream.send(prefix)  # apart from the response, which may be long: no copy of it
            stream.send(response)
            stream.end(ok_block(stream))

    def _refuse(self, error: WireError) -> None:
        stream = self._stream
        if stream is not None:
            self._ended(status_of(error), None)
            stream.send_headers(refusal_block(error), end=True)
        self._stream = self._method = None

    def _ended(self, status: int, response: bytes | None) -> None:
        """Count the end of a call that has not gone well. A second call does nothing."""
        if self._begun_s:
            self._figures.count_failed(status)
            took_s = monotonic_s() - self._begun_s
            if took_s > self._figures.notable_s:
                self._tell(took_s, response)
            self._begun_s = 0.0

    def _tell(self, took_s: float, response: bytes | None) -> None:
        """The call took long, or all calls are timed."""
        stream = self._stream
        remote = "" if stream is None else stream.connection.remote
        ended = EndedCall(took_s, remote, self._kind, self._message, response)
        self._server.figures.finished(self._figures, took_s, ended)


def _too_much_held() -> StatusError:
    """The refusal of a message whose rest has not come, when too many do the same."""
    return StatusError(
        Code.RESOURCE_EXHAUSTED, "too many bytes of unfinished messages on one connection"
    )


def _too_much_unsent() -> StatusError:
    return StatusError(
        Code.RESOURCE_EXHAUSTED, "too many bytes of responses wait on one connection"
    )


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
