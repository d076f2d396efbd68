"""Hashes over the rows, equal to stock etcd's on the same data.

All are CRC-32C from 0 over names, keys and values one after another, without lengths. Because a
CRC over pieces is the CRC over their concatenation, rows are joined and summed a chunk at a time.

Source: shared facts, disk.md section 8; checked against live 3.5.1 and 3.4.23 members in
`tests/interop/test_stock_hash.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import google_crc32c

from kvorum.errors import CompactedError, FutureRevisionError
from kvorum.mvcc.keyvalue import key_of
from kvorum.mvcc.revision import first_row, is_tombstone, main_of
from kvorum.storage import Backend
from kvorum.storage.buckets import BUCKETS, KEY, META, Bucket

if TYPE_CHECKING:
    from kvorum.mvcc.store import Store

HASH_CHUNK_ROWS = 1000
"""Rows summed by one step of a HashKV: 1 to 2 ms."""

Rows = Sequence[tuple[bytes, bytes]]


def extended(crc: int, rows: Rows) -> int:
    """The sum `crc`, continued over rows."""
    return int(google_crc32c.extend(crc, b"".join(chain.from_iterable(rows))))


class HashKV:
    """The hash of what can be read at a revision, in steps.

    It covers the rows up to the revision; of those up to the compaction revision only what keys
    held at the revision. So it does not matter how far a compaction has got. Members of one
    cluster, asked at one revision with one compaction revision, have the same hash.

    No row is removed while one runs. Who gives one up calls `close`.
    """

    def __init__(self, store: Store, revision: int = 0) -> None:
        """Begin.

        Args:
            store: what to hash.
            revision: up to which; 0: the newest. Below 0 there is nothing (as in stock).

        Raises:
            CompactedError, FutureRevisionError
        """
        self._store = store
        self.compact_revision = store.compact_revision
        self.current_revision = store.revision
        if revision > store.revision:
            raise FutureRevisionError
        if revision > 0:
            lowest = store.compact_revision
            if not store.rules.hash_at_compact_revision:
                lowest += 1
            if revision < lowest:
                raise CompactedError
        self.revision = revision or store.revision
        self._reloads = store.reloads
        # Asked now: a compaction that begins later lets the index forget how many there were.
        # Stock looks rows up in the set of what is kept, and takes an empty set for "no set".
        self._keeps_all = store.index.count_at(b"", b"", self.revision) == 0
        self._crc = int(google_crc32c.extend(0, KEY.name))
        self._open = True
        store.hashes_running += 1
        self._chunks = self._kept_chunks() if self.revision > 0 else iter(())

    def step(self) -> bool:
        """Hash some rows. Returns True when all is done."""
        assert self._open
        for rows in self._chunks:
            self._crc = extended(self._crc, rows)
            return False
        self.close()
        return True

    @property
    def is_void(self) -> bool:
        """Whether a leader's snapshot has taken the store's place: the rows are others now."""
        return self._reloads != self._store.reloads

    def result(self) -> int:
        """The hash, after the step that returned True."""
        assert not self._open
        return self._crc

    def close(self) -> None:
        """Let compactions go on. A second call does nothing."""
        if self._open:
            self._open = False
            self._store.hashes_running -= 1

    def _kept_chunks(self) -> Iterator[Rows]:
        backend, after = self._store.backend, first_row(self.revision + 1)
        compacted = first_row(max(self.compact_revision, 0) + 1)
        for rows in backend.scan(KEY, b"", min(compacted, after), chunk_rows=HASH_CHUNK_ROWS):
            yield self._kept(rows)
        if compacted < after:
            yield from backend.scan(KEY, compacted, after, chunk_rows=HASH_CHUNK_ROWS)

    def _kept(self, rows: Rows) -> Rows:
        """Which of some rows up to the compaction revision count."""
        row_at, revision = self._store.index.row_at, self.revision
        if self._store.rules.hash_skips_tombstone_at_compact:
            rows = [
                item
                for item in rows
                if not (is_tombstone(item[0]) and main_of(item[0]) == self.compact_revision)
            ]
        if self._keeps_all:
            return rows
        return [item for item in rows if row_at(key_of(item[1]), revision) == item[0]]


def hash_all(backend: Backend, ignored_meta: frozenset[bytes]) -> int:
    """The hash of every row of every bucket (Maintenance.Hash).

    Args:
        backend: whose rows, those not yet committed included.
        ignored_meta: keys of the bucket `meta` to leave out; see `Rules`.

    Cost: it reads the whole database in one go, 0.5 s a gigabyte.
    """
    return hash_buckets((bucket, _without(backend, bucket, ignored_meta)) for bucket in BUCKETS)


def _without(backend: Backend, bucket: Bucket, ignored_meta: frozenset[bytes]) -> Iterator[Rows]:
    if bucket is not META:
        return backend.scan(bucket)
    return ([item for item in rows if item[0] not in ignored_meta] for rows in backend.scan(bucket))


def hash_buckets(buckets: Iterable[tuple[Bucket, Iterable[Rows]]]) -> int:
    """The hash of buckets, which come in the order of their names, from wherever they are read."""
    crc = 0
    for bucket, chunks in buckets:
        crc = int(google_crc32c.extend(crc, bucket.name))
        for rows in chunks:
            crc = extended(crc, rows)
    return crc
