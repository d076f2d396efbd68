"""Sets of half-open key intervals, for the keys that the deletions of a transaction touch.

Intervals that meet are joined, so that a question is one bisection however many deletions a
request of 1.5 MiB brings.

Invariant: the starts ascend, each interval is non-empty and ends before the next one starts. The
last one may be unbounded.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class IntervalSet:
    """`end` is the first key behind an interval; None: there is none."""

    __slots__ = ("_ends", "_starts", "_tail")

    def __init__(self) -> None:
        self._starts: list[bytes] = []
        self._ends: list[bytes] = []
        # Start of the unbounded interval, None: there is none. It does not overlap the others.
        self._tail: bytes | None = None

    def add(self, start: bytes, end: bytes | None) -> None:
        """Add `[start, end)`; an interval that ends before it starts holds nothing."""
        if end is not None and end <= start:
            return
        # Those that overlap or touch the new one: from `low` to before `high`.
        low = bisect_left(self._ends, start)
        high = len(self._starts) if end is None else bisect_right(self._starts, end)
        if low < high:
            start = min(start, self._starts[low])
            if end is not None:
                end = max(end, self._ends[high - 1])
        del self._starts[low:high], self._ends[low:high]
        if self._tail is not None and (end is None or self._tail <= end):
            start, end = min(start, self._tail), None
        if end is None:
            self._tail = start
            return
        self._starts.insert(low, start)
        self._ends.insert(low, end)

    def add_all(self, other: IntervalSet) -> None:
        for start, end in zip(other._starts, other._ends, strict=True):
            self.add(start, end)
        if other._tail is not None:
            self.add(other._tail, None)

    def remove(self, key: bytes) -> None:
        """Take one key out."""
        if key not in self:
            return
        behind = key + b"\0"
        if self._tail is not None and key >= self._tail:
            start: bytes = self._tail
            self._tail = behind
            if start < key:
                self.add(start, key)
            return
        place = bisect_right(self._starts, key) - 1
        start, end = self._starts[place], self._ends[place]
        del self._starts[place], self._ends[place]
        self.add(start, key)
        self.add(behind, end)

    def __contains__(self, key: bytes) -> bool:
        if self._tail is not None and key >= self._tail:
            return True
        place = bisect_right(self._starts, key) - 1
        return place >= 0 and key < self._ends[place]

    def __bool__(self) -> bool:
        return bool(self._starts) or self._tail is not None
