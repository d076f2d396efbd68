"""One member's server on real files, without the layers above it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from kvorum.cluster.bootstrap import bootstrap
from kvorum.mvcc.requests import apply_range
from kvorum.proto.rpc_pb2 import PutRequest, PutResponse, RangeRequest, RangeResponse
from kvorum.server.api import MemberApi
from kvorum.server.log import NO_LOG
from kvorum.server.member import EtcdServer
from kvorum.server.opening import open_member
from kvorum.server.options import ServerOptions

DEADLINE_S = 20.0
CLIENT_URLS = ("http://127.0.0.1:2379",)
PLAN = bootstrap({"m1": ["http://127.0.0.1:2380"]}, "token")
NEVER_S = 3600.0


class Clock:
    """Monotonic time that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def options_of(folder: Path, **more: Any) -> ServerOptions:
    defaults: dict[str, Any] = {
        "name": "m1",
        "data_dir": folder,
        "wal_dir": folder / "member" / "wal",
        "founding": lambda: (PLAN, PLAN.member_named("m1")),
        "client_urls": CLIENT_URLS,
        "heartbeat_interval_s": 0.02,
        "batch_interval_s": 0.02,
        "fsync": False,
    }
    return ServerOptions(**(defaults | more))


@contextlib.asynccontextmanager
async def running(folder: Path, **more: Any) -> AsyncIterator[EtcdServer]:
    """A server that has published itself; stopped when the block ends."""
    options = options_of(folder, **more)
    server = EtcdServer(options, open_member(options, NO_LOG), NO_LOG)
    try:
        await asyncio.wait_for(server.start(), DEADLINE_S)
        yield server
    finally:
        await server.stop()


def put_nowait(server: EtcdServer, key: bytes, value: bytes = b"", **more: Any) -> Any:
    request = PutRequest(key=key, value=value, **more)
    return MemberApi(server).put(request, request.SerializeToString())


async def put(server: EtcdServer, key: bytes, value: bytes = b"", **more: Any) -> int:
    """The revision of the put."""
    response = await asyncio.wait_for(put_nowait(server, key, value, **more), DEADLINE_S)
    return int(PutResponse.FromString(response).header.revision)


async def put_many(server: EtcdServer, count: int, prefix: bytes = b"k") -> None:
    await asyncio.gather(*(put_nowait(server, b"%b%06d" % (prefix, n)) for n in range(count)))


def rows(server: EtcdServer) -> dict[bytes, tuple[bytes, int]]:
    """Every key's value and revision."""
    request = RangeRequest(key=b"\0", range_end=b"\0")
    body = apply_range(server.store, request, server.headers.at(server.store.revision))
    kvs = RangeResponse.FromString(bytes(body)).kvs
    return {kv.key: (kv.value, kv.mod_revision) for kv in kvs}


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - any condition, not only one that tells
            await asyncio.sleep(0.005)


def crashed_copy(folder: Path, to: Path) -> Path:
    """The files as a crash at this moment would leave them. Nothing may be under way."""
    shutil.copytree(folder, to)
    return to
