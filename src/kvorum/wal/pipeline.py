"""Makes the next segment ready ahead of time, so that a cut does not wait for its blocks."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

from kvorum.wal.segments import open_locked, reserve


class SegmentPipeline:
    """Holds one prepared file, `0.tmp` or `1.tmp`, made by a thread that ends when it is done.

    `start` and `take` are called by the thread that writes the log.
    """

    def __init__(self, directory: Path, segment_bytes: int) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._count = 0
        self._thread: Thread | None = None
        self._ready: tuple[int, Path] | None = None

    def start(self) -> None:
        """Begin to prepare a file."""
        assert self._thread is None
        self._thread = Thread(target=self._prepare_quietly, name="wal prepare", daemon=True)
        self._thread.start()

    def take(self) -> tuple[int, Path]:
        """The prepared file, locked and all zeros; its descriptor is the caller's now.

        Raises:
            OSError: it cannot be made.
        """
        self._join()
        if self._ready is None:
            # The thread failed, for lack of room perhaps; there may be some again.
            self._prepare()
        assert self._ready is not None
        ready, self._ready = self._ready, None
        return ready

    def close(self) -> None:
        """Remove what was prepared."""
        self._join()
        if self._ready is not None:
            fd, path = self._ready
            self._ready = None
            path.unlink(missing_ok=True)
            os.close(fd)

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _prepare_quietly(self) -> None:
        try:
            self._prepare()
        except OSError:
            self._ready = None  # `take` tries again and reports

    def _prepare(self) -> None:
        path = self._directory / f"{self._count % 2}.tmp"
        self._count += 1
        fd = open_locked(path, create=True)
        try:
            reserve(fd, 0, self._segment_bytes)
        except BaseException:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        self._ready = fd, path
