"""The key index: which revisions each key has, in memory, and which keys are in a range.

A key has a list of revisions, oldest first, cut into *generations*: a deletion (tombstone) ends a
generation, the next put begins a new one. Here a key's list is one `Record`, a flat tuple of bytes
and numbers. There is no object for a generation or a revision, because a store has some 10^5 keys
that have one revision each: a record takes about 180 bytes (240 with a second revision), and the
garbage collector stops tracking tuples of bytes and numbers, so an index of any size adds nothing
to its pauses.

Keys alive now are in `live`, keys whose newest revision is a tombstone in `dead`. So a range at the
newest revision is a slice of `live`, and its count two bisections.

Compaction does not look for what to drop: each row that some compaction will drop is noted when
that becomes certain (`_drop_revisions`, `_drop_keys`): a put's row when a newer revision takes its
place, a tombstone at once. The note holds the lowest compaction revision that drops the row. Notes
are in the order of their revisions, and the rows of one key are dropped oldest first, so a note is
the key alone, and a compaction walks the front of the notes and nothing else.

Invariants
    I1  a key is in exactly one of `live` and `dead`, and in `records`
    I2  a record whose newest row is a tombstone has version 0, every other a version above 0
    I3  the notes of a key are as many as its rows, less one if it is alive

Source: the rules of generations and of what a compaction keeps: shared facts, disk.md section 7.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import islice

from sortedcontainers import SortedList

from kvorum.mvcc.liveness import LivenessLog
from kvorum.mvcc.revision import PUT_ROW_BYTES, TOMBSTONE_MARK, TOMBSTONE_ROW_BYTES, first_row

Record = tuple[bytes, int, int, bytes | bytearray, bytes]
"""Row key of the newest revision; create revision; version; older row keys; the key.

