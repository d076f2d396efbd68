"""A TCP proxy between members, that can be told to be a bad network.

Each member advertises a port of the proxy instead of its own. Who has dialled is read from the head
of each request (`X-Server-From`), so each *direction* between two members is a `Link` of its own:

    from A to B flow   what A posts to B, and what A answers on the streams that B has opened

Of each request and not of each connection: members use connections again (`requests_on_wire`).

A blocked link lets nothing through and keeps connections open, as a network does that loses all
packets: the members have to find out by their timeouts. What was under way arrives later, if ever.
Delays differ from piece to piece; pieces of one connection stay in order, those of different
connections overtake each other.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.requests_on_wire import Head, Requests

PIECE_BYTES = 64 * 1024
STALL_POLL_S = 0.02
START_S = 10.0


@dataclass(slots=True)
class Link:
    """What happens to bytes in one direction."""

    blocked: bool = False
    delay_s: tuple[float, float] = (0.0, 0.0)
    reset_chance: float = 0.0
    """Of each piece: the connection is reset instead."""
    bytes_per_s: float = 0.0
    """What one connection may carry; 0: all that it can. The sender feels it."""


Change = Callable[[str, bytes], bytes]
"""Given the path of a request and a piece of its body, what to send instead, in the same length; it
may raise ConnectionResetError to break the connection off. Answers are not shown to it."""


class _Flow:
    """One connection: where its bytes go just now.

    Args:
        link_of: finds the link for the two members.
        target: who was dialled.
    """

    def __init__(self, link_of: Callable[[int, int], Link], target: int) -> None:
        self._link_of = link_of
        self._target = target
        self.path = ""
        self.there = Link()
        """What the request's bytes go over."""
        self.back = Link()
        """What the answer's bytes go over."""

    def begin(self, path: str, source: int) -> None:
        """A request of `source` has come; -1: it does not say whose it is, and goes unhindered."""
        self.path = path
        self.there, self.back = Link(), Link()
        if source < 0:
            return
        if path.startswith("/raft/stream"):
            # Nothing is sent but the request itself, and that waits for who is to answer.
            self.back = self._link_of(self._target, source)
            self.there = self.back
        else:
            self.there = self._link_of(source, self._target)
            if not path.startswith("/raft"):
                self.back = self._link_of(self._target, source)


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
        return [self.link(*pair) for pair in self.pairs()]

    def cut(self, some: Iterable[int], others: Iterable[int], *, both_ways: bool = True) -> None:
        """Block what `some` send to `others`, and the other way round too."""
        others = list(others)
        for a in some:
            for b in others:
                self.link(a, b).blocked = True
                if both_ways:
                    self.link(b, a).blocked = True

    def pairs(self) -> list[tuple[int, int]]:
        """Both directions between all members."""
        count = len(self._targets)
        return [(a, b) for a in range(count) for b in range(count) if a != b]

    def delay(self, pairs: Iterable[tuple[int, int]], low_s: float, high_s: float) -> None:
        """Each piece takes between `low_s` and `high_s`."""
        for pair in pairs:
            self.link(*pair).delay_s = (low_s, high_s)

    def lose(self, pairs: Iterable[tuple[int, int]], chance: float) -> None:
        """The nearest thing to lost packets: of each piece, the chance to break its connection."""
        for pair in pairs:
            self.link(*pair).reset_chance = chance

    def heal(self) -> None:
        """A good network again."""
        for link in self.all_links():
            link.blocked, link.delay_s, link.reset_chance = False, (0.0, 0.0), 0.0
            link.bytes_per_s = 0.0
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
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._targets[target])
        flow = _Flow(self.link, target)
        try:
            pumps = [
                asyncio.ensure_future(self._pump(self._sent(reader, flow), up_writer)),
                asyncio.ensure_future(self._pump(self._answered(up_reader, flow), writer)),
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

    async def _sent(self, reader: asyncio.StreamReader, flow: _Flow) -> _Pieces:
        """What the one who dialled sends, and over which link."""
        requests = Requests()
        while data := await reader.read(PIECE_BYTES):
            for part in requests.feed(data):
                if isinstance(part, Head):
                    source = -1 if part.source is None else self.member_ids.get(part.source, -1)
                    flow.begin(part.path, source)
                    yield part.data, flow.there
                elif isinstance(part, bytearray) or self.change is None:
                    yield bytes(part), flow.there
                else:
                    yield self.change(flow.path, part), flow.there

    async def _answered(self, reader: asyncio.StreamReader, flow: _Flow) -> _Pieces:
        while data := await reader.read(PIECE_BYTES):
            yield data, flow.back

    async def _wait_open(self, link: Link) -> None:
        while link.blocked:  # noqa: ASYNC110 - set by another thread, and rarely
            await asyncio.sleep(STALL_POLL_S)

    async def _pump(self, source: _Pieces, writer: asyncio.StreamWriter) -> None:
        """Move bytes one way. Reads on while pieces wait for their time."""
        pieces: asyncio.Queue[tuple[float, bytes, Link]] = asyncio.Queue(1024)
        sender = asyncio.ensure_future(self._send(pieces, writer))
        due, link = 0.0, Link()
        try:
            async for data, link in source:
                if link.reset_chance and self._rng.random() < link.reset_chance:
                    self.resets += 1
                    raise ConnectionResetError
                due = max(due, self._loop.time() + self._rng.uniform(*link.delay_s))
                if sender.done():
                    break
                await pieces.put((due, data, link))
                if link.bytes_per_s:
                    await asyncio.sleep(len(data) / link.bytes_per_s)
            await pieces.put((due, b"", link))
            await sender
        finally:
            sender.cancel()

    async def _send(
        self, pieces: asyncio.Queue[tuple[float, bytes, Link]], writer: asyncio.StreamWriter
    ) -> None:
        while True:
            due, data, link = await pieces.get()
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


_Pieces = AsyncIterator[tuple[bytes, Link]]
