"""gRPC on top of ASGI: routing, framing, status trailers, deadlines.

A unary method is a plain function from the request's bytes to the response's bytes, or to a future
of them; it knows nothing of HTTP. A streaming method is a coroutine that reads messages from a
`Call` and sends them through it.

Rules of the hot path (`docs/internals/hot-path.md`): a unary call whose message came in one chunk
touches no buffer object, makes no task, and sets no timer unless the client sent a deadline.

Source: gRPC over HTTP/2; texts of refusals as grpc-go (the server inside stock etcd) words them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final

from google.protobuf.message import DecodeError as ProtobufDecodeError

from kvorum.errors import Code, DeadlineError, NoLeaderError, StatusError, WireError, status_of
from kvorum.rpc.frames import HEAD_BYTES, FrameReader, compressed_refusal, frame
from kvorum.server.log import Logger

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
UnaryMethod = Callable[[bytes, "Metadata"], "bytes | Awaitable[bytes]"]
StreamMethod = Callable[["Call"], Awaitable[None]]

GRPC_OVERHEAD_BYTES: Final = 512 * 1024
"""What a message may be longer than `--max-request-bytes`: room for keys and framing."""

_START: Final = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/grpc")],
    "trailers": True,
}
_OK: Final = {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]}
_UNITS_S: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


class Metadata:
    """Headers of a request, looked at only when somebody asks."""

    __slots__ = ("_scope",)

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def get(self, name: bytes) -> str | None:
        """First value of the header `name` (lower case), or None."""
        for key, value in self._scope["headers"]:
            if key == name:
                return str(value, "latin-1")
        return None

    @property
    def client(self) -> str:
        """Address of the caller, for the log."""
        host, port = self._scope.get("client") or ("", 0)
        return f"{host}:{port}"


class Call:
    """One streaming call: messages in, messages out."""

    __slots__ = ("_ended", "_reader", "_receive", "_send", "_started", "metadata")

    def __init__(self, scope: Scope, receive: Receive, send: Send, size_max: int) -> None:
        self.metadata = Metadata(scope)
        self._reader = FrameReader(size_max, self.metadata.get(b"grpc-encoding") or "")
        self._receive = receive
        self._send = send
        self._started = False
        self._ended = False

    async def read(self) -> bytes | None:
        """The next message of the client; None when it has sent its last.

        Raises:
            StatusError: the message is malformed or too large.
            ClientGoneError: the client cancelled the call or its connection broke.
        """
        while True:
            message = self._reader.take()
            if message is not None:
                return message
            if self._ended:
                if self._reader.is_empty:
                    return None
                raise StatusError(Code.INTERNAL, "unexpected EOF")
            event = await self._receive()
            if event["type"] == "http.disconnect":
                raise ClientGoneError
            self._reader.feed(event.get("body", b""))
            self._ended = not event.get("more_body", False)

    async def start(self) -> None:
        """Send the response's headers now, before there is a message."""
        if not self._started:
            self._started = True
            await self._send(_START)

    async def write(self, frames: bytes) -> None:
        """Send one or more framed messages; returns when the transport took them."""
        if not self._started:
            await self.start()
        await self._send({"type": "http.response.body", "body": frames, "more_body": True})

    async def finish(self, error: WireError | None = None) -> None:
        """End the call with OK or with the status of `error`."""
        if not self._started:
            await self.start()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        await self._send(_OK if error is None else _trailers(error))


class ClientGoneError(Exception):
    """The client cancelled the call or its connection broke; there is nobody to answer."""