The older row keys stand one after another, oldest first, 18 bytes each: a tombstone's as it is, a
put's with a zero byte behind it. The key is the one object that stands for it in all containers.
"""

_OLDER_BYTES = TOMBSTONE_ROW_BYTES
PUT_PADDING = b"\0"

# Up to so many older revisions are kept in bytes, which are copied by every put. A key that is put
# again and again between two compactions gets a bytearray, which grows in place.
_COPIED_BYTES_MAX = 8 * _OLDER_BYTES

# From so many keys on a deletion cuts the containers at once, not key by key.
_BULK_DELETE_KEYS = 64

# Keys looked at in one go when a range is read at an older revision.
_WALK_KEYS = 1024

# Notes of rows that are gone are cut off when there are so many.
_DROPPED_NOTES_MAX = 4096


class KeyIndex:
    """See the module. `end` of a range: None: `start` alone; b"": every key from `start` on."""

    __slots__ = (
        "_buried",
        "_drop_keys",
        "_drop_revisions",
        "_drops_done",
        "_keep_tombstone",
        "dead",
        "live",
        "liveness",
        "records",
    )

    def __init__(self, *, keep_tombstone_at_compact: bool) -> None:
        self.records: dict[bytes, Record] = {}
        self.live: SortedList[bytes] = SortedList()
        self.dead: SortedList[bytes] = SortedList()
        self.liveness = LivenessLog()
        self._keep_tombstone = keep_tombstone_at_compact
        self._drop_keys: list[bytes] = []
        self._drop_revisions = array("q")
        self._drops_done = 0
        self._buried: list[bytes] = []

    # Changes.

    def put(self, key: bytes, row: bytes, main: int) -> tuple[int, int]:
        """Add a put. Returns the create revision and the version that it gives the key."""
        record = self.records.get(key)
        if record is None:
            self.records[key] = (row, main, 1, b"", key)
            self.live.add(key)
            self.liveness.add(main, key, True)
            return main, 1
        newest, create, version, older, key = record
        if version:
            version += 1
            older = appended(older, newest + PUT_PADDING)
            self.note_drop(key, main)
        else:
            create, version = main, 1
            older = appended(older, newest)
            self.dead.remove(key)
            self.live.add(key)
            self.liveness.add(main, key, True)
        self.records[key] = (row, create, version, older, key)
        return create, version

    def delete(self, keys: Sequence[bytes], rows: Iterable[bytes], main: int) -> None:
        """Add a tombstone to each of `keys`.

        Args:
            keys: what `live_keys` has just given for one range.
            rows: the row keys of the tombstones, in the order of the keys.
            main: main revision of the deletion.
        """
        for key, row in zip(keys, rows, strict=True):
            self._bury(key, row, main)
        if len(keys) < _BULK_DELETE_KEYS:
            for key in keys:
                self.live.remove(key)
                self.dead.add(key)
        else:
            low = self.live.bisect_left(keys[0])
            del self.live[low : low + len(keys)]
            self.dead.update(keys)

    def _bury(self, key: bytes, row: bytes, main: int) -> None:
        newest, _, version, older, key = self.records[key]
        assert version, key
        self.records[key] = (row, 0, 0, appended(older, newest + PUT_PADDING), key)
        self.liveness.add(main, key, False)
        self.note_drop(key, main)
        self.note_tombstone(key)

    def end_revision(self, main: int) -> None:
        """All changes of revision `main` have been made."""
        if not self._buried:
            return
        # A tombstone that is not the last change of its key in this revision goes like a put.
        kept: dict[bytes, None] = {}
        for key in reversed(self._buried):
            if key in kept or self.records[key][2]:
                self.note_drop(key, main)
            else:
                kept[key] = None
        # These notes come last, because theirs may be the higher revision.
        drop_at = main + 1 if self._keep_tombstone else main
        for key in kept:
            self.note_drop(key, drop_at)
        self._buried.clear()

    def note_tombstone(self, key: bytes) -> None:
        """Note, at the end of this revision, from when on the tombstone of `key` is dropped."""
        self._buried.append(key)

    def note_drop(self, key: bytes, revision: int) -> None:
        """Note that compactions from `revision` on drop one more row of `key`, the next oldest."""
        self._drop_keys.append(key)
        self._drop_revisions.append(revision)

    # Reads at the newest revision.

    def live_keys(self, start: bytes, end: bytes | None, limit: int = 0) -> list[bytes]:
        """Keys alive in a range, in order; at most `limit`, 0: all."""
        if end is None:
            record = self.records.get(start)
            return [start] if record is not None and record[2] else []
        keys = self.live.irange(start, end or None, (True, False))
        return list(islice(keys, limit) if limit > 0 else keys)

    def newest_rows(self, start: bytes, end: bytes | None, limit: int = 0) -> list[bytes]:
        """Row keys of the keys alive in a range, in the order of the keys."""
        records = self.records
        if end is None:
            record = records.get(start)
            return [record[0]] if record is not None and record[2] else []
        keys = self.live.irange(start, end or None, (True, False))
        if limit > 0:
            keys = islice(keys, limit)
        return [records[key][0] for key in keys]

    def count(self, start: bytes, end: bytes | None) -> int:
        """Number of keys alive in a range. Cost: O(log n)."""
        live = self.live
        if end is None:
            record = self.records.get(start)
            return 1 if record is not None and record[2] else 0
        high: int = live.bisect_left(end) if end else len(live)
        low: int = live.bisect_left(start)
        return max(0, high - low)

    # Reads at an older revision, which is not below the compaction revision.

    def row_at(self, key: bytes, revision: int) -> bytes | None:
        """Row key of what `key` held at `revision`; None: nothing."""
        record = self.records.get(key)
        return None if record is None else _row_before(record, first_row(revision + 1))

    def rows_at(
        self, start: bytes, end: bytes | None, revision: int, limit: int = 0
    ) -> list[bytes]:
        """Row keys of the keys that were alive in a range at `revision`, in the order of the keys.

        Cost: O(keys between `start` and the last one found), dead ones included.
        """
        bound = first_row(revision + 1)
        if end is None:
            row = self.row_at(start, revision)
            return [] if row is None else [row]
        walk = min(limit, _WALK_KEYS) if limit > 0 else _WALK_KEYS
        found: list[bytes] = []
        next_start: bytes | None = start
        while next_start is not None:
            keys, next_start = self._known_keys(next_start, end, walk)
            for key in keys:
                row = _row_before(self.records[key], bound)
                if row is not None:
                    found.append(row)
                    if len(found) == limit:
                        return found
        return found

    def _known_keys(self, start: bytes, end: bytes, count: int) -> tuple[list[bytes], bytes | None]:
        """Some first keys of a range, alive or dead, in order; where to go on, None: at its end."""
        live = list(islice(self.live.irange(start, end or None, (True, False)), count))
        dead = list(islice(self.dead.irange(start, end or None, (True, False)), count))
        # Behind the last key of a full list there may be keys that only the other list shows.
        lasts = [keys[-1] for keys in (live, dead) if len(keys) == count]
        keys = sorted(live + dead) if dead else live
        if not lasts:
            return keys, None
        last = min(lasts)
        del keys[bisect_right(keys, last) :]
        return keys, last + b"\0"

    def count_at(self, start: bytes, end: bytes | None, revision: int) -> int:
        """Number of keys that were alive in a range at `revision`. Cost: see `liveness`."""
        if end is None:
            return 1 if self.row_at(start, revision) is not None else 0
        if end and end <= start:
            return 0
        return self.count(start, end) - self.liveness.net_after(revision, start, end)

    # Compaction.

    def drop(self, revision: int, count_max: int) -> list[bytes]:
        """Forget rows that a compaction at `revision` drops, at most `count_max` of them.

        Returns:
            Their row keys, tombstone marks included. None left: the empty list.
        """
        first = self._drops_done
        last = bisect_right(self._drop_revisions, revision, first)
        last = min(last, first + count_max)
        rows = [self._drop_oldest(key) for key in self._drop_keys[first:last]]
        self._drops_done = last
        if last >= min(_DROPPED_NOTES_MAX, len(self._drop_keys)):
            del self._drop_keys[:last]
            del self._drop_revisions[:last]
            self._drops_done = 0
        return rows

    def _drop_oldest(self, key: bytes) -> bytes:
        newest, create, version, older, key = self.records[key]
        if not older:
            assert not version, key  # I3: what is alive keeps its newest row
            del self.records[key]
            self.dead.remove(key)
            return newest
        row = bytes(older[:_OLDER_BYTES])
        if isinstance(older, bytearray):
            del older[:_OLDER_BYTES]  # moves the start, copies nothing
        else:
            self.records[key] = (newest, create, version, older[_OLDER_BYTES:], key)
        return row if row.endswith(TOMBSTONE_MARK) else row[:PUT_ROW_BYTES]

    def drops_left(self, revision: int) -> int:
        """Number of rows that a compaction at `revision` has still to drop."""
        return bisect_right(self._drop_revisions, revision, self._drops_done) - self._drops_done


def appended(older: bytes | bytearray, row: bytes) -> bytes | bytearray:
    """The older rows of a record with one more, a put's padded. A bytearray grows in place."""
    if len(older) < _COPIED_BYTES_MAX or isinstance(older, bytearray):
        older += row
        return older
    return bytearray(older + row)


def _row_before(record: Record, bound: bytes) -> bytes | None:
    """The newest row of a record below `bound`; None when that is a tombstone, or there is none."""
    newest, _, version, older, _ = record
    if newest < bound:
        return newest if version else None
    low, high = 0, len(older) // _OLDER_BYTES
    while low < high:
        middle = (low + high) // 2
        if older[middle * _OLDER_BYTES : (middle + 1) * _OLDER_BYTES] < bound:
            low = middle + 1
        else:
            high = middle
    if low == 0:
        return None
    row = bytes(older[(low - 1) * _OLDER_BYTES : low * _OLDER_BYTES])
    return None if row.endswith(TOMBSTONE_MARK) else row[:PUT_ROW_BYTES]
