"""Defragmentation of a running member: the database is written anew, beside the one in use.

A worker process makes the copy (`defrag_worker`); what was changed meanwhile is brought over in
small pieces between requests; then the copy takes the place of the file (`storage.rewriting`).
Requests are served all the time. Commits are held only for the last, small round, and then what is
written goes into the batch in memory: the log, which is what makes a write durable, is not touched.

A crash at any point leaves one of the two files, whole, under the name; what else is left is
removed by the next start.

Stock stops reads and writes for as long as it copies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Final

import lmdb

from kvorum.errors import Code, StatusError, WireError
from kvorum.gotext import format_size
from kvorum.server.database_workers import COMMIT_POLL_S, DatabaseWorkers
from kvorum.server.log import Logger
from kvorum.server.metrics.counters import MemberCounters
from kvorum.storage import Backend, CommitFailedError
from kvorum.storage.rewriting import Rewrite, RewriteCancelledError

FEW_ROWS: Final = 10_000
"""So many rows may be left for the round during which commits are held."""
ROUNDS_MAX: Final = 20
HOLDS_MAX: Final = 20
"""So often commits are held, if the batch in memory is full each time before the round ends."""
WORKER: Final = "kvorum.server.defrag_worker"


class Defragmenter:
    """Defragments when asked to; one at a time.

    Args:
        backend: the database.
        workers: run the copying process, and keep the file's name while others open it.
        counters: for the metrics.
        log: told what happens.
    """

    def __init__(
        self, backend: Backend, workers: DatabaseWorkers, counters: MemberCounters, log: Logger
    ) -> None:
        self._backend = backend
        self._workers = workers
        self._counters = counters
        self._log = log
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None
        self._count = 0
        self._held_s = 0.0
        self.listeners: list[Callable[[], None]] = []
        """Told when one begins and when it ends."""

    @property
    def is_running(self) -> bool:
        return self._counters.defrags_under_way > 0

    async def defragment(self) -> None:
        """Return when the database has been written anew, which was begun after the call.

        Who comes while one is running waits for the next, together with all others who came. It
        goes on when nobody waits for it any more.

        Raises:
            StatusError: it could not be done; the database is as it was.
            StoppedError: the member is stopping.
        """
        if self._next is None:
            self._next = asyncio.ensure_future(self._run_after(self._running))
            self._next.add_done_callback(_forget)
        await asyncio.shield(self._next)

    async def stop(self) -> None:
        """Give up what is under way. The workers have been stopped."""
        for task in (self._next, self._running):
            if task is not None:
                task.cancel()
                await asyncio.wait((task,))

    async def _run_after(self, running: asyncio.Task[None] | None) -> None:
        if running is not None:
            await asyncio.wait((running,))
        self._running, self._next = self._next, None
        await self._run()

    async def _run(self) -> None:
        backend, begun_s = self._backend, monotonic()
        before, in_use = backend.size(), backend.size_in_use()
        self._log.info(
            "defragmenting",
            path=str(backend.path),
            current_db_size_bytes=before,
            current_db_size=format_size(before),
            current_db_size_in_use_bytes=in_use,
            current_db_size_in_use=format_size(in_use),
        )
        self._note_running(1)
        try:
            await self._rewrite()
        except (OSError, lmdb.Error, CommitFailedError, WireError) as error:
            self._log.error("failed to defragment", path=str(backend.path), error=error)
            if isinstance(error, WireError):
                raise
            raise StatusError(
                Code.UNKNOWN, f"etcdserver: defragmentation failed: {error}"
            ) from error
        except RewriteCancelledError:
            raise StatusError(
                Code.UNAVAILABLE, "etcdserver: the database was replaced by the leader's"
            ) from None
        finally:
            self._note_running(-1)
        took_s = monotonic() - begun_s
        self._counters.defrag_s.observe(took_s)
        after, in_use = backend.size(), backend.size_in_use()
        self._log.info(
            "finished defragmenting directory",
            path=str(backend.path),
            current_db_size_bytes_diff=after - before,
            current_db_size_bytes=after,
            current_db_size=format_size(after),
            current_db_size_in_use_bytes=in_use,
            current_db_size_in_use=format_size(in_use),
            took=f"{took_s:.6g}s",
            commits_held=f"{self._held_s * 1000:.6g}ms",
        )

    def _note_running(self, more: int) -> None:
        self._counters.defrags_under_way += more
        for told in tuple(self.listeners):
            told()

    async def _rewrite(self) -> None:
        backend = self._backend
        self._count += 1
        rewrite = backend.begin_rewrite(backend.path.with_name(f"db.tmp.{self._count}"))
        try:
            rewrite.remove()
            await self._workers.run(WORKER, str(rewrite.path))
            await _in_thread(rewrite.open_copy)
            for _ in range(ROUNDS_MAX):
                if await self._round(rewrite) <= FEW_ROWS:
                    break
            await _in_thread(rewrite.flush)
            async with self._workers.gate.replacing():
                await self._replace(rewrite)
        finally:
            if rewrite.installed:
                backend.take_over(rewrite)
            backend.forget_rewrite(rewrite)
            await _in_thread(rewrite.close)

    async def _round(self, rewrite: Rewrite) -> int:
        """Bring over what is to be brought over now; how many rows that were."""
        count = 0
        for piece in self._backend.pieces(rewrite):
            if rewrite.cancelled:
                raise RewriteCancelledError
            count += len(piece)
            await _in_thread(partial(rewrite.write, piece))
        return count

    async def _replace(self, rewrite: Rewrite) -> None:
        backend, path = self._backend, self._backend.path
        for _ in range(HOLDS_MAX):
            held_s = monotonic()
            backend.hold()
            while backend.is_holding and not backend.is_held:
                await asyncio.sleep(COMMIT_POLL_S)
                backend.maybe_commit_nowait()
            await self._round(rewrite)
            await _in_thread(rewrite.flush)
            if rewrite.cancelled:
                raise RewriteCancelledError
            if backend.is_held:
                break
        else:
            raise OSError("writes come faster than they can be copied")
        rewrite.is_final = True
        try:
            await _in_thread(partial(rewrite.install, path))
        except OSError as error:
            if rewrite.installed:
                backend.fail(error)
            raise
        backend.take_over(rewrite)
        self._held_s = monotonic() - held_s


async def _in_thread(work: Callable[[], None]) -> None:
    """Do what blocks in a thread. Who is cancelled waits for its end all the same."""
    done = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait((done,))
        raise


def _forget(task: asyncio.Task[None]) -> None:
    """Its error has been logged; nobody may be waiting for it."""
    if not task.cancelled():
        task.exception()
