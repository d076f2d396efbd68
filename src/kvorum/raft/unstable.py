"""The tail of the log that stable storage does not hold yet.

Entries go through two marks: first a Ready hands them out to be stored (in progress), later the
storage says that they are stored, and they leave this tail. Between the two they can be replaced by
those of another leader; what was handed out before then is overwritten in storage by what is
handed out after.

Invariants
    U1  entries[i].index == offset + i
    U2  offset <= offset_in_progress <= offset + len(entries)
    U3  a snapshot, if there is one, ends at offset - 1
"""

from __future__ import annotations

from kvorum.proto.raftpb import Entry, Snapshot


class Unstable:
    """Entries from `offset` on, and a snapshot below them that is to be stored first.

    Attributes:
        offset: index of the first entry here, or of the next one when there is none.
        offset_in_progress: entries below it were handed out.
        entries: never handed out itself, only slices of it.
        snapshot: came from the leader and is not stored yet.
        snapshot_in_progress: it was handed out.
    """

    __slots__ = ("entries", "offset", "offset_in_progress", "snapshot", "snapshot_in_progress")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.offset_in_progress = offset
        self.entries: list[Entry] = []
        self.snapshot: Snapshot | None = None
        self.snapshot_in_progress = False

    def term(self, index: int) -> int | None:
        """Term of an entry here, or of the snapshot's end; None for what is not here."""
        position = index - self.offset
        if position >= 0:
            return self.entries[position].term if position < len(self.entries) else None
        if self.snapshot is not None and position == -1:
            return self.snapshot.metadata.term
        return None

    def slice(self, lo: int, hi: int) -> list[Entry]:
        """Entries of `[lo, hi)`, all of which are here."""
        assert self.offset <= lo <= hi <= self.offset + len(self.entries), (lo, hi)
        return self.entries[lo - self.offset : hi - self.offset]

    @property
    def has_next(self) -> bool:
        """Whether there are entries that were not handed out."""
        return self.offset_in_progress < self.offset + len(self.entries)

    def next_entries(self) -> list[Entry]:
        """The entries that were not handed out."""
        return self.entries[self.offset_in_progress - self.offset :]

    def next_snapshot(self) -> Snapshot | None:
        """The snapshot, if it was not handed out."""
        return None if self.snapshot_in_progress else self.snapshot

    def hand_out(self) -> None:
        """Everything here is being stored now."""
        self.offset_in_progress = self.offset + len(self.entries)
        self.snapshot_in_progress = self.snapshot is not None

    def stored_to(self, index: int, term: int) -> bool:
        """Entries up to `index`, of `term`, are stored. False: that says nothing of what is here.

        An entry that was replaced since by one of another term is stored indeed, but not the one
        that counts; forgetting ours would show readers the other (the ABA case: etcd-io/raft).
        """
        position = index - self.offset
        if position < 0 or position >= len(self.entries) or self.entries[position].term != term:
            return False
        del self.entries[: position + 1]
        self.offset = index + 1
        self.offset_in_progress = max(self.offset_in_progress, self.offset)
        return True

    def snapshot_stored(self, index: int) -> None:
        """The snapshot that ends at `index` is stored."""
        if self.snapshot is not None and self.snapshot.metadata.index == index:
            self.snapshot = None
            self.snapshot_in_progress = False

    def restore(self, snapshot: Snapshot) -> None:
        """Start again behind a snapshot."""
        self.offset = self.offset_in_progress = snapshot.metadata.index + 1
        self.entries = []
        self.snapshot = snapshot
        self.snapshot_in_progress = False

    def append(self, entries: list[Entry]) -> None:
        """Add entries that follow the last one here, or replace what stands in their place."""
        first = entries[0].index
        position = first - self.offset
        if position == len(self.entries):
            self.entries.extend(entries)
        elif position <= 0:
            # Also what is stored already is replaced, from further back than this tail reaches.
            self.entries = list(entries)
            self.offset = self.offset_in_progress = first
        else:
            assert position < len(self.entries), (first, self.offset)
            self.entries[position:] = entries
            # What is replaced must be handed out again.
            self.offset_in_progress = min(self.offset_in_progress, first)
