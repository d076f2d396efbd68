"""A client of the sans-IO connection, by the h2 package, and gRPC methods for it to call."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack

from kvorum.errors import EmptyKeyError
from kvorum.proto.rpc_pb2 import LeaseKeepAliveRequest, RangeRequest, WatchRequest
from kvorum.rpc.grpc import Call, GrpcApp
from kvorum.rpc.http2.connection import Connection
from kvorum.rpc.http2.frames import PREFACE, Limits
from kvorum.rpc.http2.hpack import Headers
from kvorum.rpc.http2.pings import KeepAlive, PingPolicy
from kvorum.rpc.http2.streams import Receiver, Stream

ECHO = "/t.T/Echo"
FAIL = "/t.T/Fail"
BUG = "/t.T/Bug"
LATER = "/t.T/Later"
SIZED = "/t.T/Sized"
STREAM = "/t.T/Stream"
EAGER = "/t.T/Eager"
MESSAGE_BYTES_MAX = 100_000
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, UPDATE, CONTINUATION = range(10)


def grpc_frame(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def messages_in(body: bytes) -> list[bytes]:
    found = []
    while body:
        size = int.from_bytes(body[1:5], "big")
        assert body[0] == 0
        assert len(body) >= 5 + size
        found.append(bytes(body[5 : 5 + size]))
        body = body[5 + size :]
    return found


def http2_frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return struct.pack(">HBBBI", size >> 8, size & 0xFF, kind, flags, stream_id) + payload


def setting(number: int, value: int) -> bytes:
    return struct.pack(">HI", number, value)


def frames_in(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of each frame."""
    found = []
    while data:
        size = int.from_bytes(data[:3], "big")
        kind, flags, stream = struct.unpack_from(">BBI", data, 3)
        assert len(data) >= 9 + size
        found.append((kind, flags, stream, data[9 : 9 + size]))
        data = data[9 + size :]
    return found


class Log:
    """Remembers what was told."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def error(self, message: str, *, error: BaseException, **fields: Any) -> None:
        self.errors.append(error)

    def warn(self, message: str, **fields: Any) -> None:
        """Of no account here."""


class Echoing:
    """A streaming call that answers each message with its key, and notes what happens to it."""

    def __init__(self, methods: Methods, call: Call) -> None:
        self.call = call
        self.keys: list[bytes] = []
        self.halves = self.closes = self.writables = 0
        self.answer: Callable[[bytes], bytes] = lambda key: key
        call.on_writable(self.writable)
        methods.calls.append(self)

    def message(self, request: Any) -> None:
        if request.key == b"bug":
            raise RuntimeError("bug of a method")
        if request.key == b"fail":
            raise EmptyKeyError
        self.keys.append(request.key)
        self.call.send(grpc_frame(self.answer(request.key)))

    def writable(self) -> None:
        self.writables += 1

    def half_closed(self) -> None:
        self.halves += 1
        self.call.finish()

    def closed(self) -> None:
        self.closes += 1


class Methods:
    """The methods that tests call."""

    def __init__(self) -> None:
        self.log = Log()
        self.calls: list[Echoing] = []
        self.futures: list[asyncio.Future[bytes]] = []
        self.has_leader = True
        self.app = GrpcApp(
            {
                ECHO: (RangeRequest, lambda request, _: request.key),
                FAIL: (RangeRequest, self._fail),
                BUG: (RangeRequest, self._bug),
                LATER: (RangeRequest, self._later),
                SIZED: (RangeRequest, lambda request, _: b"x" * request.limit),
            },
            {
                STREAM: (RangeRequest, lambda call: Echoing(self, call)),
                EAGER: (RangeRequest, self._eager),
                "/t.T/Watch": (WatchRequest, self._bug_at_once),
                "/t.T/KeepAlive": (LeaseKeepAliveRequest, self._fail_at_once),
            },
            has_leader=lambda: self.has_leader,
            size_max=MESSAGE_BYTES_MAX,
            log=self.log,  # type: ignore[arg-type]
        )

    def _fail(self, request: RangeRequest, _: bytes) -> bytes:
        raise EmptyKeyError

    def _bug(self, request: RangeRequest, _: bytes) -> bytes:
        raise RuntimeError("bug of a method")

    def _later(self, request: RangeRequest, _: bytes) -> asyncio.Future[bytes]:
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        return future

    def _eager(self, call: Call) -> Echoing:
        handler = Echoing(self, call)
        call.start()
        return handler

    def _bug_at_once(self, call: Call) -> Echoing:
        raise RuntimeError("bug of a method")

    def _fail_at_once(self, call: Call) -> Echoing:
        raise EmptyKeyError


class Router:
    """`http2.streams.RequestHandler`."""

    def __init__(self, app: GrpcApp) -> None:
        self.app = app

    def open(self, stream: Stream, headers: Headers) -> Receiver:
        path = next((value for name, value in headers if name == b":path"), b"")
        return self.app.open(path, stream, headers)


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Response:
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    reset: int | None = None
    ended: bool = False

    @property
    def status(self) -> tuple[str, str]:
        merged = dict(self.headers) | dict(self.trailers)
        return merged.get("grpc-status", ""), merged.get("grpc-message", "")


class Server:
    """The connection under test, fed with bytes, with the socket's part played by `output`."""

    def __init__(self, limits: Limits | None = None, keep_alive: KeepAlive | None = None) -> None:
        self.methods = Methods()
        self.clock = Clock()
        self.wakes = 0
        self.connection = Connection(
            Router(self.methods.app),
            self._wake,
            limits or Limits(),
            PingPolicy(keep_alive or KeepAlive(), self.clock),
        )

    def _wake(self) -> None:
        self.wakes += 1

    def output(self) -> bytes:
        """All that is to be sent, as by an owner whose socket takes everything."""
        data = b""
        while self.connection.output:
            data += b"".join(self.connection.take_output())
            self.connection.refill()
        return data

    def receive(self, data: bytes) -> list[tuple[int, int, int, bytes]]:
        """Feed bytes; returns the frames that come back."""
        self.connection.receive(data)
        self.connection.refill()
        return frames_in(self.output())


