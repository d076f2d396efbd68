"""An LMDB database file of ours, opened for reading: `files.DatabaseFile`.

Two ways in. A bare file (a copy, a stopped member's database) is read as it lies there: no lock
table, nothing written beside it. A live one is open in a running member, which goes on writing: a
reader is entered in its lock table, so that the pages of one transaction stay as they are, and
exactly these are read.

LMDB has no checksums. What can be checked without them is: the structure of every page that is
read (`lmdb_pages`) and, by `check`, that rows are what their bucket should hold.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from struct import Struct
from typing import Final, Literal, Self

import lmdb

from kvorum.errors import ConfigError, CorruptionError, DecodeError
from kvorum.storage import lmdb_pages
from kvorum.storage.buckets import BUCKETS, parse_revision_key
from kvorum.storage.environment import LONG_KEYS_TABLE, MAP_BYTES_DEFAULT, MIB, READERS_MAX, Row
from kvorum.storage.lmdb_pages import Pages, Table

LIST_BYTES: Final = MIB
"""A list of rows ends with the page that makes it so long."""
PROBLEMS_MAX: Final = 100
_LIST_ROWS: Final = 8192
"""... or so many rows: small ones cost more memory than their bytes."""
_PIN_TRIES: Final = 100
_LENGTH = Struct(">I")
_META_BYTES: Final = {
    b"consistent_index": 8,
    b"term": 8,
    b"scheduledCompactRev": 17,
    b"finishedCompactRev": 17,
}
_INDEXES: Final = {bucket.name: bucket.index for bucket in BUCKETS}


def is_lmdb(head: bytes) -> bool:
    """Whether a file that begins with `head` (64 KiB, or all of it) is an LMDB database.

    One of the two meta pages may be damaged: then it is still a database, and not a sound one.
    """
    offset = lmdb_pages.MAGIC_OFFSET
    page_bytes = 0
    while offset < len(head):
        if head[offset : offset + 4] == lmdb_pages.MAGIC:
            return True
        page_bytes = max(lmdb_pages.PAGE_BYTES_MIN, page_bytes * 2)
        offset = page_bytes + lmdb_pages.MAGIC_OFFSET
    return False


class LmdbFile:
    """See the module. Made by `open`."""

    kind: Literal["lmdb", "bbolt"] = "lmdb"

    def __init__(self, path: Path, pages: Pages, let_go: Callable[[], None]) -> None:
        self.path = path
        self.size_bytes = pages.size_bytes
        self._pages = pages
        self._let_go = let_go
        self._tables = self._read_tables()
        self._long = self._read_long_keys()

    @classmethod
    def open(cls, path: Path, *, live: bool = False) -> LmdbFile:
        """Open the file `path`.

        Args:
            path: the database file.
            live: a running member has it open.

        Raises:
            ConfigError: the file cannot be read, or is none of ours.
            CorruptionError: it is damaged.
        """
        pages, let_go = _pinned(path) if live else (_bare(path), _nothing)
        try:
            return cls(path, pages, let_go)
        except BaseException:
            pages.close()
            let_go()
            raise

    def bucket_names(self) -> list[bytes]:
        return list(self._tables)

    def rows(self, bucket: bytes, start: bytes = b"") -> Iterator[list[Row]]:
        table = self._tables.get(bucket)
        if table is None:
            return
        found = self._stored_rows(table, start)
        long_rows = self._long.get(_INDEXES.get(bucket, -1))
        yield from _merged(found, long_rows, start) if long_rows else found

    def _stored_rows(self, table: Table, start: bytes) -> Iterator[list[Row]]:
        pages = self._pages
        rows: list[Row] = []
        size, previous = 0, b""
        for number in pages.leaves(table, start):
            part = pages.leaf(number, previous)
            previous = part[-1][0]
            if start:
                del part[: bisect_left(part, (start,))]
                start = b"" if part else start
            rows += part
            size += sum([len(value) for _, value in part])
            if size >= LIST_BYTES or len(rows) >= _LIST_ROWS:
                yield rows
                rows, size = [], 0
        if rows:
            yield rows

    def get(self, bucket: bytes, key: bytes) -> bytes | None:
        rows = next(self.rows(bucket, key), None)
        return rows[0][1] if rows and rows[0][0] == key else None

    def last(self, bucket: bytes) -> Row | None:
        table = self._tables.get(bucket)
        if table is None:
            return None
        candidates = list((self._long.get(_INDEXES.get(bucket, -1)) or [])[-1:])
        number = self._pages.last_leaf(table)
        if number is not None:
            candidates.append(self._pages.leaf(number, b"")[-1])
        return max(candidates, default=None)

    def check(self) -> list[str]:
        problems: list[str] = []
        for bucket, table in self._tables.items():
            count = 0
            try:
                for rows in self._stored_rows(table, b""):
                    count += len(rows)
                    problems += _problems_of(bucket, rows)
                    if len(problems) >= PROBLEMS_MAX:
                        return problems[:PROBLEMS_MAX]
            except CorruptionError as error:
                problems.append(f"bucket {bucket.decode('latin-1')}: {error.reason}")
                continue
            if count != table.entries:
                problems.append(
                    f"bucket {bucket.decode('latin-1')}: {count} rows, but {table.entries} noted"
                )
        return problems

    def close(self) -> None:
        self._pages.close()
        self._let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_tables(self) -> dict[bytes, Table]:
        """Root of each bucket's table, in the order of names; the long keys' one under its own."""
        pages, tables, previous = self._pages, {}, b""
        for number in pages.leaves(pages.main):
            rows = pages.leaf(number, previous, lmdb_pages.SUB_TABLE)
            previous = rows[-1][0]
            for name, raw in rows:
                tables[name] = pages.table(raw, number, 0)
        self._long_table = tables.pop(LONG_KEYS_TABLE, None)
        return tables

    def _read_long_keys(self) -> dict[int, list[Row]]:
        """The rows with keys that LMDB cannot hold, by number of the bucket, in order."""
        found: dict[int, list[Row]] = {}
        if self._long_table is None:
            return found
        for stored, value in chain.from_iterable(self._stored_rows(self._long_table, b"")):
            key, rest = _split_long(value)
            if stored[0] >= len(BUCKETS) or not key:
                raise CorruptionError(self.path, None, f"row {stored.hex()} of the long keys")
            found.setdefault(stored[0], []).append((key, rest))
        for rows in found.values():
            rows.sort()
        return found


def _nothing() -> None:
    """What a bare file has to let go of."""


def _bare(path: Path) -> Pages:
    try:
        return Pages(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


def _pinned(path: Path) -> tuple[Pages, Callable[[], None]]:
    """The pages of the newest transaction, and what ends the reader that keeps them as they are.

    The reader is entered first. The meta page of its transaction is overwritten by the second
    commit after it, so that it may be gone or half gone before it has been read: then again.
    """
    environment: lmdb.Environment | None = None
    try:
        environment = lmdb.open(
            os.fspath(path),
            subdir=False,
            readonly=True,
            max_dbs=0,
            max_readers=READERS_MAX,
            readahead=False,
            create=False,
            map_size=max(MAP_BYTES_DEFAULT, 2 * path.stat().st_size),
        )
        for _ in range(_PIN_TRIES):
            reader = environment.begin()
            try:
                pages = Pages(path, reader.id())
            except (LookupError, CorruptionError) as error:
                reader.abort()
                failure: Exception = error
                continue
            if pages.is_intact():
                return pages, partial(_end_reader, environment, reader)
            pages.close()
            reader.abort()
            failure = LookupError("the meta pages change too fast")
        raise failure
    except (lmdb.Error, OSError, LookupError) as error:
        if environment is not None:
            environment.close()
        raise ConfigError(f"{path} cannot be read beside its member: {error}") from error
    except CorruptionError:
        assert environment is not None
        environment.close()
        raise


def _end_reader(environment: lmdb.Environment, reader: lmdb.Transaction[bytes]) -> None:
    """End both. (A transaction that nobody holds on to is ended by py-lmdb at once)."""
    reader.abort()
    environment.close()


def _merged(found: Iterator[list[Row]], extra: list[Row], start: bytes) -> Iterator[list[Row]]:
    """`found` with the rows of `extra`, both in order."""
    at = bisect_left(extra, (start,))
    for rows in found:
        stop = bisect_right(extra, (rows[-1][0],), at)
        if stop > at:
            rows.extend(extra[at:stop])
            rows.sort()
            at = stop
        yield rows
    if at < len(extra):
        yield extra[at:]


def _split_long(value: bytes) -> tuple[bytes, bytes]:
    """Key and value of a row of the long keys; an empty key if the row is broken."""
    if len(value) < _LENGTH.size:
        return b"", b""
    (length,) = _LENGTH.unpack_from(value)
    end = _LENGTH.size + length
    return (value[_LENGTH.size : end], value[end:]) if end <= len(value) else (b"", b"")


# What rows should be.


def _problems_of(bucket: bytes, rows: list[Row]) -> list[str]:
    if bucket == b"key":
        return _problems_of_keys(rows)
    if bucket == b"meta":
        return [
            f"bucket meta: {name.decode('latin-1')} has {len(value)} bytes, not {wanted}"
            for name, value in rows
            if (wanted := _META_BYTES.get(name, len(value))) != len(value)
        ]
    if bucket == b"lease":
        return [f"bucket lease: key {key.hex()}" for key, _ in rows if len(key) != 8]
    return []


def _problems_of_keys(rows: list[Row]) -> list[str]:
    from google.protobuf.message import DecodeError as ProtobufError  # noqa: PLC0415

    from kvorum.proto.kv_pb2 import KeyValue  # noqa: PLC0415 - 30 ms that others need not spend

    problems = []
    parse = KeyValue.FromString
    for key, value in rows:
        try:
            main, _, is_tombstone = parse_revision_key(key)
            found = parse(value)
        except (DecodeError, ProtobufError) as error:
            problems.append(f"bucket key: row {key.hex()}: {error}")
            continue
        # A row without a value is what a restore with a bumped revision leaves.
        if value and not is_tombstone and found.mod_revision != main:
            problems.append(
                f"bucket key: row {key.hex()} holds a value of revision {found.mod_revision}"
            )
    return problems
