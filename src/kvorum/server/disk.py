"""The thread that writes the log: everything that waits is written together, then synced once.

The loop hands over jobs and goes on; a job's `done` runs on the loop when its bytes are as durable
as it asked for. Jobs are finished in the order they were handed over.

Why a thread: a sync takes 0.1 ms on a good disk and 100 ms on a bad one, and heartbeats, reads and
watches must not wait for it. Python lets other threads run while the system call is under way.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from kvorum.proto.raftpb import Entry, HardState
from kvorum.wal import Wal


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
        self._thread = threading.Thread(target=self._run, name="wal", daemon=True)
        self._thread.start()

    def submit(self, job: AppendJob | DiskJob) -> None:
        self._queue.put(job)

    async def stop(self, last_state: HardState | None) -> None:
        """Finish what was handed over, write `last_state` behind it, then close the log."""
        if last_state is not None:
            self._queue.put(AppendJob((), last_state, False, nothing))
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            while (job := self._queue.get()) is not None:
                if isinstance(job, DiskJob):
                    job.work()
                    self._call_on_loop(job.done)
                    continue
                jobs, other = self._append(job)
                for written in jobs:
                    self._call_on_loop(written.done)
                if other is not None:
                    other.work()
                    self._call_on_loop(other.done)
        except BaseException as error:
            self._call_on_loop(lambda error=error: self._failed(error))  # type: ignore[misc]
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
            self._wal.save(first.hard_state, first.entries, must_sync=first.must_sync)
            return jobs, other
        state = None
        for job in jobs:
            state = job.hard_state or state
        entries = [entry for job in jobs for entry in job.entries]
        self._wal.save(state, entries, must_sync=any(job.must_sync for job in jobs))
        return jobs, other

    def _call_on_loop(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            # The loop is closed: the process is on its way out and nobody waits any more.
            return


def nothing() -> None:
    return
