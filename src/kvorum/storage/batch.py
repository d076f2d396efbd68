"""Changes that have not been written to disk yet, one dictionary for each bucket."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from kvorum.storage.buckets import BUCKETS

# What a key was changed to; None: it was deleted.
Rows = dict[bytes, bytes | None]


class Batch:
    """The changes that will go into one transaction of the disk.

    The newest change of a key replaces the one before; a deletion stays as None, because a reader
    must not find the old row below. So the set of keys of a batch only grows, which is what
    `keys_between` relies on.
    """

    __slots__ = ("_sorted_keys", "rows")

    def __init__(self) -> None:
        self.rows: list[Rows] = [{} for _ in BUCKETS]
        self._sorted_keys: list[list[bytes]] = [[] for _ in BUCKETS]

    def __len__(self) -> int:
        """Number of changed rows."""
        return sum(map(len, self.rows))

    def keys_between(self, index: int, start: bytes, stop: bytes | None) -> list[bytes]:
        """Changed keys of bucket number `index` in `[start, stop)`, in order; None: no bound.

        Cost: O(log n) while no key was added since the last call, else one sort of keys that are
        nearly in order (0.2 ms for 10,000).
        """
        rows = self.rows[index]
        if not rows:
            return []
        keys = self._sorted_keys[index]
        if len(keys) != len(rows):
            keys = self._sorted_keys[index] = sorted(rows)
        low = bisect_left(keys, start)
        high = len(keys) if stop is None else bisect_left(keys, stop, low)
        return keys[low:high]


EMPTY: Final = Batch()
