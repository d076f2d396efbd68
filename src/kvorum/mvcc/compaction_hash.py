"""The hash that a compaction makes of what it goes over, for members to compare.

A compaction at C after one at P hashes the rows up to C: of those up to P only what it keeps, of
the others all, also those that it is about to remove. So it covers all history since the last
compaction, whatever a member has been restarted or defragmented in between. Members that made the
same two compactions have the same hash.

Source: shared facts, disk.md section 8 ("Compaction hash").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import google_crc32c

from kvorum.mvcc.hashing import HASH_CHUNK_ROWS, Rows, extended
from kvorum.mvcc.keyvalue import key_of
from kvorum.mvcc.revision import first_row, is_tombstone, main_of
from kvorum.storage.buckets import KEY

if TYPE_CHECKING:
    from kvorum.mvcc.store import Store

HASHES_KEPT: Final = 10
"""Source: etcd server/storage/mvcc (hashStorageMaxSize)."""


class CompactionHash(NamedTuple):
    """What a compaction at `revision` after one at `compact_revision` hashed."""

    value: int
    compact_revision: int
    revision: int


class CompactionHashes:
    """The last hashes. `enabled`: make them at all; they cost a walk over all rows."""

    __slots__ = ("_kept", "enabled")

    def __init__(self) -> None:
        self.enabled = False
        self._kept: deque[CompactionHash] = deque(maxlen=HASHES_KEPT)

    def add(self, made: CompactionHash) -> None:
        self._kept.append(made)

    def at(self, revision: int) -> CompactionHash | None:
        """The hash that a compaction at `revision` made."""
        return next((one for one in self._kept if one.revision == revision), None)

    def newest_first(self) -> list[CompactionHash]:
        return sorted(self._kept, key=lambda one: one.revision, reverse=True)

    def clear(self) -> None:
        self._kept.clear()


class CompactionHashing:
    """Makes one, in steps, before the first row is removed.

    Args:
        revision: C.
        previous: P; `NEVER_COMPACTED` if there was none.
    """

    __slots__ = ("_chunks", "_crc", "_keeps_any", "_previous", "_revision", "_store")

    def __init__(self, store: Store, revision: int, previous: int) -> None:
        self._store = store
        self._revision = revision
        self._previous = previous
        self._crc = int(google_crc32c.extend(0, KEY.name))
        # Asked now: a later compaction lets the index forget how many keys there were.
        self._keeps_any = self._find_kept()
        self._chunks = self._rows()

    def step(self) -> CompactionHash | None:
        """Hash some rows. Returns the hash when that was all."""
        for rows in self._chunks:
            self._crc = extended(self._crc, rows)
            return None
        return CompactionHash(self._crc, self._previous, self._revision)

    def _rows(self) -> Iterator[Rows]:
        backend, after = self._store.backend, first_row(self._revision + 1)
        compacted = first_row(max(self._previous, 0) + 1)
        for rows in backend.scan(KEY, b"", compacted, chunk_rows=HASH_CHUNK_ROWS):
            yield self._kept(rows)
        yield from backend.scan(KEY, compacted, after, chunk_rows=HASH_CHUNK_ROWS)

    def _kept(self, rows: Rows) -> Rows:
        """Which of some rows up to the previous compaction count."""
        store = self._store
        if store.rules.hash_skips_tombstone_at_compact:
            rows = [
                item
                for item in rows
                if not (is_tombstone(item[0]) and main_of(item[0]) == self._previous)
            ]
        if not self._keeps_any:
            return rows  # as in `HashKV`: an empty set is no set to stock
        row_at, revision = store.index.row_at, self._revision
        return [item for item in rows if row_at(key_of(item[1]), revision) == item[0]]

    def _find_kept(self) -> bool:
        """Whether the compaction keeps anything up to its revision."""
        store, revision = self._store, self._revision
        if store.index.count_at(b"", b"", revision):
            return True
        if not store.rules.keep_tombstone_at_compact:
            return False
        newest = store.backend.scan(KEY, first_row(revision), first_row(revision + 1))
        return any(is_tombstone(row) for rows in newest for row, _ in rows)
