"""Connections on a socket: HTTP/2 and HTTP/1.1 on one port, keep-alive, back-pressure, the end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from kvorum.errors import ConfigError
from kvorum.proto.rpc_pb2 import RangeRequest
from kvorum.rpc import listener as module
from kvorum.rpc.http import HttpRequest, HttpResponse
from kvorum.rpc.http2.frames import PREFACE, Limits
from kvorum.rpc.http2.pings import KeepAlive
from kvorum.rpc.listener import Listener, bind
from tests.unit.rpc.peer import (
    DATA,
    ECHO,
    GOAWAY,
    HEADERS,
    LATER,
    PING,
    SETTINGS,
    STREAM,
    UPDATE,
    Methods,
    RawClient,
    grpc_frame,
    http2_frame,
    setting,
)

ANSWER_S = 10
Frame = tuple[int, int, int, bytes]


async def plain(request: HttpRequest) -> HttpResponse:
    if request.path == "/bug":
        raise RuntimeError("bug")
    return HttpResponse(200, f"{request.method} {request.target}".encode())


class Client:
    """Frames over a socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.raw = RawClient()  # for its encoder

    async def frame(self) -> Frame:
        async with asyncio.timeout(ANSWER_S):
            head = await self.reader.readexactly(9)
            kind, flags, stream = struct.unpack_from(">BBI", head, 3)
            payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
            return kind, flags, stream, payload

    async def until(self, kind: int) -> Frame:
        while (found := await self.frame())[0] != kind:
            pass
        return found

    async def ends(self) -> None:
        """Read until the server has closed."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self.frame()

    def send(self, data: bytes) -> None:
        self.writer.write(data)


@asynccontextmanager
async def serving(
    limits: Limits | None = None, keep_alive: KeepAlive | None = None
) -> AsyncIterator[tuple[Methods, Listener, Callable[[], object]]]:
    methods = Methods()
    sock = bind("127.0.0.1", 0)
    listener = Listener(
        [sock],
        plain,
        methods.app,
        limits=limits,
        keep_alive=keep_alive,
        log=methods.log,  # type: ignore[arg-type]
    )
    await listener.start()
    clients: list[Client] = []

    async def connect() -> Client:
        clients.append(Client(*await asyncio.open_connection(*sock.getsockname())))
        return clients[-1]

    try:
        yield methods, listener, connect
    finally:
        for client in clients:
            client.writer.transport.abort()
        await listener.stop()
    assert not listener.connections


async def greet(connect: Callable[[], object]) -> Client:
    client: Client = await connect()  # type: ignore[misc]
    client.send(PREFACE + http2_frame(SETTINGS, 0, 0))
    await client.until(SETTINGS)
    return client


async def wait_until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(ANSWER_S):
        while not done():  # noqa: ASYNC110  (what is waited for has no event)
            await asyncio.sleep(0.001)


async def test_both_kinds_of_http_share_the_port() -> None:
    async with serving() as (_, _, connect):
        client = await greet(connect)
        client.send(client.raw.request(1, ECHO, b"echoed"))
        assert (await client.until(DATA))[3] == grpc_frame(b"echoed")
        other: Client = await connect()  # type: ignore[misc]
        other.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(ANSWER_S):
            assert (await other.reader.readline()).startswith(b"HTTP/1.1 200")


async def test_the_first_bytes_may_come_one_by_one() -> None:
    async with serving() as (_, _, connect):
        client: Client = await connect()  # type: ignore[misc]
        for byte in PREFACE + http2_frame(SETTINGS, 0, 0):
            client.send(bytes((byte,)))
            await client.writer.drain()
            await asyncio.sleep(0)
        assert (await client.frame())[0] == SETTINGS


async def test_a_plain_request_may_come_by_http2() -> None:
    async with serving() as (methods, _, connect):
        client = await greet(connect)
        for stream, path, status in ((1, "/version", 200), (3, "/bug", 500), (5, "/a", 200)):
            fields = [(":method", "GET"), (":scheme", "http"), (":path", path)]
            client.send(http2_frame(HEADERS, 5, stream, client.raw.encoder.encode(fields)))
            block = (await client.until(HEADERS))[3]
            assert str(status).encode() in block
            expected = f"GET {path}" if status == 200 else "Internal Server Error\n"
            assert (await client.until(DATA))[3] == expected.encode()
            assert (await client.until(DATA))[1] == 1
        assert [str(error) for error in methods.log.errors] == ["bug"]


async def test_a_silent_client_is_asked_and_given_up() -> None:
    keep_alive = KeepAlive(interval_s=0.05, timeout_s=0.05)
    async with serving(keep_alive=keep_alive) as (methods, listener, connect):
        client = await greet(connect)
        client.send(client.raw.open(1, STREAM))
        for _ in range(3):
            ping = await client.until(PING)
            client.send(http2_frame(PING, 1, 0, ping[3]))
        assert len(listener.connections) == 1
        await client.ends()
        assert methods.calls[0].closes == 1


async def test_stopping_answers_what_is_under_way() -> None:
    async with serving() as (methods, listener, connect):
        client = await greet(connect)
        client.send(client.raw.request(1, LATER) + client.raw.open(3, STREAM))
        await wait_until(lambda: bool(methods.futures and methods.calls))
        stopping = asyncio.ensure_future(listener.stop())
        goodbye = await client.until(GOAWAY)
        assert goodbye[3] == struct.pack(">II", 3, 0) + b"graceful_stop"
        ended = await client.until(HEADERS)
        assert (ended[1], ended[2]) == (5, 3)
        assert b"etcdserver: server stopped" in ended[3]
        assert not stopping.done()
        methods.futures[0].set_result(b"answered")
        assert (await client.until(DATA))[3] == grpc_frame(b"answered")
        await client.ends()
        await stopping


async def test_stopping_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAIN_S_MAX", 0.05)
    async with serving() as (methods, listener, connect):
        client = await greet(connect)
        client.send(client.raw.request(1, LATER))
        await wait_until(lambda: bool(methods.futures))
        async with asyncio.timeout(ANSWER_S):
            await listener.stop()
        await client.ends()
        assert methods.futures[0].cancelled()


async def test_a_client_that_breaks_the_rules_is_told_and_disconnected() -> None:
    async with serving() as (_, listener, connect):
        client = await greet(connect)
        client.send(http2_frame(DATA, 0, 0))
        assert (await client.until(GOAWAY))[3][4:8] == b"\0\0\0\1"
        await client.ends()
        await wait_until(lambda: not listener.connections)


async def test_a_client_that_says_nothing_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PREFACE_S_MAX", 0.05)
    async with serving() as (_, _, connect):
        client: Client = await connect()  # type: ignore[misc]
        client.send(PREFACE[:5])
        await client.ends()
        assert client.reader.at_eof()


async def test_a_socket_that_is_not_read_makes_its_streams_wait() -> None:
    """Windows of 2 GB do not help: the sender is told, and called when the client reads."""
    async with serving(Limits(stream_buffer_bytes=1 << 20)) as (methods, listener, connect):
        client = await greet(connect)
        client.send(http2_frame(SETTINGS, 0, 0, setting(4, 2**31 - 1)))
        client.send(http2_frame(UPDATE, 0, 0, struct.pack(">I", 2**31 - 1 - 65_535)))
        message = grpc_frame(RangeRequest(key=b"k").SerializeToString())
        client.send(client.raw.open(1, STREAM) + http2_frame(DATA, 0, 1, message))
        await wait_until(lambda: bool(methods.calls and methods.calls[0].keys))
        call, sent = methods.calls[0].call, 0
        while call.send(grpc_frame(b"x" * 100_000)) or sent < 20 << 20:
            sent += 100_005
            assert sent < 100 << 20
            if sent < 20 << 20:
                await asyncio.sleep(0)
        (connection,) = listener.connections
        assert connection._transport.get_write_buffer_size() < 4 << 20
        assert methods.calls[0].writables == 0
        received = 0
        while received < sent:
            received += len((await client.until(DATA))[3])
        assert methods.calls[0].writables == 1


def test_an_address_that_is_taken_is_refused() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigError, match=f"listen tcp 127.0.0.1:{port}: bind: address already"
        ):
            bind("127.0.0.1", port)


def test_an_ipv6_address_is_shown_in_brackets() -> None:
    try:
        bind("::1", 0).close()
    except ConfigError as error:
        assert "[::1]:0" in str(error)  # noqa: PT017  (a machine without IPv6)
    else:
        assert socket.has_ipv6
