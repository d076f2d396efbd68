"""Maintenance.Snapshot on the wire: the messages, and a client that does not read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import grpc
import grpc.aio
import pytest

from kvorum.errors import Code, StatusError
from kvorum.proto.rpc_pb2 import SnapshotRequest, SnapshotResponse
from kvorum.rpc.grpc import GrpcApp
from kvorum.rpc.listener import Listener, bind
from kvorum.rpc.services import maintenance
from kvorum.rpc.services.snapshot import UNSENT_BYTES_MAX
from kvorum.server.log import Logger

PATH = "/etcdserverpb.Maintenance/Snapshot"
DEADLINE_S = 20.0
PIECE_BYTES = 100_000
WINDOW_BYTES = 1 << 20
"""More than gRPC's client asks for ahead, with the options below."""
SMALL_WINDOW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_536))


class Source:
    """Gives `count` pieces."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.size_bytes = count * PIECE_BYTES
        self.given_count = 0
        self.closed = False
        self._count, self._error = count, error
        self._hash = sha256()

    @property
    def digest(self) -> bytes:
        return self._hash.digest()

    async def read(self) -> bytes:
        if self.given_count == self._count:
            if self._error is not None:
                raise self._error
            return b""
        self.given_count += 1
        piece = self.given_count.to_bytes(4, "big") * (PIECE_BYTES // 4)
        self._hash.update(piece)
        return piece

    async def close(self) -> None:
        self.closed = True


class Server:
    def __init__(self, source: Source, version: str = "") -> None:
        self.source, self.version = source, version

    async def snapshot(self) -> Source:
        return self.source

    def snapshot_version(self) -> str:
        return self.version


@asynccontextmanager
async def calling(server: Server) -> AsyncIterator[Any]:
    """What makes the call."""
    log = Logger(lambda _: None)
    app = GrpcApp(
        {}, maintenance.streams(server, log), has_leader=lambda: True, size_max=1 << 20, log=log
    )
    socket = bind("127.0.0.1", 0)
    port = socket.getsockname()[1]

    async def nothing(*_: Any) -> None:
        raise AssertionError

    listener = Listener([socket], nothing, app, log=log)
    await listener.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=SMALL_WINDOW) as channel:
            yield channel.stream_stream(
                PATH,
                request_serializer=SnapshotRequest.SerializeToString,
                response_deserializer=SnapshotResponse.FromString,
            )
    finally:
        await listener.stop()


async def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def read_to_the_end(stream: Any) -> None:
    while await stream.read() is not grpc.aio.EOF:
        pass


@pytest.mark.parametrize("version", ["", "3.6.0"])
async def test_the_messages_are_stocks(version: str) -> None:
    """Blobs with what remains behind each; last the checksum; no header."""
    server = Server(Source(7), version)
    async with calling(server) as call:
        responses = [response async for response in call(iter([SnapshotRequest()]))]
    *parts, last = responses
    data = b"".join(part.blob for part in parts)
    assert [part.remaining_bytes for part in parts] == [n * PIECE_BYTES for n in range(6, -1, -1)]
    assert last == SnapshotResponse(blob=sha256(data).digest(), version=version)
    assert {part.version for part in parts} == {version}
    assert not any(part.HasField("header") for part in responses)
    assert server.source.closed


async def test_a_client_that_does_not_read_is_waited_for() -> None:
    server = Server(Source(1000))
    async with calling(server) as call:
        stream = call()
        await stream.write(SnapshotRequest())
        await stream.read()
        given_count = -1
        while given_count != server.source.given_count:
            given_count = server.source.given_count
            await asyncio.sleep(0.3)  # has it come to a stand?
        assert given_count * PIECE_BYTES < WINDOW_BYTES + UNSENT_BYTES_MAX
        count = 1
        while (await stream.read()) is not grpc.aio.EOF:
            count += 1
        assert count == 1001


async def test_a_client_that_leaves_ends_the_work() -> None:
    server = Server(Source(100_000))
    async with calling(server) as call:
        stream = call()
        await stream.write(SnapshotRequest())
        await stream.read()
        stream.cancel()
        await wait_until(lambda: server.source.closed)
        assert server.source.given_count < 1000


async def test_a_deadline_ends_the_work() -> None:
    server = Server(Source(100_000))
    async with calling(server) as call:
        stream = call(timeout=0.3)
        await stream.write(SnapshotRequest())
        await stream.read()
        await wait_until(lambda: server.source.closed)
        with pytest.raises(grpc.aio.AioRpcError, match="DEADLINE_EXCEEDED"):
            await read_to_the_end(stream)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (StatusError(Code.INTERNAL, "the worker died"), "INTERNAL", "the worker died"),
        (KeyError("bug"), "INTERNAL", "internal error"),
    ],
)
async def test_a_failure_is_no_end(error: Exception, code: str, words: str) -> None:
    server = Server(Source(3, error))
    async with calling(server) as call:
        stream = call(iter([SnapshotRequest()]))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            [response async for response in stream]
    assert caught.value.code().name == code
    assert words in (caught.value.details() or "")
    assert server.source.closed


async def test_a_call_without_a_request_is_refused() -> None:
    async with calling(Server(Source(1))) as call:
        with pytest.raises(grpc.aio.AioRpcError, match="EOF"):
            [response async for response in call(iter([]))]
