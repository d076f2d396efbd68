"""The LMDB environment of a member: named tables, one reader, one writer.

Threads. The owner's thread opens, reads, grows and closes. The committer's thread calls `write`
and nothing else; `sync` may be called by any. py-lmdb invalidates every open transaction when the
map is resized, so resizing is the owner's as well: `write` raises `lmdb.MapFullError`, the owner
calls `grow` and hands the batch in again.

Durability. `metasync=False`: a commit flushes the data pages, then writes the meta page and leaves
that to the next flush. Power loss can therefore take back the last commit, but cannot mix two:
the pages that commit N+1 overwrites were free before N. The member replays its log from the
consistent index it finds. Whoever needs more calls `sync`.

Long keys. LMDB keys have at most 511 bytes, etcd's users and roles may have names of any length.
A row with a longer key is kept in one more table under bucket number + SHA-256 of the key, with
the key in front of the value; the keys themselves are held in memory, in order, to be merged into
scans. Nothing is cut off and the order is etcd's. The table is empty in nearly every cluster.

Source: LMDB lmdb.h (MDB_NOMETASYNC, mdb_env_set_mapsize).
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from hashlib import sha256
from itertools import islice
from operator import itemgetter
from pathlib import Path
from struct import Struct
from threading import Lock
from time import monotonic
from typing import Final

import lmdb

from kvorum.durable import fsync_directory
from kvorum.errors import ConfigError, CorruptionError
from kvorum.storage.batch import Batch, Rows
from kvorum.storage.buckets import BUCKETS, KEY, Bucket

MIB: Final = 1 << 20
GIB: Final = 1 << 30

# Address space, not memory and not disk: twice the largest quota that etcd advises (8 GiB), so
# that a usual member never remaps. A map that does get full is doubled.
MAP_BYTES_DEFAULT: Final = 16 * GIB
MAP_GROWTH_FACTOR: Final = 2

KEY_BYTES_MAX: Final = 511
LONG_KEYS_TABLE: Final = b"kvorum.longKeys"
READERS_MAX: Final = 126

CHUNK_BYTES_MAX: Final = 8 * MIB  # a chunk of a scan ends once it has this much, and ...
SLICE_ROWS: Final = 32  # ... is looked at every so many rows

META_PAGES: Final = 2
_BBOLT_MAGIC: Final = b"\xed\xda\x0c\xed"
_MAGIC_OFFSET: Final = 16
_KEY_LENGTH = Struct(">I")
_first = itemgetter(0)

Row = tuple[bytes, bytes]


def refuse_bbolt(path: Path) -> None:
    """Raise a ConfigError when `path` is a database written by stock etcd."""
    with path.open("rb") as file:
        head = file.read(_MAGIC_OFFSET + len(_BBOLT_MAGIC))
    if head[_MAGIC_OFFSET:] == _BBOLT_MAGIC:
        raise ConfigError(
            f"{path} is a bbolt database, written by stock etcd, and cannot be opened in place;"
            " start with an empty data directory, or restore a snapshot of it"
        )


class Environment:
    """See the module. A `Batch` goes in by `write`; rows come out of the reader's snapshot."""

    def __init__(
        self, path: Path, *, fsync: bool = True, map_bytes: int = MAP_BYTES_DEFAULT
    ) -> None:
        """Open or create the database file `path`; the caller holds its lock.

        Args:
            path: the file.
            fsync: whether commits and `sync` flush.
            map_bytes: address space to start with.

        Raises:
            ConfigError: the file is a bbolt database.
            CorruptionError: the file is no LMDB database, or is damaged.
        """
        self.path = path
        self._fsync = fsync
        self._resizing = Lock()
        self._closed = False
        self.commit_begun_s = 0.0
        """When the rows of the newest `write` were in their pages, by the monotonic clock."""
        is_new = not path.exists() or path.stat().st_size == 0
        if not is_new:
            refuse_bbolt(path)
        try:
            self._env = lmdb.open(
                os.fspath(path),
                subdir=False,
                mode=0o600,
                map_size=max(map_bytes, path.stat().st_size if path.exists() else 0),
                max_dbs=len(BUCKETS) + 1,
                max_readers=READERS_MAX,
                max_spare_txns=1,
                sync=fsync,
                metasync=False,
            )
        except lmdb.Error as error:
            raise self.damaged(error) from error
        try:
            self._open_tables(is_new=is_new)
        except lmdb.Error as error:
            self._env.close()
            raise self.damaged(error) from error
        except BaseException:
            self._env.close()
            raise

    def _open_tables(self, *, is_new: bool) -> None:
        env = self._env
        assert env.max_key_size() >= KEY_BYTES_MAX, env.max_key_size()
        self._page_bytes = env.stat()["psize"]
        self._extend_short_file()
        self.forget_dead_readers()
        with env.begin(write=True) as txn:
            self._tables = [env.open_db(bucket.name, txn=txn) for bucket in BUCKETS]
            self._long_table = env.open_db(LONG_KEYS_TABLE, txn=txn)
        if is_new:
            env.sync(True)
            fsync_directory(self.path.parent)
        self._long_keys: list[list[bytes]] = [[] for _ in BUCKETS]
        self._begin()
        self._load_long_keys()

    def _extend_short_file(self) -> None:
        """Make the file as long as its meta page says.

        A read of the map behind the end of the file is a SIGBUS, which no code can catch. Pages of
        zeros instead are refused by LMDB's own checks, so a truncated file becomes an error. A
        sound file may be shorter too: the last pages of a transaction may have been given back
        before they were ever written.
        """
        length = (self._env.info()["last_pgno"] + 1) * self._page_bytes
        if self.path.stat().st_size < length:
            os.truncate(self.path, length)

    # Reading: the owner's thread.

    def _begin(self) -> None:
        self._txn = self._env.begin(db=self._tables[KEY.index])
        self._cursors: list[lmdb.Cursor[bytes] | None] = [None] * len(BUCKETS)
        self.size_bytes = (self._env.info()["last_pgno"] + 1) * self._page_bytes

    def refresh(self) -> None:
        """Move the reader to the newest commit, so that older pages can be used again."""
        self._cursors = []
        self._txn.abort()
        self._begin()

    def end_reading(self) -> None:
        """Let go of the reader's snapshot, for good."""
        self._cursors = []
        self._txn.abort()

    def get(self, bucket: Bucket, key: bytes) -> bytes | None:
        """The row's value in the reader's snapshot."""
        try:
            if not 0 < len(key) <= KEY_BYTES_MAX:
                return self._get_long(bucket, key)
            return self._txn.get(key, None, self._tables[bucket.index])
        except lmdb.Error as error:
            raise self.damaged(error) from error

    def get_many(self, bucket: Bucket, keys: Sequence[bytes]) -> list[bytes | None]:
        """The rows' values, None where there is none. Keys have at most `KEY_BYTES_MAX` bytes.

        Cost: 0.25 to 0.35 µs a row; `cursor.getmulti` takes 0.45 (it copies the keys too).
        """
        try:
            if bucket is KEY:
                return list(map(self._txn.get, keys))
            return [self.get(bucket, key) for key in keys]
        except lmdb.Error as error:
            raise self.damaged(error) from error

    def chunk(
        self, bucket: Bucket, start: bytes, end: bytes | None, rows_max: int
    ) -> tuple[list[Row], bool]:
        """Rows from `start` on, in order, and whether the range ends with them.

        About `rows_max` rows and `CHUNK_BYTES_MAX` bytes: never empty while there is more, and
        longer than asked for only by rows with long keys.
        """
        try:
            rows, done = self._chunk(bucket, start, end, rows_max)
            long_keys = self._long_keys[bucket.index]
            if long_keys:
                stop = end if done else rows[-1][0]
                rows += self._long_rows(bucket, long_keys, start, stop)
                rows.sort(key=_first)
        except lmdb.Error as error:
            raise self.damaged(error) from error
        return rows, done

    def _chunk(
        self, bucket: Bucket, start: bytes, end: bytes | None, rows_max: int
    ) -> tuple[list[Row], bool]:
        cursor = self._cursors[bucket.index]
        if cursor is None:
            cursor = self._txn.cursor(self._tables[bucket.index])
            self._cursors[bucket.index] = cursor
        if not _move_to(cursor, start):
            return [], True
        found = cursor.iternext()
        rows: list[Row] = []
        size, done = 0, False
        while len(rows) < rows_max and size < CHUNK_BYTES_MAX and not done:
            wanted = min(SLICE_ROWS, rows_max - len(rows))
            part = list(islice(found, wanted))
            rows += part
            size += sum([len(value) for _, value in part])
            done = len(part) < wanted or (end is not None and part[-1][0] >= end)
        if end is not None:
            del rows[bisect_left(rows, end, key=_first) :]
        return rows, done

    def last_key(self, bucket: Bucket) -> bytes:
        """The highest key of a bucket that has no long ones; empty: it has no rows."""
        with self._txn.cursor(self._tables[bucket.index]) as cursor:
            return cursor.key() if cursor.last() else b""

    def size_in_use_bytes(self) -> int:
        """Bytes of the pages that hold rows; the rest of the file is free for new ones.

        The pages that hold the list of free pages are not counted: LMDB does not tell them, and
        they are few.
        """
        txn = self._txn
        stats = [txn.stat(table) for table in (*self._tables, self._long_table)]
        stats.append(self._env.stat())
        pages = META_PAGES
        for stat in stats:
            pages += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return pages * self._page_bytes

    # Writing: the committer's thread.

    def write(self, batch: Batch) -> None:
        """Write a batch in one transaction.

        Raises:
            lmdb.MapFullError: the map must grow first; nothing was written.
            lmdb.Error: the disk refused; nothing was written.
        """
        with self._env.begin(write=True) as txn:
            for bucket, rows in zip(BUCKETS, batch.rows, strict=True):
                if rows:
                    self._write_rows(txn, bucket, rows)
            self.commit_begun_s = monotonic()

    def _write_rows(self, txn: lmdb.Transaction[bytes], bucket: Bucket, rows: Rows) -> None:
        keys = sorted(rows)
        if bucket is not KEY:
            for key in keys:
                if len(key) > KEY_BYTES_MAX:
                    self._write_long(txn, bucket, key, rows[key])
            keys = [key for key in keys if len(key) <= KEY_BYTES_MAX]
        table = self._tables[bucket.index]
        with txn.cursor(table) as cursor:
            newest = cursor.key() if cursor.last() else b""
            split = bisect_right(keys, newest)
            for key in keys[:split]:
                value = rows[key]
                if value is None:
                    txn.delete(key, db=table)
                else:
                    txn.put(key, value, db=table)
            # Rows behind all others, as new revisions are, need no search and fill their pages.
            added = [(key, value) for key in keys[split:] if (value := rows[key]) is not None]
            if added:
                _, count = cursor.putmulti(added, append=True)
                assert count == len(added), (count, len(added))

    def sync(self) -> None:
        """Make everything committed so far durable. May be called by any thread.

        Of a file that has been closed meanwhile, because another has taken its place, there is
        nothing left to flush.
        """
        if self._fsync:
            with self._resizing:
                if not self._closed:
                    self._env.sync(True)

    def grow(self) -> None:
        """Enlarge the map. No batch may be under way; the reader starts anew."""
        self._cursors = []
        self._txn.abort()
        with self._resizing:  # py-lmdb fails a flush that meets a resize, or a close
            self._env.set_mapsize(self._env.info()["map_size"] * MAP_GROWTH_FACTOR)
        self._begin()

    def forget_dead_readers(self) -> None:
        """Let go of the transactions that killed processes held as readers."""
        self._env.reader_check()

    def open_readers(self) -> int:
        """Read transactions under way on the file, those of other processes included."""
        slots = self._env.readers().splitlines()[1:]  # the first line is the heading
        return sum(not slot.endswith("-") for slot in slots)

    def close(self) -> None:
        """Let go of the file. Any thread may do that once nobody uses it."""
        with self._resizing:
            self._closed = True
            self._env.close()

    def move_table(self, path: Path) -> None:
        """The file was given the name `path`: give the table of its readers the name beside it.

        Nobody may be opening a file of that name meanwhile: it would get the table of another.
        """
        os.replace(lock_table(self.path), lock_table(path))
        self.path = path
        if self._fsync:
            fsync_directory(path.parent)

    # Long keys.

    def _load_long_keys(self) -> None:
        for stored, value in self._txn.cursor(self._long_table):
            (length,) = _KEY_LENGTH.unpack_from(value)
            key = value[_KEY_LENGTH.size : _KEY_LENGTH.size + length]
            index = stored[0]
            if len(key) != length or index >= len(BUCKETS):
                raise CorruptionError(self.path, None, f"row {stored.hex()} of the long keys")
            self._long_keys[index].append(key)
        for keys in self._long_keys:
            keys.sort()

    def note_committed(self, batch: Batch) -> None:
        """Bring the list of long keys up to what the reader now sees."""
        for bucket, rows in zip(BUCKETS, batch.rows, strict=True):
            if bucket is KEY:
                continue
            for key in rows:
                if len(key) > KEY_BYTES_MAX:
                    self._note_long(self._long_keys[bucket.index], key, rows[key] is not None)

    @staticmethod
    def _note_long(keys: list[bytes], key: bytes, is_there: bool) -> None:
        place = bisect_left(keys, key)
        was_there = place < len(keys) and keys[place] == key
        if is_there and not was_there:
            keys.insert(place, key)
        elif was_there and not is_there:
            del keys[place]

    def _long_rows(
        self, bucket: Bucket, keys: list[bytes], start: bytes, stop: bytes | None
    ) -> list[Row]:
        low = bisect_left(keys, start)
        high = len(keys) if stop is None else bisect_left(keys, stop, low)
        rows = []
        for key in keys[low:high]:
            value = self._get_long(bucket, key)
            assert value is not None, key
            rows.append((key, value))
        return rows

    def _get_long(self, bucket: Bucket, key: bytes) -> bytes | None:
        value = self._txn.get(_long_name(bucket, key), None, self._long_table)
        return None if value is None else value[_KEY_LENGTH.size + len(key) :]

    def _write_long(
        self, txn: lmdb.Transaction[bytes], bucket: Bucket, key: bytes, value: bytes | None
    ) -> None:
        if value is None:
            txn.delete(_long_name(bucket, key), db=self._long_table)
        else:
            txn.put(*long_row(bucket, key, value), db=self._long_table)

    def damaged(self, error: lmdb.Error) -> CorruptionError:
        """What to raise for an error of LMDB while the file is read."""
        return CorruptionError(
            self.path,
            None,
            f"the database cannot be read ({error})",
            "remove this member and add it anew, or restore the data directory from a snapshot",
        )


def _move_to(cursor: lmdb.Cursor[bytes], start: bytes) -> bool:
    """Place `cursor` on the first row at or behind `start`; False: there is none."""
    if not start:
        return cursor.first()
    if len(start) <= KEY_BYTES_MAX:
        return cursor.set_range(start)
    # Of the rows at or behind the part that fits, only one equal to it is before `start`.
    head = start[:KEY_BYTES_MAX]
    return cursor.set_range(head) and (cursor.key() != head or cursor.next())


def _long_name(bucket: Bucket, key: bytes) -> bytes:
    return bytes((bucket.index,)) + sha256(key).digest()


def long_row(bucket: Bucket, key: bytes, value: bytes) -> Row:
    """The row of the table of long keys that stands for a row of `bucket`."""
    return _long_name(bucket, key), _KEY_LENGTH.pack(len(key)) + key + value


def lock_table(path: Path) -> Path:
    """LMDB's table of readers of the database file `path`."""
    return path.with_name(f"{path.name}-lock")
