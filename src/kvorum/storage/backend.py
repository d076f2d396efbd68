"""The database of a member: buckets of rows, with batched commits.

Threads. One owner, the thread of the event loop, calls everything here. Sealed batches are written
by one committer thread (`committer`).

A read looks into the batch that is being filled, then into the batch that is being written, then
into the file. A batch is dropped, and the file's reader moved on, in one step on the owner's
thread (`_settle`), so a row is always found in exactly one of the places.

Only `sync` may be called by other threads.

Batches are sealed by `maybe_commit_nowait` and `commit` only, never inside `put`: the changes of
one log entry and the consistent index that covers them must stay in one transaction, and only the
owner knows where an entry ends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import lmdb

from kvorum.durable import fsync_directory
from kvorum.histogram import SECONDS, Histogram
from kvorum.storage.batch import EMPTY, Batch
from kvorum.storage.buckets import KEY, Bucket
from kvorum.storage.committer import Committer
from kvorum.storage.dirlock import FileLock
from kvorum.storage.environment import (
    MAP_BYTES_DEFAULT,
    MIB,
    Environment,
    Row,
    lock_table,
)
from kvorum.storage.refusal import Closed, Refusal
from kvorum.storage.rewriting import Rewrite

BATCH_INTERVAL_S: Final = 0.1
BATCH_LIMIT: Final = 10_000
# A batch is sealed early at this many bytes of values: it is memory, and must not be ruled by the
# count of rows alone when values have a megabyte each.
BATCH_BYTES: Final = 64 * MIB
# While one batch is written the next may grow to so many times the limits; then the owner waits.
BACKLOG_FACTOR: Final = 4
LOCK_WAIT_S: Final = 10.0
SCAN_CHUNK_ROWS: Final = 4096

_MISSING: Final = object()


class CommitFigures:
    """How long commits took since the file was opened, for the metrics."""

    __slots__ = ("commits_s", "rebalances_s", "spills_s", "writes_s")

    def __init__(self) -> None:
        self.commits_s = Histogram(SECONDS)
        self.spills_s = Histogram(SECONDS)
        """Of it, putting rows into pages."""
        self.writes_s = Histogram(SECONDS)
        """Of it, writing and flushing pages."""
        self.rebalances_s = Histogram(SECONDS)
        """Stays empty: pages that have become too small are merged while rows are put."""


class Backend:
    """See the module. Made by `open`."""

    def __init__(
        self,
        path: Path,
        open_environment: Callable[[Path], Environment],
        lock: FileLock,
        *,
        batch_interval_s: float,
        batch_limit: int,
        batch_bytes: int,
    ) -> None:
        assert batch_limit > 0
        assert batch_bytes > 0
        self._open_environment = open_environment
        self._environment = open_environment(path)
        self._lock = lock
        self._interval_s = batch_interval_s
        self._limit = batch_limit
        self._limit_bytes = batch_bytes
        self._rewrite: Rewrite | None = None
        self._held = False
        self._refusal: Refusal | None = None
        self._closed = False
        # Called on the owner's thread just before a batch is sealed: what it puts goes into the
        # same transaction. The consistent index is written by it.
        self.before_commit: Callable[[Backend], None] | None = None
        # Batches that were sealed, and those of them that are known to be committed. A caller who
        # waits for what it put into batch N (`sealed_count` in `before_commit` is N - 1) waits for
        # `settled_count` to reach N.
        self.figures = CommitFigures()
        self.sealed_count = 0
        self.settled_count = 0
        self._sealed = EMPTY
        self._start_batch()
        self._committer = Committer(self._write, name=f"commit {self.path.name}")

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        batch_interval_s: float = BATCH_INTERVAL_S,
        batch_limit: int = BATCH_LIMIT,
        batch_bytes: int = BATCH_BYTES,
        fsync: bool = True,
        lock_wait_s: float = LOCK_WAIT_S,
        map_bytes: int = MAP_BYTES_DEFAULT,
    ) -> Backend:
        """Open or create the database file `path` (`member/snap/db`); its directory exists.

        Args:
            path: the file; LMDB puts its lock table beside it (`db-lock`).
            batch_interval_s: a batch with changes is committed when it is this old.
            batch_limit: ... or has this many changed rows.
            batch_bytes: ... or this many bytes of values.
            fsync: False: commits are not flushed; power loss may damage the file.
            lock_wait_s: how long to wait for another process to let go of the file.
            map_bytes: address space to start with; it grows by itself.

        Raises:
            ConfigError: another process has the file open, or it is a bbolt file.
            CorruptionError: the file is damaged.
            OSError: the file cannot be opened or created.
        """
        lock = FileLock(path, wait_s=lock_wait_s)
        try:
            return cls(
                path,
                lambda path: Environment(path, fsync=fsync, map_bytes=map_bytes),
                lock,
                batch_interval_s=batch_interval_s,
                batch_limit=batch_limit,
                batch_bytes=batch_bytes,
            )
        except BaseException:
            lock.release()
            raise

    # Rows.

    def put(self, bucket: Bucket, key: bytes, value: bytes) -> None:
        """Add or replace a row. The key is not empty."""
        self._rows[bucket.index][key] = value
        self._bytes += len(value)

    def delete(self, bucket: Bucket, key: bytes) -> None:
        """Remove a row, if it is there."""
        self._rows[bucket.index][key] = None

    def get(self, bucket: Bucket, key: bytes) -> bytes | None:
        """The newest value of a row, committed or not."""
        index = bucket.index
        value = self._rows[index].get(key, _MISSING)
        if value is _MISSING:
            value = self._sealed.rows[index].get(key, _MISSING)
            if value is _MISSING:
                return self._environment.get(bucket, key)
        return value  # type: ignore[return-value]

    def get_many(self, bucket: Bucket, keys: Sequence[bytes]) -> list[bytes | None]:
        """As `get` for each of `keys`, in their order."""
        index = bucket.index
        pending, sealed = self._rows[index], self._sealed.rows[index]
        values = self._environment.get_many(bucket, keys)
        for rows in (sealed, pending):
            if rows and not rows.keys().isdisjoint(keys):
                for place, key in enumerate(keys):
                    value = rows.get(key, _MISSING)
                    if value is not _MISSING:
                        values[place] = value  # type: ignore[call-overload]
        return values

    def range(self, bucket: Bucket, start: bytes, end: bytes | None, limit: int = 0) -> list[Row]:
        """Rows with `start <= key < end`, in order of their keys.

        Args:
            bucket: where to look.
            start: first key.
            end: first key no longer wanted; None: to the end of the bucket.
            limit: at most so many rows; 0: all.
        """
        found: list[Row] = []
        chunk_rows = min(limit, SCAN_CHUNK_ROWS) if limit else SCAN_CHUNK_ROWS
        for rows in self.scan(bucket, start, end, chunk_rows=chunk_rows):
            found += rows
            if limit and len(found) >= limit:
                del found[limit:]
                break
        return found

    def scan(
        self,
        bucket: Bucket,
        start: bytes = b"",
        end: bytes | None = None,
        *,
        chunk_rows: int = SCAN_CHUNK_ROWS,
    ) -> Iterator[list[Row]]:
        """Rows with `start <= key < end` in order, in lists of about `chunk_rows`.

        Each list is as of the moment it is made: changes in between are seen behind the place
        that has been reached. Memory is bounded by a few MiB a list.
        """
        assert chunk_rows > 0
        while True:
            self._raise_refusal()
            rows, done = self._environment.chunk(bucket, start, end, chunk_rows)
            stop = end if done else rows[-1][0] + b"\0"
            rows = self._overlaid(bucket.index, start, stop, rows)
            if rows:
                yield rows
            if done:
                return
            assert stop is not None
            start = stop

    def _overlaid(self, index: int, start: bytes, stop: bytes | None, rows: list[Row]) -> list[Row]:
        """`rows` of the file in `[start, stop)` with the changes of both batches put on top."""
        merged: dict[bytes, bytes] | None = None
        for batch in (self._sealed, self._pending):
            keys = batch.keys_between(index, start, stop)
            if not keys:
                continue
            if merged is None:
                merged = dict(rows)
            changes = batch.rows[index]
            for key in keys:
                value = changes[key]
                if value is None:
                    merged.pop(key, None)
                else:
                    merged[key] = value
        return rows if merged is None else sorted(merged.items())

    # Commits.

    def due(self) -> bool:
        """Whether the batch should be handed over: it is old enough or large enough."""
        count = len(self._pending)
        return count > 0 and (
            count >= self._limit
            or self._bytes >= self._limit_bytes
            or time.monotonic() >= self._due_at
        )

    def maybe_commit_nowait(self) -> None:
        """Hand the batch to the committer when it is due. Called between two log entries.

        It does not wait for the disk, with one exception: when the batch has grown to
        `BACKLOG_FACTOR` times its limits while the one before is still being written, the owner
        is held until that one is done. Memory stays bounded, and writers feel the disk.

        Raises:
            CommitFailedError: a batch could not be written.
        """
        self._raise_refusal()
        if self._sealed is not EMPTY:
            if self._committer.finished:
                self._settle()
            elif self._is_backlogged():
                self._drain()
        if self._held:
            self._give_way()
        if self._sealed is EMPTY and not self._held and self.due():
            self._seal()

    def expedite(self) -> int:
        """Make the batch due now, whatever its age and size.

        Returns:
            What `settled_count` must reach: then everything put so far is committed. It does so
            only if `maybe_commit_nowait` goes on being called.
        """
        if len(self._pending) == 0:
            return self.sealed_count
        self._due_at = time.monotonic()
        return self.sealed_count + 1

    def commit(self) -> None:
        """Write everything put so far, and return when it is durable.

        Raises:
            CommitFailedError: it could not be written.
        """
        self._raise_refusal()
        self._drain()
        if self._held:
            self._end_rewrite()
        self._seal()
        self._drain()
        self.sync()

    def sync(self) -> None:
        """Make every committed batch durable. May be called by any thread.

        A commit flushes its rows; the page that makes them valid is flushed by the next commit or
        by this, so that power loss may otherwise take back the last batch.

        Raises:
            CommitFailedError: the flush failed.
        """
        try:
            self._environment.sync()
        except lmdb.Error as error:
            # What a failed flush left behind is unknown, so it is not tried again.
            self._refuse(error)
            self._raise_refusal()

    @property
    def is_settled(self) -> bool:
        """Whether every sealed batch is committed."""
        return self._sealed is EMPTY

    def _is_backlogged(self) -> bool:
        return (
            self._bytes >= self._limit_bytes * BACKLOG_FACTOR
            or len(self._pending) >= self._limit * BACKLOG_FACTOR
        )

    def _start_batch(self) -> None:
        self._pending = Batch()
        self._rows = self._pending.rows
        self._bytes = 0
        self._due_at = time.monotonic() + self._interval_s

    def _seal(self) -> None:
        assert self._sealed is EMPTY
        if self.before_commit is not None:
            self.before_commit(self)
        if len(self._pending) == 0:
            return
        self._sealed = self._pending
        self.sealed_count += 1
        self._start_batch()
        self._committer.submit(self._sealed)

    def _drain(self) -> None:
        """Wait until no batch is under way."""
        while self._sealed is not EMPTY:
            self._committer.wait_finished()
            self._settle()

    def _settle(self) -> None:
        """Take note of how the batch under way ended, which it has."""
        assert self._committer.finished
        error = self._committer.error
        if error is None:
            self._environment.refresh()
            self._environment.note_committed(self._sealed)
            if self._rewrite is not None:
                self._rewrite.note(self._sealed)
            self._sealed = EMPTY
            self.settled_count += 1
        elif isinstance(error, lmdb.MapFullError):
            self._environment.grow()
            self._committer.submit(self._sealed)
        else:
            self._raise_refusal()
            raise AssertionError("a failed batch was not refused") from error

    def _write(self, batch: Batch) -> None:
        """On the committer's thread."""
        begun_s = time.monotonic()
        try:
            self._environment.write(batch)
        except lmdb.MapFullError:
            raise
        except BaseException as error:
            self._refuse(error)
            raise
        figures, ended_s = self.figures, time.monotonic()
        commit_s = self._environment.commit_begun_s
        figures.spills_s.observe(commit_s - begun_s)
        figures.writes_s.observe(ended_s - commit_s)
        figures.commits_s.observe(ended_s - begun_s)

    def fail(self, cause: BaseException) -> None:
        """Take nothing more: what is on the disk is not known any more."""
        self._refuse(cause)

    def _refuse(self, cause: BaseException) -> None:
        # The owner does not replace `_rows` while a batch is under way, so that a failed one cannot
        # be missed. A failed `sync` of another thread can be, by `put`, but by nothing else.
        self._refusal = Refusal(cause, self._environment.path)
        self._rows = self._refusal

    def _raise_refusal(self) -> None:
        if self._refusal is not None:
            raise self._refusal.error()

    # Figures and end.

    @property
    def path(self) -> Path:
        """The database file."""
        return self._environment.path

    def forget_dead_readers(self) -> None:
        """Let go of what processes still hold that were killed while they read the file."""
        self._environment.forget_dead_readers()

    def size(self) -> int:
        """Bytes of the file's pages, free ones too, as of the last commit (etcd's dbSize)."""
        return self._environment.size_bytes

    def size_in_use(self) -> int:
        """Bytes of the pages that hold something (etcd's dbSizeInUse). Costs some 15 µs."""
        return self._environment.size_in_use_bytes()

    def open_readers(self) -> int:
        """Read transactions under way on the file. Costs some 10 µs."""
        return self._environment.open_readers()

    def replace(self, path: Path) -> None:
        """Let the database file `path` take the place of this one, for good.

        What was put and not committed is dropped with the rest. The file moves by one rename, so a
        crash leaves one of the two whole.

        Raises:
            CommitFailedError: a batch could not be written before.
            CorruptionError: the new file is damaged.
        """
        self._raise_refusal()
        self._drain()
        self._end_rewrite()
        used = self.path
        self._environment.close()
        lock = FileLock(path, wait_s=0)
        os.replace(path, used)
        fsync_directory(used.parent)
        # Readers of other processes keep the old file and its table of readers.
        lock_table(used).unlink(missing_ok=True)
        self._lock.release()
        self._lock = lock
        self._environment = self._open_environment(used)
        if len(self._pending):
            # Who waits for it to be committed: what has taken its place is.
            self.sealed_count += 1
            self.settled_count += 1
        self._start_batch()

    # Another file of the same content; see `rewriting`.

    def begin_rewrite(self, path: Path) -> Rewrite:
        """Note from now on what has to be brought into a copy that is made at `path`.

        Raises:
            CommitFailedError: a batch could not be written.
        """
        self._raise_refusal()
        assert self._rewrite is None
        newest = self._environment.last_key(KEY)
        self._rewrite = Rewrite(path, newest, self._open_environment)
        return self._rewrite

    def pieces(self, rewrite: Rewrite) -> Iterator[Batch]:
        """What is to be brought over now; see `Rewrite.pieces`."""
        return rewrite.pieces(self._environment)

    def hold(self) -> None:
        """Seal no batch until `take_over`. What is put goes into the batch in memory.

        A batch that has grown to its limits ends that; see `is_held`.
        """
        self._held = True

    @property
    def is_holding(self) -> bool:
        return self._held

    @property
    def is_held(self) -> bool:
        """Whether no batch is sealed, nor under way."""
        return self._held and self._sealed is EMPTY

    def _give_way(self) -> None:
        assert self._rewrite is not None
        if self._is_backlogged() and not self._rewrite.is_final:
            self._held = False

    def take_over(self, rewrite: Rewrite) -> None:
        """Use the copy, which has been installed, from now on. `rewrite` is to be closed then."""
        if self._rewrite is not rewrite:
            return  # `replace` or `close` has done it
        assert self.is_held
        old = self._environment
        self._environment, lock = rewrite.take()
        self._lock.release()
        self._lock = lock
        old.end_reading()
        rewrite.replaced = old
        self.forget_rewrite(rewrite)

    def forget_rewrite(self, rewrite: Rewrite) -> None:
        """Nothing is noted and nothing is held any more."""
        if self._rewrite is rewrite:
            self._rewrite = None
            self._held = False

    def _end_rewrite(self) -> None:
        """Give up the copy that is being made, unless it has the file's name already."""
        rewrite = self._rewrite
        if rewrite is None:
            return
        if rewrite.cancel():
            self.forget_rewrite(rewrite)
        else:
            self.take_over(rewrite)
            rewrite.close()

    def close(self) -> None:
        """Commit what is there, and let go of the file. A second call does nothing.

        Raises:
            CommitFailedError: the last changes could not be written; the file is closed all the
                same.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._drain()
            self._end_rewrite()
            self.commit()
        finally:
            self._rows = Closed()
            self._committer.stop()
            self._environment.close()
            self._lock.release()

    def __enter__(self) -> Backend:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
