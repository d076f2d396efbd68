"""Members as the peer protocol sees them: a recording port behind a real socket, and fake peers."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from kvorum.peer.options import PeerLimits, PeerOptions
from kvorum.peer.peer import Peer
from kvorum.peer.reading import StreamKind
from kvorum.peer.service import PeerService
from kvorum.peer.transport import PeerTransport
from kvorum.proto.raftpb import Message, Snapshot, SnapshotMetadata
from kvorum.proto.versions import Version
from kvorum.rpc.http import nothing_here
from kvorum.rpc.listener import Listener, bind
from kvorum.server.log import Logger
from kvorum.server.peer_ports import RemovedSenderError, WrongTargetError
from kvorum.server.ports import LeaseLife

CLUSTER_ID = 0xC1
NEWEST = Version(3, 6)
WAIT_S = 10.0
POLL_S = 0.005


class SilentLog:
    """Keeps what was told, for tests to look at."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def _tell(self, message: str, **fields: Any) -> None:
        self.told.append(f"{message} {fields}")

    debug = info = warn = error = _tell


class Port:
    """Records what the peer protocol tells its member."""

    def __init__(self, member_id: int, folder: str) -> None:
        self.member_id = member_id
        self.cluster_id = CLUSTER_ID
        self.folder = folder
        self.messages: list[Message] = []
        self.removed: set[int] = set()
        self.unreachable: list[int] = []
        self.disconnected: list[int] = []
        self.snapshots: list[tuple[int, bool]] = []
        self.was_removed = 0
        self.database: list[bytes] = []
        self.received: list[bytes] = []
        self.fails_with: Exception | None = None

    def process(self, message: Message) -> None:
        if self.fails_with is not None:
            raise self.fails_with
        if message.from_ in self.removed:
            raise RemovedSenderError
        if message.to != self.member_id:
            raise WrongTargetError
        self.messages.append(message)

    def is_removed(self, member_id: int) -> bool:
        return member_id in self.removed

    def is_member(self, member_id: int) -> bool:
        return True

    def report_unreachable(self, member_id: int) -> None:
        self.unreachable.append(member_id)

    def report_disconnected(self, member_id: int) -> None:
        self.disconnected.append(member_id)

    def report_snapshot(self, member_id: int, *, ok: bool) -> None:
        self.snapshots.append((member_id, ok))

    def removed_from_cluster(self) -> None:
        self.was_removed += 1

    def snapshot_folder(self) -> str:
        return self.folder

    @asynccontextmanager
    async def snapshot_bytes(self, message: Message) -> AsyncIterator[Outgoing]:
        yield Outgoing(message, self.database)

    async def receive_snapshot(self, message: Message, path: str) -> None:
        self.process(message)
        self.received.append(Path(path).read_bytes())


class Outgoing:
    """A database on its way."""

    def __init__(self, message: Message, pieces: list[bytes]) -> None:
        self.message = Message(
            message.type,
            message.to,
            message.from_,
            message.term,
            snapshot=Snapshot(b"{}", SnapshotMetadata(index=9, term=1)),
        )
        self._pieces = pieces
        self.size_bytes = sum(map(len, pieces))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


class Info:
    """A `PeerInfoPort` of a cluster with nothing in it."""

    cluster_id = CLUSTER_ID

    def members(self) -> list[dict[str, Any]]:
        return []

    def versions(self) -> dict[str, str]:
        return {"etcdserver": "3.5.0", "etcdcluster": "3.5.0"}

    def downgrade_enabled(self) -> bool:
        return False

    async def promote(self, member_id: int) -> None:
        return

    async def hash_kv_here(self, revision: int) -> tuple[int, int, int, int]:
        return 1, 2, 3, 4

    async def lease_renew_here(self, lease_id: int) -> int:
        return 5

    async def lease_time_to_live_here(self, lease_id: int, *, with_keys: bool) -> LeaseLife:
        return LeaseLife(1, 1, ())


class Side:
    """A member: its port, its transport, and the peer port that others reach it at."""

    def __init__(
        self,
        member_id: int,
        *,
        limits: PeerLimits | None = None,
        timeout_s: float = 1.0,
        version: Version = NEWEST,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kvorum-peer-")
        self.port = Port(member_id, self._folder.name)
        self.log = SilentLog()
        socket = bind("127.0.0.1", 0)
        self.number = socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.number}"
        options = PeerOptions(
            member_id=member_id,
            cluster_id=CLUSTER_ID,
            version=version,
            peer_urls=(self.url,),
            dial_timeout_s=timeout_s,
            read_timeout_s=timeout_s,
            write_timeout_s=timeout_s,
            limits=limits or PeerLimits(),
        )
        self.options = options
        log = cast("Logger", self.log)
        self.transport = PeerTransport(self.port, options, log)
        service = self.service = PeerService(self.transport, self.port, Info(), log)
        self.listener = Listener(
            [socket],
            nothing_here,
            None,
            gateway=service,
            log=log,
        )

    async def __aenter__(self) -> Side:
        await self.listener.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.transport.stop()
        await self.listener.stop()
        self._folder.cleanup()

    def knows(self, *others: Side) -> None:
        for other in others:
            self.transport.add_peer(other.port.member_id, [other.url])

    def files(self) -> list[str]:
        return [path.name for path in Path(self._folder.name).iterdir()]


async def wait_until(condition: Callable[[], object], problem: str = "it did not happen") -> None:
    give_up = asyncio.get_running_loop().time() + WAIT_S
    while not condition():
        assert asyncio.get_running_loop().time() < give_up, problem
        await asyncio.sleep(POLL_S)


async def until_active(*sides: Side) -> None:
    """Wait until every side has both streams to and from every other."""
    for side in sides:
        for other in sides:
            if other is not side:
                peer = side.transport.peer(other.port.member_id)
                assert peer is not None
                await wait_until(partial(_has_all_streams, peer))


def _has_all_streams(peer: Peer) -> bool:
    return peer.is_active and len(peer._writers) == len(StreamKind)


Handler = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def fake_peer(handler: Handler) -> AsyncIterator[str]:
    """A server that does with each connection what `handler` does, given the request's head.

    Yields:
        Its URL.
    """
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(await reader.readuntil(b"\r\n\r\n"), reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


def answer_head(status: str, headers: Iterable[str] = ()) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, "", ""]
    return "\r\n".join(lines).encode()


STREAM_HEAD = answer_head(
    "200 OK", ["X-Server-Version: 3.5.1", "X-Etcd-Cluster-ID: c1", "Transfer-Encoding: chunked"]
)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