class RawClient:
    """A client that is past its greeting and may send any frame."""

    def __init__(self, limits: Limits | None = None, keep_alive: KeepAlive | None = None) -> None:
        self.server = Server(limits, keep_alive)
        self.encoder = hpack.Encoder()
        self.receive = self.server.receive
        self.receive(PREFACE + http2_frame(SETTINGS, 0, 0))

    def block(self, path: str, *more: tuple[str, str]) -> bytes:
        fields = [(":method", "POST"), (":scheme", "http"), (":path", path)]
        fields += [("content-type", "application/grpc"), ("te", "trailers"), *more]
        return self.encoder.encode(fields)

    def open(self, stream: int, path: str, *, flags: int = 0x4, **headers: str) -> bytes:
        more = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return http2_frame(HEADERS, flags, stream, self.block(path, *more))

    def request(self, stream: int, path: str, key: bytes = b"k") -> bytes:
        message = RangeRequest(key=key).SerializeToString()
        return self.open(stream, path) + http2_frame(DATA, 1, stream, grpc_frame(message))

    def goaway(self, data: bytes) -> int | None:
        """The error code with which the connection ends after `data`; None: it does not."""
        for kind, _, _, payload in self.receive(data):
            if kind == GOAWAY:
                assert self.server.connection.closing
                return int.from_bytes(payload[4:8], "big")
        assert not self.server.connection.closing
        return None

    def reset(self, data: bytes) -> list[tuple[int, int]]:
        """Streams that are reset after `data`, with their codes; the connection goes on."""
        found = self.receive(data)
        assert not self.server.connection.closing
        return [
            (stream, int.from_bytes(payload, "big"))
            for kind, _, stream, payload in found
            if kind == RST
        ]

    def is_well(self, stream: int) -> bool:
        """A further call, on `stream`, is answered."""
        found = self.receive(self.request(stream, ECHO, b"well"))
        return any(frame[0] == DATA and frame[3] == grpc_frame(b"well") for frame in found)


class H2Client:
    """A client by the book: the h2 package decodes and checks all that the server sends."""

    def __init__(
        self, limits: Limits | None = None, *, window: int = 65_535, table: int = 4096
    ) -> None:
        self.server = Server(limits)
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        codes = h2.settings.SettingCodes
        self.h2.local_settings = h2.settings.Settings(
            client=True,
            initial_values={codes.INITIAL_WINDOW_SIZE: window, codes.HEADER_TABLE_SIZE: table},
        )
        self.responses: dict[int, Response] = {}
        self.reads = True
        """Whether data is acknowledged."""
        self.h2.initiate_connection()
        self.exchange()

    def exchange(self) -> None:
        """Move bytes both ways until both are silent."""
        while True:
            sent = self.h2.data_to_send()
            if sent:
                self.server.connection.receive(sent)
            self.server.connection.refill()
            came = self.server.output()
            if not sent and not came:
                return
            for event in self.h2.receive_data(came):
                self._note(event)

    def _note(self, event: h2.events.Event) -> None:
        response = self.responses.setdefault(getattr(event, "stream_id", None) or 0, Response())
        match event:
            case h2.events.ResponseReceived():
                response.headers = [(str(a), str(b)) for a, b in event.headers or []]
            case h2.events.TrailersReceived():
                response.trailers = [(str(a), str(b)) for a, b in event.headers or []]
            case h2.events.DataReceived():
                response.body += event.data or b""
                if self.reads and event.flow_controlled_length:
                    self.h2.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id or 0
                    )
            case h2.events.StreamReset():
                response.reset = int(event.error_code or 0)
            case h2.events.StreamEnded():
                response.ended = True

    def open(self, path: str, *more: tuple[str, str]) -> int:
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", "POST"), (":scheme", "http"), (":path", path)]
        fields += [(":authority", "x"), ("content-type", "application/grpc"), ("te", "trailers")]
        self.h2.send_headers(stream, [*fields, *more])
        self.responses[stream] = Response()
        return stream

    def send(self, stream: int, *, key: bytes = b"", limit: int = 0, end: bool = False) -> None:
        message = RangeRequest(key=key, limit=limit).SerializeToString()
        self.h2.send_data(stream, grpc_frame(message), end_stream=end)

    def call(
        self, path: str, *more: tuple[str, str], key: bytes = b"key", limit: int = 0
    ) -> Response:
        stream = self.open(path, *more)
        self.send(stream, key=key, limit=limit, end=True)
        self.exchange()
        return self.responses[stream]
