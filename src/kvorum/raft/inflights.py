"""MsgApps that one peer has not answered yet, counted and weighed.

Invariants
    I1  the last indexes in the window ascend
    I2  bytes_total is the sum of the bytes in the window
    I3  nothing is added to a full window
"""

from __future__ import annotations

from collections import deque


class Inflights:
    """A window of messages, each known by the index of its last entry and its payload bytes."""

    __slots__ = ("_bytes_max", "_count_max", "_window", "bytes_total")

    def __init__(self, count_max: int, bytes_max: int) -> None:
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._window: deque[tuple[int, int]] = deque()
        self.bytes_total = 0

    def __len__(self) -> int:
        return len(self._window)

    @property
    def full(self) -> bool:
        """Whether either limit is reached. The last message may have passed that on bytes."""
        return len(self._window) >= self._count_max or self.bytes_total >= self._bytes_max

    def add(self, last_index: int, size_bytes: int) -> None:
        """A message was sent whose last entry is `last_index`."""
        assert not self.full, (len(self._window), self.bytes_total)  # I3
        assert not self._window or self._window[-1][0] < last_index, last_index  # I1
        self._window.append((last_index, size_bytes))
        self.bytes_total += size_bytes

    def free_to(self, index: int) -> None:
        """The peer has everything up to and with `index`."""
        window = self._window
        while window and window[0][0] <= index:
            self.bytes_total -= window.popleft()[1]
        assert self.bytes_total >= 0, self.bytes_total  # I2

    def clear(self) -> None:
        self._window.clear()
        self.bytes_total = 0
