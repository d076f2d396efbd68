"""A gateway on a real socket, over methods that tests call, and a client of HTTP/1.1."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from kvorum.errors import CompactedError, EmptyKeyError
from kvorum.proto.kv_pb2 import KeyValue
from kvorum.proto.rpc_pb2 import (
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    RangeRequest,
    RangeResponse,
    SnapshotRequest,
    SnapshotResponse,
    WatchRequest,
    WatchResponse,
)
from kvorum.proto.versions import Version
from kvorum.rpc.access import Access
from kvorum.rpc.frames import frame
from kvorum.rpc.gateway.gateway import Gateway
from kvorum.rpc.grpc import Call, GrpcApp
from kvorum.rpc.http import HttpRequest, HttpResponse
from kvorum.rpc.listener import Listener, bind
from tests.unit.rpc.peer import Log

ANSWER_S = 10
SIZE_MAX = 100_000
KEY, FAIL, BUG, LATER = "a2V5", "ZmFpbA==", "YnVn", "bGF0ZXI="
RANGE, KEEP_ALIVE, WATCH = "/v3/kv/range", "/v3/lease/keepalive", "/v3/watch"
SNAPSHOT = "/v3/maintenance/snapshot"


class Watching:
    """A watch that notes what happens to it."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.requests: list[WatchRequest] = []
        self.halves = self.closes = self.writables = 0
        self.changed = asyncio.Event()
        call.on_writable(self.writable)
        call.start()

    def message(self, request: WatchRequest) -> None:
        key = request.create_request.key
        if key == b"fail":
            raise CompactedError
        if key == b"bug":
            raise RuntimeError("bug of a method")
        self.requests.append(request)
        self.send(created=True)
        self.changed.set()

    def send(self, **fields: Any) -> bool:
        return self.call.send(frame(WatchResponse(**fields).SerializeToString()))

    def writable(self) -> None:
        self.writables += 1
        self.changed.set()

    def half_closed(self) -> None:
        self.halves += 1
        self.changed.set()

    def closed(self) -> None:
        self.closes += 1
        self.changed.set()


class KeepingAlive:
    def __init__(self, call: Call) -> None:
        self.call = call

    def message(self, request: LeaseKeepAliveRequest) -> None:
        response = LeaseKeepAliveResponse(ID=request.ID, TTL=60)
        self.call.send(frame(response.SerializeToString()))

    def half_closed(self) -> None:
        self.call.finish()

    def closed(self) -> None:
        """Nothing is held."""


class Snapshotting:
    """Sends three messages at once."""

    def __init__(self, call: Call) -> None:
        self.call = call

    def message(self, _: SnapshotRequest) -> None:
        messages = [SnapshotResponse(blob=b"%d" % n).SerializeToString() for n in range(3)]
        self.call.send(b"".join(map(frame, messages)))

    def half_closed(self) -> None:
        self.call.finish()

    def closed(self) -> None:
        """Nothing is held."""


class Methods:
    """What the gateway calls."""

    def __init__(self) -> None:
        self.log = Log()
        self.ranges: list[RangeRequest] = []
        self.futures: list[asyncio.Future[bytes]] = []
        self.watches: list[Watching] = []
        self.metadata: list[dict[bytes, bytes]] = []
        self.has_leader = True
        self.app = GrpcApp(
            {"/etcdserverpb.KV/Range": (RangeRequest, self._range)},
            {
                "/etcdserverpb.Watch/Watch": (WatchRequest, self._watch),
                "/etcdserverpb.Lease/LeaseKeepAlive": (LeaseKeepAliveRequest, KeepingAlive),
                "/etcdserverpb.Maintenance/Snapshot": (SnapshotRequest, Snapshotting),
            },
            has_leader=lambda: self.has_leader,
            size_max=SIZE_MAX,
            log=self.log,  # type: ignore[arg-type]
        )

    def _range(self, request: RangeRequest, _: bytes) -> bytes | asyncio.Future[bytes]:
        if request.key == b"fail":
            raise EmptyKeyError
        if request.key == b"bug":
            raise RuntimeError("bug of a method")
        self.ranges.append(request)
        if request.key == b"later":
            future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            self.futures.append(future)
            return future
        kvs = [KeyValue(key=request.key, value=b"x" * request.limit)]
        return bytes(RangeResponse(kvs=kvs, count=1).SerializeToString())

    def _watch(self, call: Call) -> Watching:
        self.metadata.append(dict(call.metadata.headers))
        watching = Watching(call)
        self.watches.append(watching)
        return watching


class Client:
    """One connection of HTTP/1.1."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def post(self, path: str, body: str | bytes = "", *headers: str, method: str = "POST") -> None:
        data = body.encode() if isinstance(body, str) else body
        self.head(path, f"content-length: {len(data)}", *headers, method=method)
        self.send(data)

    def head(self, path: str, *headers: str, method: str = "POST") -> None:
        lines = [f"{method} {path} HTTP/1.1", "host: localhost:1", *headers, "", ""]
        self.send("\r\n".join(lines).encode())

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def answer_head(self) -> tuple[int, dict[str, str]]:
        async with asyncio.timeout(ANSWER_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = head.split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), {name.lower(): text for name, text in headers.items()}

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        status, headers = await self.answer_head()
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while piece := await self.answer_chunk():
                body += piece
        else:
            async with asyncio.timeout(ANSWER_S):
                body = await self.reader.readexactly(int(headers["content-length"]))
        return status, headers, body

    async def answer_chunk(self) -> bytes:
        """The next chunk of a chunked answer; empty: the last one."""
        async with asyncio.timeout(ANSWER_S):
            size = int(await self.reader.readline(), 16)
            data = await self.reader.readexactly(size)
            await self.reader.readexactly(2)
            return data

    async def ask(self, path: str, body: str | bytes = "", *headers: str) -> tuple[int, bytes]:
        self.post(path, body, *headers)
        status, _, answer = await self.answer()
        return status, answer

    async def is_closed(self) -> bool:
        """True, once the server has closed."""
        async with asyncio.timeout(ANSWER_S):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True


class GatewayServer:
    def __init__(self, methods: Methods, listener: Listener, gateway: Gateway, port: int) -> None:
        self.methods = methods
        self.listener = listener
        self.gateway = gateway
        self.port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        return Client(reader, writer)

    async def stop(self) -> None:
        for writer in self._writers:
            writer.close()
        await self.listener.stop()


async def _plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse(200, f"plain {request.path}".encode())


@asynccontextmanager
async def serve(
    version: Version = Version(3, 5, 1),  # noqa: B008 - immutable
    *,
    cors: Sequence[str] = (),
    hosts: Sequence[str] = (),
) -> AsyncIterator[GatewayServer]:
    methods = Methods()
    sock = bind("127.0.0.1", 0)
    gateway = Gateway(methods.app, version)
    listener = Listener(
        [sock],
        _plain,
        methods.app,
        gateway=gateway,
        access=Access(cors, hosts),
        log=methods.log,  # type: ignore[arg-type]
    )
    await listener.start()
    server = GatewayServer(methods, listener, gateway, sock.getsockname()[1])
    try:
        yield server
    finally:
        await server.stop()


async def wait_until(condition: Any) -> None:
    """Wait for a condition that something in this process makes true."""
    async with asyncio.timeout(ANSWER_S):
        while not condition():  # noqa: ASYNC110 - of several things that have no event
            await asyncio.sleep(0.005)


def line(body: bytes) -> Any:
    """The one line of JSON in a chunk."""
    assert body.endswith(b"\n")
    assert body.count(b"\n") == 1
    return json.loads(body)
