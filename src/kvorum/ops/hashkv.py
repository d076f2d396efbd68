"""HashKV of a database file: equal to what the member that wrote it answers.

A running member has an index of all keys to tell which old rows are still seen. For a file it is
enough to know the newest row of each key at the revision, and only where something was compacted;
so a file of any size needs memory for its keys once, and for no history.

Source: shared facts, disk.md section 8; `kvorum.mvcc.hashing` is the member's side of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import google_crc32c

from kvorum.errors import CompactedError, FutureRevisionError
from kvorum.mvcc.keyvalue import key_of
from kvorum.mvcc.revision import NEVER_COMPACTED, check_row, first_row, is_tombstone, main_of
from kvorum.mvcc.store import FIRST_REVISION
from kvorum.ops.inputs import check_readable, open_input
from kvorum.storage.buckets import FINISHED_COMPACT_REV, KEY, META, SCHEDULED_COMPACT_REV
from kvorum.storage.files import DatabaseFile, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHash:
    """What `etcdutl hashkv` tells."""

    hash: int
    hash_revision: int
    compact_revision: int
    """-1: never compacted."""


def file_hash_kv(path: Path, revision: int = 0) -> FileHash:
    """HashKV of the database file `path` at `revision` (0: its newest), by the rules of 3.6.

    Raises:
        FutureRevisionError: the file does not have the revision yet.
        CompactedError: the revision is below the compaction revision.
        ConfigError: there is no such file, or it is no database.
        CorruptionError: it is damaged.
    """
    check_readable(path)
    with open_input(path) as database:
        compacted = compact_revision(database)
        newest = newest_revision(database, compacted)
        if revision > newest:
            raise FutureRevisionError
        if 0 < revision < compacted:
            raise CompactedError
        revision = revision or newest
        crc = int(google_crc32c.extend(0, KEY.name))
        if revision > 0:
            for rows in _kept(database, revision, compacted):
                crc = int(google_crc32c.extend(crc, b"".join(chain.from_iterable(rows))))
    return FileHash(hash=crc, hash_revision=revision, compact_revision=compacted)


def compact_revision(database: DatabaseFile) -> int:
    """The revision below which nothing can be read; `NEVER_COMPACTED`: nothing was compacted."""
    found = [
        database.get(META.name, name) for name in (FINISHED_COMPACT_REV, SCHEDULED_COMPACT_REV)
    ]
    return max(NEVER_COMPACTED if row is None else main_of(row) for row in found)


def newest_revision(database: DatabaseFile, compacted: int) -> int:
    """The revision that a member which starts on the file has."""
    last = database.last(KEY.name)
    return max(FIRST_REVISION, compacted, 0 if last is None else main_of(last[0]))


def _kept(database: DatabaseFile, revision: int, compacted: int) -> Iterator[list[Row]]:
    """The rows that count, in order."""
    seen: dict[bytes, bytes] = {}
    if compacted >= 0:
        seen = _newest_rows(database, first_row(revision + 1))
    end, boundary = first_row(revision + 1), first_row(max(compacted, 0) + 1)
    some_alive = any(not is_tombstone(row) for row in seen.values())
    for rows in _until(database, end):
        if rows[0][0] >= boundary:
            yield rows
            continue
        old = [row for row in rows if row[0] < boundary]
        new = rows[len(old) :]
        old = [row for row in old if not (is_tombstone(row[0]) and main_of(row[0]) == compacted)]
        # An empty set of what is kept is taken for no set at all, by stock as well.
        if some_alive:
            old = [row for row in old if _is_seen(seen, row)]
        yield old + new


def _is_seen(seen: dict[bytes, bytes], row: Row) -> bool:
    return not is_tombstone(row[0]) and seen.get(key_of(row[1])) == row[0]


def _newest_rows(database: DatabaseFile, end: bytes) -> dict[bytes, bytes]:
    """Row key of the newest row of each key before `end`."""
    newest: dict[bytes, bytes] = {}
    for rows in _until(database, end):
        for row, stored in rows:
            newest[key_of(stored)] = row
    return newest


def _until(database: DatabaseFile, end: bytes) -> Iterator[list[Row]]:
    """The rows of `key` before `end`."""
    for rows in database.rows(KEY.name):
        for row, _ in (rows[0], rows[-1]):
            check_row(row)
        if rows[-1][0] >= end:
            rows = [row for row in rows if row[0] < end]  # noqa: PLW2901
            if rows:
                yield rows
            return
        yield rows
