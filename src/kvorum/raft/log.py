"""The log of one member: what is stored, what is not yet, what is committed and applied.

Invariants
    L1  applied <= applying <= committed <= last_index
    L2  first_index - 1 <= committed
    L3  last_index and last_term are those of the newest entry, stored or not

`applied` is what the state machine has, `applying` what was handed to it. Entries are handed out
only as far as their bytes fit the limit: a state machine that is behind does not make a member keep
its whole backlog in lists.

Source: Raft paper 5.3, 5.4.1 (which log is newer); etcd-io/raft's log hints for the way back.
"""

from __future__ import annotations

from collections.abc import Iterator

from kvorum.proto.raftpb import Entry, Snapshot
from kvorum.raft.errors import (
    CompactedLogError,
    LogDamagedError,
    UnavailableLogError,
)
from kvorum.raft.sizes import encoded_bytes, limit_bytes
from kvorum.raft.storage import Storage
from kvorum.raft.unstable import Unstable


class RaftLog:
    """Entries by index, and the marks upon them.

    Args:
        storage: what is stored already.
        apply_bytes_max: encoded bytes of entries that may be out to be applied.
        apply_unstable: committed entries may be applied before this member has stored them. With
            asynchronous storage they may not: nothing says when the write before them is done.
    """

    __slots__ = (
        "_apply_bytes_max",
        "_apply_paused",
        "_apply_unstable",
        "applied",
        "applying",
        "applying_bytes",
        "committed",
        "last_index",
        "last_term",
        "storage",
        "unstable",
    )

    def __init__(self, storage: Storage, apply_bytes_max: int, *, apply_unstable: bool) -> None:
        self.storage = storage
        self._apply_bytes_max = apply_bytes_max
        self._apply_unstable = apply_unstable
        self._apply_paused = False
        self.last_index = storage.last_index()
        self.last_term = storage.term(self.last_index)
        self.unstable = Unstable(self.last_index + 1)
        # What is below the first entry was compacted, hence committed and applied.
        self.committed = self.applying = self.applied = storage.first_index() - 1
        self.applying_bytes = 0

    # -- reading -----------------------------------------------------------------------------

    def first_index(self) -> int:
        """Index of the oldest entry that is still there."""
        snapshot = self.unstable.snapshot
        return self.storage.first_index() if snapshot is None else snapshot.metadata.index + 1

    def term(self, index: int) -> int:
        """Term of an entry in `[first_index - 1, last_index]`.

        Raises:
            CompactedLogError: `index` is below that range.
            UnavailableLogError: `index` is above it.
        """
        if index == self.last_index:
            return self.last_term
        term = self.unstable.term(index)
        if term is not None:
            return term
        if index > self.last_index:
            raise UnavailableLogError
        if index + 1 < self.first_index():
            raise CompactedLogError
        return self.storage.term(index)

    def has(self, index: int, term: int) -> bool:
        """Whether the entry at `index` is there and of `term`."""
        try:
            return self.term(index) == term
        except (CompactedLogError, UnavailableLogError):
            return False

    def slice(self, lo: int, hi: int, bytes_max: int) -> list[Entry]:
        """Entries of `[lo, hi)`, cut to `bytes_max` but at least one.

        Raises:
            CompactedLogError: `lo` is below the first index.
        """
        if lo >= hi:
            return []
        unstable = self.unstable
        if lo >= unstable.offset:
            return limit_bytes(unstable.slice(lo, hi), bytes_max)
        if lo < self.first_index():
            raise CompactedLogError
        stored_hi = min(hi, unstable.offset)
        stored = self.storage.entries(lo, stored_hi, bytes_max)
        if hi <= unstable.offset or len(stored) < stored_hi - lo:
            return stored
        return limit_bytes(stored + unstable.slice(unstable.offset, hi), bytes_max)

    def pages(self, lo: int, hi: int, bytes_max: int) -> Iterator[list[Entry]]:
        """Entries of `[lo, hi)` in pieces of at most `bytes_max`."""
        while lo < hi:
            page = self.slice(lo, hi, bytes_max)
            yield page
            lo += len(page)

    def snapshot(self) -> Snapshot:
        """The newest snapshot, stored or not.

        Raises:
            SnapshotTemporarilyUnavailableError: the storage is making one.
        """
        return self.unstable.snapshot or self.storage.snapshot()

    # -- comparing ---------------------------------------------------------------------------

    def is_up_to_date(self, index: int, term: int) -> bool:
        """Whether a log that ends with `term` at `index` is at least as new as this one."""
        return term > self.last_term or (term == self.last_term and index >= self.last_index)

    def find_agreement(self, index: int, term: int) -> tuple[int, int]:
        """The last index, at most `index`, whose term is at most `term`; and its term.

        Two logs cannot agree above it when the other one has `term` at `index`. The term is 0
        where it is not known any more, and `index` comes back as it is when it is above the log.

        Cost: one step for each entry skipped.
        """
        while True:
            try:
                found = self.term(index)
            except (CompactedLogError, UnavailableLogError):
                return index, 0
            if found <= term:
                return index, found
            index -= 1

    def find_conflict(self, entries: list[Entry]) -> int | None:
        """Position of the first of `entries` that this log does not have; None: it has all."""
        if entries and entries[0].index == self.last_index + 1:
            return 0
        for position, entry in enumerate(entries):
            if not self.has(entry.index, entry.term):
                return position
        return None

    # -- writing -----------------------------------------------------------------------------

    def append(self, entries: list[Entry]) -> None:
        """Add entries, replacing what stands at and after the first of them.

        Raises:
            LogDamagedError: a committed entry would be replaced.
        """
        if entries[0].index <= self.committed:
            raise LogDamagedError(
                f"entry {entries[0].index} of term {entries[0].term} contradicts the log, which is "
                f"committed up to {self.committed}; a member's data was lost, mixed up or changed"
            )
        self.unstable.append(entries)
        last = entries[-1]
        self.last_index, self.last_term = last.index, last.term

    def commit_to(self, index: int) -> None:
        """Entries up to `index` are committed.

        Raises:
            LogDamagedError: the log does not reach that far.
        """
        if index <= self.committed:
            return
        if index > self.last_index:
            raise LogDamagedError(
                f"index {index} is committed but the log ends at {self.last_index}; "
                "this member's data was lost, truncated or changed"
            )
        self.committed = index

    def restore(self, snapshot: Snapshot) -> None:
        """Start again behind a snapshot from the leader; it is committed."""
        metadata = snapshot.metadata
        assert metadata.index > self.committed, (metadata.index, self.committed)
        self.unstable.restore(snapshot)
        self.last_index, self.last_term = metadata.index, metadata.term
        self.committed = metadata.index

    # -- applying ----------------------------------------------------------------------------

    def _appliable_index(self) -> int:
        if self._apply_unstable:
            return self.committed
        return min(self.committed, self.unstable.offset - 1)

    @property
    def has_next_committed(self) -> bool:
        """Whether there are committed entries to hand out now."""
        if self._apply_paused or self.unstable.snapshot is not None:
            # A snapshot comes first: the state machine must not see entries from before it.
            return False
        return self.applying < self._appliable_index()

    def hand_out_committed(self) -> list[Entry]:
        """The committed entries to apply next; they count as being applied from now on."""
        if not self.has_next_committed:
            return []
        newest = self._appliable_index()
        room = self._apply_bytes_max - self.applying_bytes
        entries = self.slice(self.applying + 1, newest + 1, room)
        self.applying = entries[-1].index
        self.applying_bytes += encoded_bytes(entries)
        # When the limit cut them off, wait for what is out instead of following with crumbs.
        self._apply_paused = self.applying_bytes >= self._apply_bytes_max or self.applying < newest
        return entries

    def applied_to(self, index: int, size_bytes: int) -> None:
        """The state machine has everything up to `index`; `size_bytes` of it came this time."""
        assert self.applied <= index <= self.committed, (self.applied, index, self.committed)
        self.applied = index
        self.applying = max(self.applying, index)
        self.applying_bytes = max(0, self.applying_bytes - size_bytes)
        self._apply_paused = self.applying_bytes >= self._apply_bytes_max
