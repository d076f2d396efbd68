"""Makes a whole database file of ours in one go: for restore, adoption and defragmentation.

Rows come in order, so that they are appended (no search, full pages), in transactions of a bounded
size, and nothing is flushed before the end: until `finish`, the file is worth nothing anyway.

LMDB forgets a page that a later transaction does not need any more one transaction late, so the
file has a few pages more than needed for each commit; `COMMIT_BYTES` keeps that below a percent.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import lmdb

from kvorum.durable import fsync_directory
from kvorum.errors import ConfigError
from kvorum.storage.buckets import BUCKETS, Bucket
from kvorum.storage.environment import (
    GIB,
    KEY_BYTES_MAX,
    LONG_KEYS_TABLE,
    MAP_BYTES_DEFAULT,
    MIB,
    long_row,
)
from kvorum.storage.files import DatabaseFile, Progress, Row

COMMIT_BYTES: Final = 32 * MIB
COMMIT_ROWS: Final = 200_000
ROW_BYTES: Final = 64
"""What a row costs beside its key and value, roughly: a node's head and its part of the page."""
PROGRESS_BYTES: Final = 4 * MIB
_MODE: Final = 0o600


class BulkWriter:
    """A new database file at `path`, which must not exist. See the module.

    Without `finish` the file is removed when the context ends.

    Raises:
        ConfigError: the file exists.
        OSError: the disk is full, or the like.
    """

    def __init__(self, path: Path, *, map_bytes: int = MAP_BYTES_DEFAULT) -> None:
        self.path = path
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, _MODE))
        except FileExistsError:
            raise ConfigError(f"{path} exists already; it is not overwritten") from None
        self._finished = False
        self._env: lmdb.Environment | None = None
        try:
            self._env = lmdb.open(
                os.fspath(path),
                subdir=False,
                mode=_MODE,
                map_size=map_bytes,
                max_dbs=len(BUCKETS) + 1,
                lock=False,  # nobody else knows the file yet
                sync=False,
                metasync=False,
            )
            self._map_bytes = map_bytes
            with self._env.begin(write=True) as txn:
                self._tables = [self._env.open_db(bucket.name, txn=txn) for bucket in BUCKETS]
                self._long_table = self._env.open_db(LONG_KEYS_TABLE, txn=txn)
            self._begin()
        except BaseException:
            self._discard()
            raise

    def add(self, bucket: Bucket, rows: Sequence[Row]) -> None:
        """Write `rows`, which are in order, behind those that the bucket already has."""
        if not rows:
            return
        size = sum([len(key) + len(value) for key, value in rows]) + ROW_BYTES * len(rows)
        # Before the transaction could meet the end of the map: then all of it would be lost.
        self._make_room(size)
        try:
            self._put(bucket, rows)
        except lmdb.Error as error:
            raise self._failed(error) from error
        self._size += size
        self._count += len(rows)
        if self._size >= COMMIT_BYTES or self._count >= COMMIT_ROWS:
            self._commit()
            self._begin()

    def _put(self, bucket: Bucket, rows: Sequence[Row]) -> None:
        long_rows = [row for row in rows if len(row[0]) > KEY_BYTES_MAX]
        if long_rows:
            for key, value in long_rows:
                self._txn.put(*long_row(bucket, key, value), db=self._long_table)
            rows = [row for row in rows if len(row[0]) <= KEY_BYTES_MAX]
        with self._txn.cursor(self._tables[bucket.index]) as cursor:
            _, count = cursor.putmulti(rows, append=True)
        assert count == len(rows), f"rows of {bucket} are not in order"

    def finish(self) -> None:
        """Make everything durable, file and name."""
        assert self._env is not None
        self._commit()
        self._env.sync(True)
        self._env.close()
        self._env = None
        fsync_directory(self.path.parent)
        self._finished = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._finished:
            self._discard()

    def _begin(self) -> None:
        assert self._env is not None
        self._txn = self._env.begin(write=True)
        self._size = self._count = 0

    def _commit(self) -> None:
        try:
            self._txn.commit()
        except lmdb.Error as error:
            raise self._failed(error) from error

    def _make_room(self, size_bytes: int) -> None:
        """Enlarge the map if what is under way and `size_bytes` more might not fit."""
        assert self._env is not None
        page_bytes = self._env.stat()["psize"]
        used = (self._env.info()["last_pgno"] + 1) * page_bytes
        # A value of half a page or more has pages of its own: at worst twice its bytes.
        wanted = used + 4 * (self._size + size_bytes) + 16 * MIB
        if wanted <= self._map_bytes:
            return
        self._commit()
        while self._map_bytes < wanted:
            self._map_bytes += max(self._map_bytes, GIB)
        self._env.set_mapsize(self._map_bytes)
        self._begin()

    def _failed(self, error: lmdb.Error) -> OSError:
        return OSError(f"{self.path} cannot be written: {error}")

    def _discard(self) -> None:
        if self._env is not None:
            self._env.close()
            self._env = None
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()


class ProgressMeter:
    """Tells of bytes copied, every few MiB and at the end.

    Args:
        total_bytes: size of the source. The rows are fewer bytes, or more where pages are packed.
        progress: told; None: nobody is.
    """

    def __init__(self, total_bytes: int, progress: Progress | None) -> None:
        self._total = total_bytes
        self._progress = progress
        self._done = self._told = 0

    def note(self, rows: Sequence[Row]) -> None:
        """These rows have been copied."""
        if self._progress is None:
            return
        self._done += sum([len(key) + len(value) for key, value in rows])
        if self._done - self._told >= PROGRESS_BYTES:
            self._told = self._done
            self._progress(min(self._done, self._total), self._total)

    def end(self) -> None:
        """Everything has been copied."""
        if self._progress is not None:
            self._progress(self._total, self._total)


def copy_database(source: DatabaseFile, path: Path, *, progress: Progress | None = None) -> None:
    """Write all rows of `source` into a new database file of ours.

    Args:
        source: what to copy; of either kind.
        path: where to; must not exist.
        progress: told how much of the source's size has been done.

    Raises:
        ConfigError: `source` has a bucket that etcd does not have, or `path` exists.
        CorruptionError: `source` is damaged.
        OSError: the disk is full, or the like.
    """
    buckets = {bucket.name: bucket for bucket in BUCKETS}
    foreign = [name for name in source.bucket_names() if name not in buckets]
    if foreign:
        raise ConfigError(
            f"{source.path} has a bucket {foreign[0].decode('utf-8', 'backslashreplace')!r} that"
            " etcd does not have, so it is not etcd's database"
        )
    meter = ProgressMeter(source.size_bytes, progress)
    with BulkWriter(path) as writer:
        for name in source.bucket_names():
            for rows in source.rows(name):
                writer.add(buckets[name], rows)
                meter.note(rows)
        writer.finish()
    meter.end()
