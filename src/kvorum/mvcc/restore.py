"""Building the key index from the rows of the backend: at start, and for a leader's snapshot.

A leader's snapshot is read while the member serves, in steps (`read_index`).

Source: shared facts, disk.md section 5 (which rows there are; the row without a value that
`restore --bump-revision` leaves).
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from sortedcontainers import SortedList

from kvorum.mvcc.index import PUT_PADDING, KeyIndex, appended
from kvorum.mvcc.keyvalue import key_of, parse
from kvorum.mvcc.revision import NEVER_COMPACTED, PUT_ROW_BYTES, check_row, main_of
from kvorum.mvcc.rules import Rules
from kvorum.storage.buckets import FINISHED_COMPACT_REV, KEY, META, SCHEDULED_COMPACT_REV
from kvorum.storage.files import DatabaseFile, Row

STEP_ROWS = 500
STEP_KEYS = 4096
"""What is done at once where others wait: 2 ms."""


@dataclass(slots=True)
class StoredIndex:
    """What a store keeps in memory of the rows of a database."""

    index: KeyIndex
    leases: dict[bytes, int]
    revision: int
    """The largest main revision; 0: there are no rows."""
    finished: int
    """The revision that was compacted last, or `NEVER_COMPACTED`."""
    scheduled: int
    """The revision that is to be compacted; not above `finished`: that is done."""


def compact_revisions(get: Callable[[bytes], bytes | None]) -> tuple[int, int]:
    """The revisions of the last compaction that was finished, and scheduled."""
    finished, scheduled = (get(name) for name in (FINISHED_COMPACT_REV, SCHEDULED_COMPACT_REV))
    return (
        NEVER_COMPACTED if finished is None else main_of(finished),
        NEVER_COMPACTED if scheduled is None else main_of(scheduled),
    )


def read_index(database: DatabaseFile, rules: Rules) -> Generator[None, None, StoredIndex]:
    """Read a database that is not used yet, in steps of some 2 ms, for others to go on in between.

    Not on a thread: whoever is put aside by a busy machine while it has the interpreter holds up
    all others. The longest step with 1.5 million keys takes 0.08 s: a dictionary grows then.

    Raises:
        CorruptionError: the bucket holds what cannot be.
    """
    finished, scheduled = compact_revisions(lambda name: database.get(META.name, name))
    index = KeyIndex(keep_tombstone_at_compact=rules.keep_tombstone_at_compact)
    leases: dict[bytes, int] = {}
    restorer = Restorer(index, leases, max(finished, scheduled))
    revision = yield from restorer.steps(database.rows(KEY.name))
    return StoredIndex(index, leases, revision, finished, scheduled)


def _ordered(keys: list[bytes]) -> Generator[None, None, SortedList[bytes]]:
    """Sort `keys` in steps. A list of all of them that is made at once takes 0.1 µs a key."""
    # Parts of about STEP_KEYS, bounded by every n-th of a sample that has 16 keys of each.
    sample = sorted(islice(keys, 0, None, STEP_KEYS // 16))
    yield
    bounds = sample[16::16]
    parts: list[list[bytes]] = [[] for _ in range(len(bounds) + 1)]
    for at in range(0, len(keys), STEP_KEYS):
        for key in islice(keys, at, at + STEP_KEYS):
            parts[bisect(bounds, key)].append(key)
        yield
    found: SortedList[bytes] = SortedList()
    for part in parts:
        part.sort()
        for key in part:
            found.add(key)
        yield
    return found


def take_apart(index: KeyIndex) -> None:
    """Let go of an index that nobody uses any more, piece by piece, on any thread.

    Freeing it in one go would hold up all others: 0.2 s for a million keys.
    """
    index.live, index.dead = SortedList(), SortedList()
    records = index.records
    while records:
        for key in list(islice(records, 1000)):
            del records[key]


class Restorer:
    """Fills an empty index, and the leases of keys.

    Cost: 3 µs a row (CPython 3.11), a quarter of it for reading the rows.
    """

    __slots__ = ("_compact_revision", "_index", "_leases", "_main")

    def __init__(self, index: KeyIndex, leases: dict[bytes, int], compact_revision: int) -> None:
        self._index = index
        self._leases = leases
        self._compact_revision = compact_revision
        self._main = 0

    def run(self, pieces: Iterable[Sequence[Row]]) -> int:
        """Take every row. Returns the largest main revision; 0: there are none.

        Raises:
            CorruptionError: a row is not what a store writes.
        """
        index = self._index
        for rows in pieces:
            self._add(rows)
        index.end_revision(self._main)
        # Sorting all keys at the end costs a fifth of adding them one by one.
        records = index.records
        index.live = SortedList(key for key, record in records.items() if record[2])
        index.dead = SortedList(key for key, record in records.items() if not record[2])
        return self._main

    def steps(self, pieces: Iterable[Sequence[Row]]) -> Generator[None, None, int]:
        """As `run`, cut into steps."""
        index = self._index
        for rows in pieces:
            for at in range(0, len(rows), STEP_ROWS):
                self._add(rows[at : at + STEP_ROWS])
                yield
        index.end_revision(self._main)
        live: list[bytes] = []
        dead: list[bytes] = []
        records = iter(index.records.items())
        for _ in range(0, len(index.records), STEP_KEYS):
            for key, record in islice(records, STEP_KEYS):
                (live if record[2] else dead).append(key)
            yield
        index.live = yield from _ordered(live)
        index.dead = yield from _ordered(dead)
        return self._main

    def _add(self, rows: Sequence[Row]) -> None:
        # One flat loop with what it needs in local names: a start reads every row there is, and
        # each call in here that is not needed costs 25 ms for 400,000 rows.
        index, leases, main = self._index, self._leases, self._main
        records, note_drop = index.records, index.note_drop
        main_bytes = main.to_bytes(8, "big")
        for row, stored in rows:
            if row[:8] != main_bytes:
                check_row(row)
                index.end_revision(main)
                main_bytes, main = row[:8], main_of(row)
            if len(row) != PUT_ROW_BYTES:
                check_row(row)
                self._add_tombstone(row, main, key_of(stored))
                continue
            kv = parse(stored)
            key, lease = kv.key, kv.lease
            record = records.get(key)
            if record is None:
                # The first revision since the last compaction: what came before is in its numbers.
                # The row without a value has none.
                create = kv.create_revision or main
                records[key] = (row, create, kv.version or 1, b"", key)
                if create == main:
                    self._note_birth(main, key)
            else:
                newest, create, version, older, key = record
                if version:
                    older = appended(older, newest + PUT_PADDING)
                    note_drop(key, main)
                else:
                    older = appended(older, newest)
                    create = main
                    self._note_birth(main, key)
                records[key] = (row, create, version + 1, older, key)
            if lease:
                leases[key] = lease
            elif leases:
                leases.pop(key, None)
        self._main = main

    def _note_birth(self, main: int, key: bytes) -> None:
        if main > self._compact_revision:  # nobody can count before
            self._index.liveness.add(main, key, True)

    def _add_tombstone(self, row: bytes, main: int, key: bytes) -> None:
        index = self._index
        record = index.records.get(key)
        if record is None:
            # All that a compaction left of a key; the next one removes it.
            index.records[key] = (row, 0, 0, b"", key)
        else:
            newest, _, version, older, key = record
            if version:
                older = appended(older, newest + PUT_PADDING)
                index.note_drop(key, main)
                index.liveness.add(main, key, False)
            else:
                older = appended(older, newest)
            index.records[key] = (row, 0, 0, older, key)
        index.note_tombstone(key)
        self._leases.pop(key, None)
