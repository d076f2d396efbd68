"""A database written anew while it is in use: the copy that catches up and takes its place.

Another process copies the rows of one snapshot of the file, and of what was added behind it
meanwhile, into a new file. Here is what makes the copy equal to the file in use:

- what the copy cannot know is noted from before its snapshot was taken: rows of the bucket `key`
  are added behind all others, and are found by looking what is behind the copy's last one; every
  other change (rows that a compaction removes, leases, …) is noted by its key, without its value
- a round brings the noted keys and the added rows over as they are in the file now; what changes
  during a round is noted for the next
- the last round runs while commits are held back: writes go on into the batch in memory

Then the copy is flushed and gets the name of the file (`install`), and the backend uses it.

Threads: `Backend` and whoever drives the rewrite call everything on the owner's thread but for
`open_copy`, `write`, `flush`, `install` and `close`, which may block: they are for a thread that is
waited for.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import Final

import lmdb

from kvorum.storage.batch import Batch
from kvorum.storage.buckets import BUCKETS, KEY, Bucket
from kvorum.storage.dirlock import FileLock
from kvorum.storage.environment import Environment, lock_table

PIECE_ROWS: Final = 2048
"""Rows that are brought over at a time: 1 to 2 ms of the owner's thread."""


class RewriteCancelledError(Exception):
    """The file in use was replaced by another, or is being closed."""


class Rewrite:
    """See the module. Made by `Backend.begin_rewrite`.

    Args:
        path: where the copy is made.
        newest: the last row of the bucket `key` that is committed.
        open_environment: opens a database file.
    """

    def __init__(
        self, path: Path, newest: bytes, open_environment: Callable[[Path], Environment]
    ) -> None:
        self.path = path
        self.is_final = False
        """The copy is equal, and stays so: commits must be held until it is taken over."""
        self.cancelled = False
        self.installed = False
        self.replaced: Environment | None = None
        """What was used before; set when the copy has taken its place."""
        self._newest = newest
        self._open_environment = open_environment
        self._changed: list[set[bytes]] = [set() for _ in BUCKETS]
        self._lock: FileLock | None = None
        self._copy: Environment | None = None
        self._tail_from = b""
        self._installing = Lock()

    # What has changed.

    def note(self, batch: Batch) -> None:
        """A batch has been committed. Costs 0.1 µs a row."""
        for bucket, rows in zip(BUCKETS, batch.rows, strict=True):
            if not rows:
                continue
            changed = self._changed[bucket.index]
            if bucket is not KEY:
                changed.update(rows)
                continue
            newest = self._newest
            changed.update([key for key, row in rows.items() if row is None or key <= newest])
            last = max(rows)
            self._newest = max(newest, last)

    def pieces(self, used: Environment) -> Iterator[Batch]:
        """One round: what has to be written into the copy, a piece at a time.

        Args:
            used: the file in use, which is read as it is when a piece is asked for.
        """
        changed, self._changed = self._changed, [set() for _ in BUCKETS]
        for bucket in BUCKETS:
            keys = sorted(changed[bucket.index])
            for start in range(0, len(keys), PIECE_ROWS):
                part = keys[start : start + PIECE_ROWS]
                piece = Batch()
                values = [used.get(bucket, key) for key in part]
                piece.rows[bucket.index].update(zip(part, values, strict=True))
                yield piece
        yield from self._added(used, KEY)

    def _added(self, used: Environment, bucket: Bucket) -> Iterator[Batch]:
        """Rows behind the last one that the copy had when it was opened, or got since."""
        end = self._newest + b"\0"
        done = False
        while not done:
            rows, done = used.chunk(bucket, self._tail_from + b"\0", end, PIECE_ROWS)
            if rows:
                self._tail_from = rows[-1][0]
                piece = Batch()
                piece.rows[bucket.index].update(rows)
                yield piece

    # The copy.

    def open_copy(self) -> None:
        """Open what the other process has written."""
        self._lock = FileLock(self.path, wait_s=0)
        self._copy = self._open_environment(self.path)
        self._tail_from = self._copy.last_key(KEY)

    def write(self, piece: Batch) -> None:
        """Bring a piece over."""
        assert self._copy is not None
        try:
            self._copy.write(piece)
        except lmdb.MapFullError:
            self._copy.grow()
            self.write(piece)
        self._copy.refresh()  # or no page could be used again

    def flush(self) -> None:
        """Make durable what has been brought over."""
        assert self._copy is not None
        self._copy.sync()

    def install(self, path: Path) -> None:
        """Give the copy, which has been flushed, the name `path`, for good.

        Raises:
            RewriteCancelledError: it was cancelled before.
            OSError: the disk refused. `installed` tells whether before or after.
        """
        assert self._copy is not None
        assert self.is_final
        with self._installing:
            if self.cancelled:
                raise RewriteCancelledError
            os.replace(self.path, path)
            self.installed = True
            self._copy.move_table(path)
            self._copy.refresh()

    def cancel(self) -> bool:
        """Let it not be installed any more. False: it has been; take it over."""
        with self._installing:
            self.cancelled = not self.installed
            return self.cancelled

    def take(self) -> tuple[Environment, FileLock]:
        """The copy, and the lock on it; they are the caller's from now on."""
        assert self.installed
        assert self._copy is not None
        assert self._lock is not None
        taken = self._copy, self._lock
        self._copy = self._lock = None
        return taken

    def close(self) -> None:
        """Let go of what is left: the copy if it was not taken, or the file that it replaced."""
        if self.replaced is not None:
            self.replaced.close()
            self.replaced = None
        if self._copy is not None:
            self._copy.close()
            self._copy = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        if not self.installed:
            self.remove()

    def remove(self) -> None:
        """Remove the files of the copy."""
        for path in (self.path, lock_table(self.path)):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
