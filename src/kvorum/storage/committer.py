"""The thread that writes sealed batches, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Event, Thread

from kvorum.errors import KvorumError
from kvorum.storage.batch import Batch

LIVENESS_S = 1.0  # how often a waiting owner looks whether the thread still lives


class CommitFailedError(KvorumError):
    """A batch could not be written; nothing after it will be. Restart the member.

    What was acknowledged is safe: it is in the log, and a restart applies it again from the
    consistent index that the file has.
    """


class Committer:
    """Runs `write` for one batch at a time on its own thread.

    `error` is set by the thread and read by the owner, who sees it once the batch has finished.
    That is one flag: with a second one to wait for, set a moment later, the wait for the next batch
    could be over before that has begun.
    """

    def __init__(self, write: Callable[[Batch], None], *, name: str) -> None:
        self._write = write
        self._jobs: SimpleQueue[Batch | None] = SimpleQueue()
        self._idle = Event()
        self._idle.set()
        self.error: BaseException | None = None
        # Daemon: a program that forgets to close a backend must still be able to end. The file
        # takes no harm from a thread that stops anywhere.
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def finished(self) -> bool:
        """Whether no batch is under way."""
        return self._idle.is_set()

    def submit(self, batch: Batch) -> None:
        """Hand over a batch. The one before must have finished."""
        assert self.finished
        self.error = None
        self._idle.clear()
        self._jobs.put(batch)

    def wait_finished(self) -> None:
        """Block until the batch under way is written or has failed.

        There is no deadline: a disk that does not answer is a reason to stand still, and no
        reason to take more writes. The thread itself cannot vanish unseen.
        """
        while not self._idle.wait(LIVENESS_S):
            assert self._thread.is_alive()

    def stop(self) -> None:
        """Finish the batch under way and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (batch := self._jobs.get()) is not None:
            try:
                self._write(batch)
            except BaseException as error:
                self.error = error
            del batch  # or the rows would stay in memory until the next job
            self._idle.set()
