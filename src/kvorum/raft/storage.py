"""What the core reads back from stable storage, and an implementation of it in memory.

The core never writes: whoever drives it stores what a Ready holds (see `ready`) and answers reads.
A member on disk keeps a `MemoryStorage` beside its write-ahead log, so that reads never wait.
"""

from __future__ import annotations

from typing import Protocol

from kvorum.proto.raftpb import ConfState, Entry, HardState, Snapshot, SnapshotMetadata
from kvorum.raft.errors import (
    CompactedLogError,
    SnapshotOutOfDateError,
    UnavailableLogError,
)
from kvorum.raft.sizes import limit_bytes


class Storage(Protocol):
    """Read access to what has been stored. Called on the thread that drives the core."""

    def initial_state(self) -> tuple[HardState, ConfState]:
        """What was saved before the start; called once."""
        ...

    def entries(self, lo: int, hi: int, max_size: int) -> list[Entry]:
        """Entries of `[lo, hi)`, cut to `max_size` encoded bytes but at least one.

        Raises:
            CompactedLogError: `lo` is below the first index.
            UnavailableLogError: `hi` is above the last index + 1.
        """
        ...

    def term(self, index: int) -> int:
        """Term of an entry in `[first_index - 1, last_index]`.

        Raises:
            CompactedLogError: `index` is below that range.
            UnavailableLogError: `index` is above it.
        """
        ...

    def first_index(self) -> int:
        """Index of the oldest entry still there (it need not exist yet)."""
        ...

    def last_index(self) -> int:
        """Index of the newest entry, or of the snapshot below when there is none."""
        ...

    def snapshot(self) -> Snapshot:
        """The newest snapshot.

        Raises:
            SnapshotTemporarilyUnavailableError: it is being made; the core asks again.
        """
        ...


class MemoryStorage:
    """`Storage` in memory. Appending costs O(appended), reading O(read), compacting O(kept)."""

    __slots__ = (
        "_base_index",
        "_base_term",
        "_entries",
        "_hard_state",
        "_snapshot",
    )

    def __init__(self, conf_state: ConfState | None = None) -> None:
        """Start empty.

        Args:
            conf_state: the configuration that a state machine without a snapshot has applied.
        """
        self._hard_state = HardState()
        self._snapshot = Snapshot()
        if conf_state is not None:
            self._snapshot.metadata.conf_state = conf_state
        # The entry just below the first one: compacted, or the snapshot's last; its term is known.
        self._base_index = 0
        self._base_term = 0
        self._entries: list[Entry] = []

    def initial_state(self) -> tuple[HardState, ConfState]:
        return self._hard_state, self._snapshot.metadata.conf_state

    def first_index(self) -> int:
        return self._base_index + 1

    def last_index(self) -> int:
        return self._base_index + len(self._entries)

    def snapshot(self) -> Snapshot:
        return self._snapshot

    def term(self, index: int) -> int:
        position = index - self._base_index - 1
        if position < 0:
            if position == -1:
                return self._base_term
            raise CompactedLogError
        if position >= len(self._entries):
            raise UnavailableLogError
        return self._entries[position].term

    def entries(self, lo: int, hi: int, max_size: int) -> list[Entry]:
        first = self._base_index + 1
        if lo < first:
            raise CompactedLogError
        if hi > first + len(self._entries):
            raise UnavailableLogError
        return limit_bytes(self._entries[lo - first : hi - first], max_size)

    def set_hard_state(self, hard_state: HardState) -> None:
        """Take over the newest hard state. Raises nothing."""
        self._hard_state = hard_state

    def append(self, entries: list[Entry]) -> None:
        """Add entries, replacing what stands at and after the first of them.

        Entries that are compacted already are skipped. `entries` is not kept.

        Raises:
            UnavailableLogError: there would be a gap before the first entry.
        """
        if not entries:
            return
        position = entries[0].index - self._base_index - 1
        if position == len(self._entries):
            self._entries.extend(entries)
        elif position > len(self._entries):
            raise UnavailableLogError
        elif position >= 0:
            self._entries[position:] = entries
        elif position + len(entries) > 0:
            self._entries = entries[-position:]

    def apply_snapshot(self, snapshot: Snapshot) -> None:
        """Take over a snapshot that came from the leader; every entry is dropped.

        Raises:
            SnapshotOutOfDateError: the storage has one that is as new.
        """
        if snapshot.metadata.index <= self._snapshot.metadata.index:
            raise SnapshotOutOfDateError
        self._snapshot = snapshot
        self._base_index = snapshot.metadata.index
        self._base_term = snapshot.metadata.term
        self._entries = []

    def create_snapshot(
        self, index: int, conf_state: ConfState | None, data: bytes | None
    ) -> Snapshot:
        """Record a snapshot of the applied state at `index`; entries stay until `compact`.

        Args:
            index: the newest entry that `data` covers.
            conf_state: the configuration there; None keeps that of the snapshot before.
            data: opaque to the core.

        Raises:
            SnapshotOutOfDateError: the storage has one that is as new.
            UnavailableLogError: `index` is above the last index.
        """
        if index <= self._snapshot.metadata.index:
            raise SnapshotOutOfDateError
        if conf_state is None:
            conf_state = self._snapshot.metadata.conf_state
        metadata = SnapshotMetadata(conf_state=conf_state, index=index, term=self.term(index))
        self._snapshot = Snapshot(data=data, metadata=metadata)
        return self._snapshot

    def compact(self, index: int) -> None:
        """Drop the entries up to and with `index`. Never compact above what is applied.

        Raises:
            CompactedLogError: it was done already.
            UnavailableLogError: `index` is above the last index.
        """
        if index <= self._base_index:
            raise CompactedLogError
        self._base_term = self.term(index)
        del self._entries[: index - self._base_index]
        self._base_index = index
