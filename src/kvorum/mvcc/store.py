"""The multi-version store of keys: every revision of every key since the compaction revision.

Place: the server applies the requests of the log through it (`requests`, `txn`) and answers reads
from it; the watch package hears of its changes by `on_events` and reads history. Rows are in the
`key` bucket of the backend, the index of them in memory (`index`).

One thread owns a store. Everything here is synchronous and quick; what is long (a compaction, the
hash of all keys) is done in steps that the owner asks for between other work.

Source: shared facts, disk.md sections 5 and 7.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

from kvorum.errors import CompactedError, CorruptionError, FutureRevisionError
from kvorum.histogram import Histogram, doubling
from kvorum.mvcc.compaction import Compaction
from kvorum.mvcc.compaction_hash import CompactionHashes, CompactionHashing
from kvorum.mvcc.events import Event
from kvorum.mvcc.hashing import HashKV
from kvorum.mvcc.history import HISTORY_CHUNK_ROWS, read_history
from kvorum.mvcc.index import KeyIndex
from kvorum.mvcc.restore import Restorer, StoredIndex, compact_revisions
from kvorum.mvcc.revision import row_key
from kvorum.mvcc.rules import V3_6, Rules
from kvorum.mvcc.write import WriteTxn
from kvorum.storage import Backend
from kvorum.storage.buckets import KEY, META, SCHEDULED_COMPACT_REV

FIRST_REVISION = 1
"""The revision of an empty store."""


class LeaseAttacher(Protocol):
    """What a store needs of the leases. It attaches to and detaches from leases that exist alone.

    Who revokes a lease deletes its keys in a write transaction, which detaches them one by one if
    the lease still exists then: iterate over a copy.
    """

    def exists(self, lease_id: int) -> bool: ...

    def attach(self, lease_id: int, key: bytes) -> None: ...

    def detach(self, lease_id: int, key: bytes) -> None: ...


COMPACTION_PAUSE_MS = doubling(1.0, 13)
COMPACTION_TOTAL_MS = doubling(100.0, 14)
INDEX_PAUSE_MS = doubling(0.5, 14)
"""Buckets of how long compactions take."""


@dataclass(slots=True)
class Counters:
    """What a store has done since it was made, for the metrics."""

    ranges: int = 0
    puts: int = 0
    put_bytes: int = 0
    """Bytes of the keys and values put."""
    deletes: int = 0
    """Deletions asked for, whatever they found."""
    txns: int = 0
    """Transactions of more than one operation."""
    rows_compacted: int = 0
    compacted_unix_s: float = 0
    """When a compaction last ended; 0: none did."""
    compaction_pauses_ms: Histogram = field(default_factory=lambda: Histogram(COMPACTION_PAUSE_MS))
    """Of each step."""
    compaction_totals_ms: Histogram = field(default_factory=lambda: Histogram(COMPACTION_TOTAL_MS))
    compaction_index_pauses_ms: Histogram = field(default_factory=lambda: Histogram(INDEX_PAUSE_MS))
    """Of taking up a compaction."""


OnEvents = Callable[[int, list[Event]], None]


class Store:
    """See the module.

    Attributes:
        revision: the newest main revision. Read on every response.
        compact_revision: reads below are refused; `NEVER_COMPACTED` at first.
        index: the keys and their revisions.
        leases: the lease of each key that has one.
        on_events: called once for each revision, with its changes in their order.
        on_compacted: called with each compaction when its last row is gone.
        reloads: how often the store was read anew.
        writer: the write transaction that is open.
        counters: for the metrics. The number of keys is `len(store.index.live)`.
    """

    def __init__(
        self,
        backend: Backend,
        lessor: LeaseAttacher,
        on_events: OnEvents | None = None,
        *,
        rules: Rules = V3_6,
    ) -> None:
        """Read the index back from `backend`. The leases have been read before.

        Raises:
            CorruptionError: the bucket holds what cannot be.
        """
        self.lessor = lessor
        self.on_events = on_events
        self.on_compacted: Callable[[Compaction], None] | None = None
        self.reloads = 0
        self.compactions: deque[Compaction] = deque()
        self.rules = rules
        self.writer: WriteTxn | None = None
        self.counters = Counters()
        self.hashes_running = 0
        self.compaction_hashes = CompactionHashes()
        self.reload(backend)

    def reload(self, backend: Backend, stored: StoredIndex | None = None) -> None:
        """Forget everything and read the index back from `backend` (a leader's snapshot came).

        Args:
            backend: where the rows are from now on.
            stored: what reading would give, if that has been done already (`restore.read_index`).

        Raises:
            CorruptionError: the bucket holds what cannot be.
        """
        assert self.writer is None
        self.backend = backend
        self.reloads += 1
        self.compaction_hashes.clear()
        given_up, self.compactions = self.compactions, deque()
        stored = stored or self._read(backend)
        finished, scheduled = stored.finished, stored.scheduled
        self.compact_revision = max(finished, scheduled)
        self.index = stored.index
        self.leases = stored.leases
        self.revision = max(FIRST_REVISION, stored.revision, self.compact_revision)
        for key, lease in self.leases.items():
            if self.lessor.exists(lease):
                self.lessor.attach(lease, key)
        if scheduled > finished:
            self.compactions.append(Compaction(self, scheduled))
        for compaction in given_up:
            compaction.give_up()

    def _read(self, backend: Backend) -> StoredIndex:
        finished, scheduled = compact_revisions(lambda name: backend.get(META, name))
        index = KeyIndex(keep_tombstone_at_compact=self.rules.keep_tombstone_at_compact)
        leases: dict[bytes, int] = {}
        revision = Restorer(index, leases, max(finished, scheduled)).run(backend.scan(KEY))
        return StoredIndex(index, leases, revision, finished, scheduled)

    # Writes.

    def begin(self) -> WriteTxn:
        """Open the write transaction of one log entry."""
        assert self.writer is None
        self.writer = writer = WriteTxn(self)
        return writer

    def attach(self, key: bytes, lease: int) -> None:
        """Move a key to another lease; 0: to none."""
        old = self.leases.get(key, 0)
        if old == lease:
            return
        if old and self.lessor.exists(old):
            self.lessor.detach(old, key)
        if lease:
            self.leases[key] = lease
            self.lessor.attach(lease, key)
        else:
            del self.leases[key]

    # Reads.

    def check_readable(self, revision: int, newest: int) -> None:
        """Refuse a revision above `newest` or below the compaction revision.

        Raises:
            FutureRevisionError, CompactedError
        """
        if revision > newest:
            raise FutureRevisionError
        if revision < self.compact_revision:
            raise CompactedError

    def value(self, row: bytes) -> bytes:
        """The encoded KeyValue in a row that the index knows.

        Raises:
            CorruptionError: the bucket does not have the row.
        """
        stored = self.backend.get(KEY, row)
        if stored is None:
            raise _lost_row(row)
        return stored

    def values(self, rows: Sequence[bytes]) -> list[bytes]:
        """As `value`, of many rows."""
        found = self.backend.get_many(KEY, rows)
        if None in found:
            raise _lost_row(rows[found.index(None)])
        return found  # type: ignore[return-value]

    def kv_at(self, key: bytes, revision: int) -> bytes | None:
        """The encoded KeyValue that a key held at `revision`; None: it was not there.

        Raises:
            CompactedError: `revision` is below the compaction revision.
        """
        if revision < self.compact_revision:
            raise CompactedError
        row = self.index.row_at(key, revision)
        return None if row is None else self.value(row)

    def events_between(
        self, start: int, end: int, chunk_rows: int = HISTORY_CHUNK_ROWS
    ) -> Iterator[tuple[int, list[Event]]]:
        """The changes of each revision from `start` to `end`, both included, in their order.

        Args:
            start: not below the compaction revision.
            end: revisions above the newest have no changes yet.
            chunk_rows: how many rows are read from the backend at a time. A revision is never cut.

        Raises:
            CompactedError: `start` is below the compaction revision; also when a compaction
                overtakes the iteration.
        """
        if start < self.compact_revision:
            raise CompactedError
        return read_history(self, start, end, chunk_rows)

    # Compaction.

    def compact(self, revision: int) -> Compaction:
        """Give up the history before `revision`. Reads there are refused from now on.

        The rows are removed by `step_compaction`. What was scheduled is stored in the same
        transaction as the first rows that go, so a crash at any point is made up for by `reload`.

        Raises:
            CompactedError: `revision` is not above the compaction revision.
            FutureRevisionError: it is above the newest revision.
        """
        if revision <= self.compact_revision:
            raise CompactedError
        if revision > self.revision:
            raise FutureRevisionError
        begun_s = monotonic()
        previous, self.compact_revision = self.compact_revision, revision
        self.index.liveness.forget(revision)
        self.backend.put(META, SCHEDULED_COMPACT_REV, row_key(revision))
        hashing = None
        if self.compaction_hashes.enabled:
            hashing = CompactionHashing(self, revision, previous)
        compaction = Compaction(self, revision, hashing)
        self.compactions.append(compaction)
        self.counters.compaction_index_pauses_ms.observe((monotonic() - begun_s) * 1000)
        return compaction

    def step_compaction(self, rows_max: int | None = None) -> bool:
        """Go on with the oldest compaction. Returns False when there is nothing to do (now)."""
        if not self.compactions:
            return False
        return self.compactions[0].step(rows_max)

    # Hashes.

    def hash_kv(self, revision: int = 0) -> tuple[int, int, int]:
        """Hash, compaction revision and newest revision. See `hashing.HashKV`, which has steps."""
        job = HashKV(self, revision)
        while not job.step():
            pass
        return job.result(), job.compact_revision, job.current_revision


def _lost_row(row: bytes) -> CorruptionError:
    return CorruptionError(
        "bucket key",
        None,
        f"the row {row.hex()} is gone",
        "restore this member from a snapshot or from its peers",
    )