class GrpcApp:
    """The ASGI application for `content-type: application/grpc*`.

    Args:
        unary: method by path (`/etcdserverpb.KV/Put`).
        streams: streaming method by path.
        has_leader: whether the member knows a leader, for requests that ask for it.
        size_max: bytes of one message, at most.
    """

    def __init__(
        self,
        unary: Mapping[str, UnaryMethod],
        streams: Mapping[str, StreamMethod],
        *,
        has_leader: Callable[[], bool],
        size_max: int,
        log: Logger,
    ) -> None:
        self._unary = dict(unary)
        self._streams = dict(streams)
        self._services = {path.split("/")[1] for path in (*unary, *streams)}
        self._has_leader = has_leader
        self._size_max = size_max
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        method = self._unary.get(path)
        if method is not None:
            await self._call_unary(method, scope, receive, send)
            return
        stream = self._streams.get(path)
        if stream is not None:
            await self._call_stream(stream, scope, receive, send)
            return
        await _refuse(send, self._unknown(path))

    async def _call_unary(
        self, method: UnaryMethod, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            event = await receive()
            body = event.get("body", b"")
            # One chunk that is exactly one plain message is by far the usual case.
            if len(body) < HEAD_BYTES or body[0] or body[1:5] != (len(body) - 5).to_bytes(4, "big"):
                message = await self._read_slowly(event, scope, receive)
            else:
                message = body[HEAD_BYTES:]
                if len(message) > self._size_max:
                    raise _too_large(len(message), self._size_max)
            timeout_s = None
            for key, value in scope["headers"]:
                if key == b"grpc-timeout":
                    timeout_s = parse_timeout_s(value)
                elif key == b"hasleader" and value == b"true" and not self._has_leader():
                    raise NoLeaderError  # noqa: TRY301
            response = method(message, Metadata(scope))
            if type(response) is not bytes:
                if timeout_s is None:
                    response = await response  # type: ignore[misc]
                else:
                    response = await _within(response, timeout_s)  # type: ignore[arg-type]
        except WireError as error:
            await _refuse(send, error)
            return
        except ProtobufDecodeError as error:
            await _refuse(send, malformed(error))
            return
        except ClientGoneError:
            return
        except Exception as error:
            self._log.error("failed to answer a request", path=scope["path"], error=repr(error))
            await _refuse(send, StatusError(Code.INTERNAL, "internal error; see the member's log"))
            return
        await send(_START)
        await send(
            {
                "type": "http.response.body",
                "body": b"\0" + len(response).to_bytes(4, "big") + response,
                "more_body": False,
            }
        )
        await send(_OK)

    async def _read_slowly(
        self, event: MutableMapping[str, Any], scope: Scope, receive: Receive
    ) -> bytes:
        """The message of a unary call whose first chunk was not the whole of it."""
        reader = FrameReader(self._size_max, Metadata(scope).get(b"grpc-encoding") or "")
        while True:
            if event["type"] == "http.disconnect":
                raise ClientGoneError
            reader.feed(event.get("body", b""))
            message = reader.take()
            if message is not None:
                return message
            if not event.get("more_body", False):
                raise StatusError(Code.INTERNAL, _cut_short(reader))
            event = await receive()

    async def _call_stream(
        self, method: StreamMethod, scope: Scope, receive: Receive, send: Send
    ) -> None:
        call = Call(scope, receive, send, self._size_max)
        try:
            if call.metadata.get(b"hasleader") == "true" and not self._has_leader():
                raise NoLeaderError  # noqa: TRY301
            await method(call)
        except WireError as error:
            await call.finish(error)
        except ProtobufDecodeError as error:
            await call.finish(malformed(error))
        except ClientGoneError:
            return
        except Exception as error:
            self._log.error("a stream failed", path=scope["path"], error=repr(error))
            await call.finish(StatusError(Code.INTERNAL, "internal error; see the member's log"))
        else:
            await call.finish()

    def _unknown(self, path: str) -> StatusError:
        parts = path.split("/")
        if len(parts) != 3 or parts[0]:
            return StatusError(Code.UNIMPLEMENTED, f'malformed method name: "{path}"')
        if parts[1] in self._services:
            return StatusError(
                Code.UNIMPLEMENTED, f"unknown method {parts[2]} for service {parts[1]}"
            )
        return StatusError(Code.UNIMPLEMENTED, f"unknown service {parts[1]}")


async def _within(response: Awaitable[bytes], timeout_s: float) -> bytes:
    try:
        async with asyncio.timeout(timeout_s):
            return await response
    except TimeoutError:
        raise DeadlineError from None


async def _refuse(send: Send, error: WireError) -> None:
    """A response that is nothing but a status."""
    await send(_START)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    await send(_trailers(error))


def _trailers(error: WireError) -> MutableMapping[str, Any]:
    return {
        "type": "http.response.trailers",
        "headers": [
            (b"grpc-status", b"%d" % status_of(error)),
            (b"grpc-message", percent_encode(error.message)),
        ],
    }


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


def malformed(error: Exception) -> StatusError:
    """The refusal of bytes that are not the message of the method."""
    return StatusError(Code.INTERNAL, f"grpc: error unmarshalling request: {error}")


def _too_large(size: int, size_max: int) -> StatusError:
    return StatusError(
        Code.RESOURCE_EXHAUSTED, f"grpc: received message larger than max ({size} vs. {size_max})"
    )


def _cut_short(reader: FrameReader) -> str:
    return "EOF" if reader.is_empty else "unexpected EOF"


def framed(messages: Iterable[bytes]) -> bytes:
    """Several messages as one chunk of frames."""
    return b"".join(map(frame, messages))


__all__ = [
    "GRPC_OVERHEAD_BYTES",
    "Call",
    "ClientGoneError",
    "GrpcApp",
    "Metadata",
    "StreamMethod",
    "UnaryMethod",
    "compressed_refusal",
    "framed",
    "malformed",
    "parse_timeout_s",
    "percent_encode",
]
