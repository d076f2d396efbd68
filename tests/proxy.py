"""A TCP proxy between members, that can be told to be a bad network.

Each member advertises a port of the proxy instead of its own. Who has dialled is read from the head
of the request (`X-Server-From`), so each *direction* between two members is a `Link` of its own:

    from A to B flow   what A posts to B, and what A answers on the streams that B has opened

A blocked link lets nothing through and keeps connections open, as a network does that loses all
packets: the members have to find out by their timeouts. What was under way arrives later, if ever.
Delays differ from piece to piece; pieces of one connection stay in order, those of different
connections overtake each other.
"""

from __future__ import annotations

import asyncio
import random
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

HEAD_BYTES_MAX = 64 * 1024
PIECE_BYTES = 64 * 1024
STALL_POLL_S = 0.02
START_S = 10.0

_FROM = re.compile(rb"^x-server-from: *([0-9a-f]+)", re.IGNORECASE | re.MULTILINE)
_PATH = re.compile(rb"^[A-Z]+ (\S+) HTTP")


@dataclass(slots=True)
class Link:
    """What happens to bytes in one direction."""

    blocked: bool = False
    delay_s: tuple[float, float] = (0.0, 0.0)
    reset_chance: float = 0.0
    """Of each piece: the connection is reset instead."""


Change = Callable[[str, bytes], bytes]
"""Given the path of a request and a piece of what is sent with it, what to send instead; it may
raise ConnectionResetError to break the connection off."""


class Proxy:
    """One port for each member; runs in a thread of its own.

    Args:
        targets: the members' own peer ports.
        seed: of delays and resets.
    """

    def __init__(self, targets: Sequence[int], seed: int = 0) -> None:
        self._targets = list(targets)
        self._rng = random.Random(seed)
        self.links: dict[tuple[int, int], Link] = {}
        self.member_ids: dict[int, int] = {}
        """Index of each member by its id; who is not in it passes unhindered."""
        self.change: Change | None = None
        self.ports: list[int] = []
        self.resets = 0
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(START_S)

    # For tests.

    def link(self, source: int, target: int) -> Link:
        return self.links.setdefault((source, target), Link())

    def all_links(self) -> list[Link]:
        count = len(self._targets)
        return [self.link(a, b) for a in range(count) for b in range(count) if a != b]

    def cut(self, some: Iterable[int], others: Iterable[int], *, both_ways: bool = True) -> None:
        """Block what `some` send to `others`, and the other way round too."""
        others = list(others)
        for a in some:
            for b in others:
                self.link(a, b).blocked = True
                if both_ways:
                    self.link(b, a).blocked = True

    def heal(self) -> None:
        """A good network again."""
        for link in self.all_links():
            link.blocked, link.delay_s, link.reset_chance = False, (0.0, 0.0), 0.0
        self.change = None

    def reset_all(self) -> None:
        """Break every connection off: what waited for a blocked link is lost."""
        asyncio.run_coroutine_threadsafe(self._reset_all(), self._loop).result(START_S)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(START_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # The rest runs on the proxy's thread.

    async def _listen(self) -> None:
        for index in range(len(self._targets)):
            server = await asyncio.start_server(self._handler(index), "127.0.0.1", 0)
            self._servers.append(server)
            self.ports.append(server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        await self._reset_all()

    async def _reset_all(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _handler(self, target: int) -> Callable[..., Any]:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                await self._serve(target, reader, writer)
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                pass
            except asyncio.CancelledError:
                pass  # `reset_all` or the end
            finally:
                self._tasks.discard(task)
                writer.transport.abort()

        return handle

    async def _serve(
        self, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        found, path = _FROM.search(head), _PATH.search(head)
        source = self.member_ids.get(int(found[1], 16), -1) if found else -1
        name = path[1].decode() if path else ""
        there = self.link(source, target)
        back = self.link(target, source)
        if name.startswith("/raft/stream"):
            there = Link()  # nothing but the request itself
        elif name.startswith("/raft"):
            back = Link()
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._targets[target])
        try:
            await self._wait_open(back if name.startswith("/raft/stream") else there)
            up_writer.write(head)
            pumps = [
                asyncio.ensure_future(self._pump(reader, up_writer, there, name)),
                asyncio.ensure_future(self._pump(up_reader, writer, back, "")),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                if not pumps[1].done() and pumps[0].exception() is None:
                    await asyncio.wait(pumps[1:])  # the request has ended, its answer has not
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            up_writer.transport.abort()

    async def _wait_open(self, link: Link) -> None:
        while link.blocked:  # noqa: ASYNC110 - set by another thread, and rarely
            await asyncio.sleep(STALL_POLL_S)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        link: Link,
        path: str,
    ) -> None:
        """Move bytes one way. Reads on while pieces wait for their time."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(1024)
        sender = asyncio.ensure_future(self._send(pieces, writer, link))
        due = 0.0
        try:
            while data := await reader.read(PIECE_BYTES):
                if link.reset_chance and self._rng.random() < link.reset_chance:
                    self.resets += 1
                    raise ConnectionResetError
                if self.change is not None:
                    data = self.change(path, data)
                now = self._loop.time()
                due = max(due, now + self._rng.uniform(*link.delay_s))
                if sender.done():
                    break
                await pieces.put((due, data))
            await pieces.put((due, b""))
            await sender
        finally:
            sender.cancel()

    async def _send(
        self, pieces: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, link: Link
    ) -> None:
        while True:
            due, data = await pieces.get()
            wait_s = due - self._loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            await self._wait_open(link)
            if not data:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
