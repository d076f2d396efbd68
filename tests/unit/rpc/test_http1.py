"""Plain HTTP/1.1 through a socket."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kvorum.rpc import http1
from kvorum.rpc.http import HttpRequest, HttpResponse
from kvorum.rpc.listener import Listener, bind
from tests.unit.rpc.peer import Log

ANSWER_S = 10


class App:
    """Answers with the request's method and target; `/slow` when it is told to."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.go_on = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/bug":
            raise RuntimeError("bug")
        if request.path == "/slow":
            self.started.set()
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return HttpResponse(200, f"{request.method} {request.target}".encode())


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def read(self, *, with_body: bool = True) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(ANSWER_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
            body = b""
            if with_body:
                body = await self.reader.readexactly(int(headers["content-length"]))
            return int(lines[0].split()[1]), headers, body

    async def ends(self) -> bytes:
        """What comes before the server closes."""
        async with asyncio.timeout(ANSWER_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[App, Log, Client]]:
    app, log = App(), Log()
    sock = bind("127.0.0.1", 0)
    listener = Listener([sock], app, None, log=log)  # type: ignore[arg-type]
    await listener.start()
    reader, writer = await asyncio.open_connection(*sock.getsockname())
    try:
        yield app, log, Client(reader, writer)
    finally:
        writer.close()
        await listener.stop()


def get(target: str, method: str = "GET", more: str = "") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode()


async def test_requests_may_come_before_the_answers() -> None:
    async with serving() as (_, _, client):
        client.writer.write(b"".join(get(f"/{n}?a=b") for n in range(20)))
        for n in range(20):
            assert await client.read() == (
                200,
                {"content-type": "text/plain; charset=utf-8", "content-length": str(10 + (n > 9))},
                f"GET /{n}?a=b".encode(),
            )


async def test_a_head_request_gets_the_head_only() -> None:
    async with serving() as (_, _, client):
        client.writer.write(get("/a", "HEAD") + get("/b"))
        status, headers, _ = await client.read(with_body=False)
        assert (status, headers["content-length"]) == (200, "7")
        assert (await client.read())[2] == b"GET /b"


async def test_a_body_is_passed_over() -> None:
    async with serving() as (_, _, client):
        client.writer.write(get("/a", "POST", "Transfer-Encoding: chunked\r\n"))
        client.writer.write(b"3\r\nabc\r\n10\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n")
        assert (await client.read())[2] == b"POST /a"
        client.writer.write(get("/b", "POST", "Content-Length: 3\r\n") + b"abc" + get("/c"))
        assert (await client.read())[2] == b"POST /b"
        assert (await client.read())[2] == b"GET /c"


async def test_a_body_above_the_limit_ends_the_connection() -> None:
    async with serving() as (_, _, client):
        client.writer.write(get("/a", "POST", "Content-Length: 2000000\r\n") + b"x" * 2_000_000)
        answer = await client.ends()
        assert answer.startswith(b"HTTP/1.1 413 ") or not answer  # reset: our bytes were unread


async def test_a_head_above_the_limit_ends_the_connection() -> None:
    async with serving() as (_, _, client):
        client.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000)
        assert (await client.ends()).startswith(b"HTTP/1.1 431 ")


async def test_a_client_may_end_its_side_before_the_answer() -> None:
    async with serving() as (app, _, client):
        client.writer.write(get("/slow"))
        await app.started.wait()
        client.writer.write_eof()
        app.go_on.set()
        assert (await client.read())[2] == b"GET /slow"
        assert await client.ends() == b""


async def test_a_connection_that_is_to_close_is_closed() -> None:
    async with serving() as (_, _, client):
        client.writer.write(get("/a", more="Connection: close\r\n"))
        assert (await client.read())[2] == b"GET /a"
        assert await client.ends() == b""


async def test_an_answer_nobody_waits_for_is_given_up() -> None:
    async with serving() as (app, _, client):
        client.writer.write(get("/slow"))
        await app.started.wait()
        sock = client.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()  # a reset: an end alone may come from one that listens
        async with asyncio.timeout(ANSWER_S):
            await app.cancelled.wait()


async def test_a_bug_is_told_to_the_log() -> None:
    async with serving() as (_, log, client):
        client.writer.write(get("/bug"))
        assert (await client.read())[0] == 500
        assert [str(error) for error in log.errors] == ["bug"]


async def test_what_comes_while_an_answer_is_made_is_bounded() -> None:
    async with serving() as (app, _, client):
        client.writer.write(get("/slow"))
        await app.started.wait()
        client.writer.write(b"x" * (1 << 20))
        assert await client.ends() == b""


@pytest.mark.parametrize(("data", "name"), [(b"", "IDLE_S_MAX"), (b"GET / HT", "REQUEST_S_MAX")])
async def test_a_client_that_is_too_slow_is_disconnected(
    data: bytes, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http1, name, 0.05)
    async with serving() as (_, _, client):
        client.writer.write(get("/a"))
        await client.read()
        client.writer.write(data)
        assert await client.ends() == b""
