"""Whole-database snapshots for others: what a client saves, what a slow member is sent.

`SnapshotSources.open` answers with a `SnapshotSource`: the member's database in bbolt format, read
piece by piece. It is built by another process (`snapshot_worker`) out of one transaction of the
database, so that neither the loop nor the interpreter lock feels it. The pipe between the two is
the back-pressure: while nobody reads here, the worker stands still.

Everything that was applied before `open` is in it: the batch under way is sealed at once, and the
worker is started when that is committed. While a worker lives, pages that are given up meanwhile
cannot be used again, so the file grows by what is written; a worker that nobody reads from is
therefore ended after `STALLED_S`.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

from kvorum.errors import Code, StatusError, StoppedError, WireError
from kvorum.histogram import Histogram
from kvorum.server.clock import monotonic_s
from kvorum.server.database_workers import failure_reason, start_worker, wait_committed
from kvorum.server.log import Logger
from kvorum.server.opening_gate import OpeningGate
from kvorum.server.snapshot_worker import HEAD
from kvorum.storage import Backend
from kvorum.storage.snapshot_stream import TRAILER_BYTES

SOURCES_MAX: Final = 4
"""Each costs a process, its share of a core, and pages that cannot be used again."""
PIECE_BYTES: Final = 128 * 1024
"""At most so much is read at a time, and twice as much is held unread."""
STALLED_S: Final = 600.0
_MODULE: Final = "kvorum.server.snapshot_worker"


class SnapshotSource:
    """One snapshot. Read it to its end, or not; `close` it in any case."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        end: Callable[[], None],
    ) -> None:
        self._process = process
        self._reader = reader
        self._end = end
        self._left = 0
        self._loop = asyncio.get_running_loop()
        self._stalled: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self.size_bytes = 0
        """Bytes of the database."""
        self.consistent_index = 0
        self.term = 0
        """Index and term of the last log entry in it."""
        self.conf_state = b""
        """The configuration at that index, as the bucket `meta` has it."""
        self.membership = b""
        """The members at that index, as a raft snapshot's data."""
        self.digest = b""
        """SHA-256 of the database, once all of it has been read."""

    async def start(self) -> None:
        """Wait until the worker knows the size.

        Raises:
            StatusError: it failed.
        """
        head = await self._exactly(HEAD.size)
        self.size_bytes, self.consistent_index, self.term, *lengths = HEAD.unpack(head)
        self.conf_state, self.membership = [await self._exactly(length) for length in lengths]
        self._left = self.size_bytes

    async def read(self) -> bytes:
        """The next piece of the database; empty: that was all, and `digest` is known.

        Raises:
            StatusError: the worker failed; what was read so far is worth nothing.
            StoppedError: the member is stopping.
        """
        if self._left == 0:
            if not self.digest:
                self.digest = await self._exactly(TRAILER_BYTES)
            return b""
        if self._stalled is not None:
            self._stalled.cancel()
        piece = await self._reader.read(min(PIECE_BYTES, self._left))
        if not piece:
            raise await self._failure()
        self._left -= len(piece)
        self._stalled = self._loop.call_later(STALLED_S, self._process.kill)
        return piece

    async def close(self) -> None:
        """End the worker, whatever it is doing, and wait until it is gone."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
        self._process.kill()
        try:
            await self._wait_exit()
        finally:
            for pipe in (self._process.stdin, self._process.stderr):
                assert pipe is not None
                pipe.close()
            self._end()

    async def _wait_exit(self) -> int:
        return await self._loop.run_in_executor(None, self._process.wait)

    async def _exactly(self, size: int) -> bytes:
        try:
            return await self._reader.readexactly(size)
        except asyncio.IncompleteReadError:
            raise await self._failure() from None

    async def _failure(self) -> WireError:
        """Why the worker has ended before its work was done."""
        if self._closing is not None:
            return StoppedError()
        await self._wait_exit()
        reason = failure_reason(self._process)
        return StatusError(Code.INTERNAL, f"etcdserver: the snapshot could not be built: {reason}")


class SnapshotSources:
    """The snapshots that are being read from one member.

    Args:
        backend: its database.
        log: where it is told what is sent.
        times_s: how long those that were read to their end took.
        gate: passed by each worker while it opens the database.
    """

    def __init__(
        self,
        backend: Backend,
        log: Logger,
        times_s: Histogram | None = None,
        gate: OpeningGate | None = None,
    ) -> None:
        self._backend = backend
        self._gate = gate or OpeningGate()
        self._times_s = times_s
        self._log = log
        self._open: set[SnapshotSource] = set()
        self._starting = 0
        self._stopped = False

    async def open(self) -> SnapshotSource:
        """A snapshot with everything that was applied before this call.

        Raises:
            StatusError: too many snapshots are being read, or the worker failed.
            StoppedError: the member is stopping.
        """
        if self._stopped:
            raise StoppedError
        if len(self._open) + self._starting >= SOURCES_MAX:
            raise StatusError(
                Code.RESOURCE_EXHAUSTED,
                f"etcdserver: too many snapshots are being read already ({SOURCES_MAX})",
            )
        async with AsyncExitStack() as stack:
            self._starting += 1
            try:
                await wait_committed(self._backend, lambda: self._stopped)
                await stack.enter_async_context(self._gate.opening())
                source = await self._spawn()
            finally:
                self._starting -= 1
            try:
                await source.start()
            except BaseException:
                await source.close()
                raise
        return source

    async def stop(self) -> None:
        """End every worker."""
        self._stopped = True
        for source in tuple(self._open):
            await source.close()

    async def _spawn(self) -> SnapshotSource:
        process = start_worker(_MODULE, os.fspath(self._backend.path))
        try:
            reader = asyncio.StreamReader(limit=PIECE_BYTES)
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), process.stdout
            )
        except BaseException:
            process.kill()
            process.wait()
            raise

        begun_s = monotonic_s()

        def end() -> None:
            transport.close()
            if source.digest and self._times_s is not None:
                self._times_s.observe(monotonic_s() - begun_s)
            self._open.discard(source)
            if not self._stopped:
                self._backend.forget_dead_readers()

        source = SnapshotSource(process, reader, end)
        self._open.add(source)
        return source
