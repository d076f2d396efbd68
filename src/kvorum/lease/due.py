"""Leases by the time at which each is to be looked at.

A heap whose entries are not removed when a lease is revoked or its time changes: an entry counts
only while its lease says the same time. A renewal therefore costs nothing here; the entry comes
up at the old time, is found to be early, and is entered again. Renewals come far more often than
an entry comes up.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kvorum.lease.lease import Lease

_STALE_MIN: Final = 1_000  # below this many entries stale ones are not worth removing


@final
class DueHeap:
    """See the module. An entry is a time and a lease id."""

    __slots__ = ("_entries", "_is_current")

    def __init__(self, is_current: Callable[[float, int], bool]) -> None:
        """Start empty. `is_current` tells whether the entry of a lease still counts."""
        self._entries: list[tuple[float, int]] = []
        self._is_current = is_current

    def __len__(self) -> int:
        """Entries, those that count no more included."""
        return len(self._entries)

    def push(self, due: float, lease_id: int) -> None:
        heappush(self._entries, (due, lease_id))

    def is_due(self, now: float) -> bool:
        entries = self._entries
        return bool(entries) and entries[0][0] <= now

    def pop(self) -> int | None:
        """Remove the first entry: its lease's id, or None if it counts no more."""
        due, lease_id = heappop(self._entries)
        return lease_id if self._is_current(due, lease_id) else None

    def replace(self, entries: Iterable[tuple[float, int]]) -> None:
        """Forget all entries and take these."""
        self._entries = list(entries)
        heapify(self._entries)

    def trim(self, lease_count: int) -> None:
        """Remove entries that count no more, once most are such.

        Without this, leases with long TTLs that are granted and soon revoked would be remembered
        until their TTL is over.
        """
        if len(self._entries) > 2 * lease_count + _STALE_MIN:
            self.replace([entry for entry in self._entries if self._is_current(*entry)])


def spread_expiries(leases: Iterable[Lease], per_s_max: int) -> None:
    """Put expiries off where they follow one another too closely. Their order stays."""
    gap_s = 1 / per_s_max
    earliest = -inf
    for lease in sorted(leases, key=lambda lease: lease.expiry):
        lease.expiry = max(lease.expiry, earliest)
        earliest = lease.expiry + gap_s
