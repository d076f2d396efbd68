"""The thread that writes the log: everything that waits is written together, then synced once.

The loop hands over jobs and goes on; a job's `done` runs on the loop when its bytes are as durable
as it asked for. Jobs are finished in the order they were handed over.

Why a thread: a sync takes 0.1 ms on a good disk and 100 ms on a bad one, and heartbeats, reads and
watches must not wait for it. Python lets other threads run while the system call is under way.

Why not always: handing a lone entry to a thread and back takes as long as a quick disk's sync. So
while the disk has been quick and the thread has nothing to do, `write_now` writes it on the loop
(one client, p50 of a put, two runs each: 470 and 515 µs by the thread, 436 and 370 without). One
slow sync, and the thread has it again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Final

from kvorum.proto.raftpb import Entry, HardState
from kvorum.server.clock import monotonic_s
from kvorum.wal import Wal

QUICK_SYNC_S: Final = 0.0005
"""A disk whose writes take less than this on average may be waited for on the loop."""
_WEIGHT: Final = 0.2  # of the newest write in the average
_SLOW_FACTOR: Final = 4  # one write that takes so many times QUICK_SYNC_S counts by itself


class AppendJob:
    """Entries and state to append, and what to do then."""

    __slots__ = ("done", "entries", "hard_state", "must_sync")

    def __init__(
        self,
        entries: Sequence[Entry],
        hard_state: HardState | None,
        must_sync: bool,
        done: Callable[[], None],
    ) -> None:
        self.entries = entries
        self.hard_state = hard_state
        self.must_sync = must_sync
        self.done = done


class DiskJob:
    """Work on the log's files that must come between appends: a snapshot, a release."""

    __slots__ = ("done", "work")

    def __init__(self, work: Callable[[], None], done: Callable[[], None]) -> None:
        self.work = work
        self.done = done


class DiskWriter:
    """Owns the log while the member runs.

    Args:
        wal: opened for appending.
        loop: where `done` runs.
        failed: called on the loop when a write failed. The log is not touched any more then:
            what a failed sync left on the disk is unknown, so the member has to stop.
    """

    def __init__(
        self,
        wal: Wal,
        loop: asyncio.AbstractEventLoop,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._wal = wal
        self._loop = loop
        self._failed = failed
        self._queue: SimpleQueue[AppendJob | DiskJob | None] = SimpleQueue()
        self._handed_over = 0
        self._write_s = 2 * QUICK_SYNC_S  # by the thread until the disk has shown itself quick
        self._thread = threading.Thread(target=self._run, name="wal", daemon=True)
        self._thread.start()

    def submit(self, job: AppendJob | DiskJob) -> None:
        """Hand a job over. Its `done` runs on the loop."""
        self._handed_over += 1
        self._queue.put(job)

    def write_now(self, entries: Sequence[Entry], hard_state: HardState | None) -> bool:
        """Write and sync on the calling thread, the loop's, where that is the quicker way.

        Returns:
            False: it was not done; hand it over.

        Raises:
            Exception: the write failed; the log must not be touched any more.
        """
        if self._handed_over or self._write_s > QUICK_SYNC_S:
            return False
        self._timed_save(hard_state, entries, True)
        return True

    def _timed_save(
        self, hard_state: HardState | None, entries: Sequence[Entry], must_sync: bool
    ) -> None:
        begun_s = monotonic_s()
        self._wal.save(hard_state, entries, must_sync=must_sync)
        took_s = monotonic_s() - begun_s
        if took_s > _SLOW_FACTOR * QUICK_SYNC_S:
            self._write_s = took_s
        else:
            self._write_s += _WEIGHT * (took_s - self._write_s)

    async def stop(self, last_state: HardState | None) -> None:
        """Finish what was handed over, write `last_state` behind it, then close the log."""
        if last_state is not None:
            self.submit(AppendJob((), last_state, False, nothing))
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            while (job := self._queue.get()) is not None:
                if isinstance(job, DiskJob):
                    job.work()
                    self._call_on_loop(self._finish, job.done)
                    continue
                jobs, other = self._append(job)
                for written in jobs:
                    self._call_on_loop(self._finish, written.done)
                if other is not None:
                    other.work()
                    self._call_on_loop(self._finish, other.done)
        except BaseException as error:
            self._call_on_loop(self._failed, error)
        finally:
            self._wal.close()

    def _append(self, first: AppendJob) -> tuple[list[AppendJob], DiskJob | None]:
        """Write `first` and every append that waits behind it, with one sync.

        Returns:
            What was written, and the job that ended the row and is still to be done.
        """
        jobs, other = [first], None
        while not self._queue.empty():
            job = self._queue.get()
            if isinstance(job, AppendJob):
                jobs.append(job)
                continue
            if job is None:
                self._queue.put(None)
            else:
                other = job
            break
        if len(jobs) == 1:
            self._timed_save(first.hard_state, first.entries, first.must_sync)
            return jobs, other
        state = None
        for job in jobs:
            state = job.hard_state or state
        entries = [entry for job in jobs for entry in job.entries]
        self._timed_save(state, entries, any(job.must_sync for job in jobs))
        return jobs, other

    def _finish(self, done: Callable[[], None]) -> None:
        self._handed_over -= 1
        done()

    def _call_on_loop(self, callback: Callable[[Any], None], argument: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, argument)
        except RuntimeError:
            # The loop is closed: the process is on its way out and nobody waits any more.
            return


def nothing() -> None:
    return
