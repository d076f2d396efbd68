"""What must hold in a cluster of cores, whatever the network and the disks do.

Each check is told of what happens and keeps what it has to remember; a violation is an
`AssertionError` that names the members and the index.

Source: Raft paper, figure 3; Raft thesis 6.4 (reads).
"""

from __future__ import annotations

from collections.abc import Iterable

from kvorum.proto.raftpb import Entry
from kvorum.raft import CompactedLogError, RawNode, StateRole

Content = tuple[int, int, bytes | None]


def _content(entry: Entry) -> Content:
    return entry.term, entry.type, entry.data


class Checks:
    """The properties of figure 3, and that reads are linearizable."""

    def __init__(self) -> None:
        self.leaders: dict[int, int] = {}
        self.entries: dict[tuple[int, int], tuple[Content, int]] = {}
        self.committed: dict[int, int] = {}
        self.applied: dict[int, Content] = {}
        self.read_floors: dict[bytes, int] = {}

    @property
    def newest_committed(self) -> int:
        return max(self.committed, default=0)

    def observe(self, node: RawNode) -> None:
        """Look at a member after it has done something."""
        raft, log = node.raft, node.raft.log
        assert log.applied <= log.applying <= log.committed <= log.last_index, node.id
        if raft.role is StateRole.LEADER:
            assert raft.lead == node.id
            known = self.leaders.setdefault(raft.term, node.id)
            assert known == node.id, f"{known} and {node.id} both lead term {raft.term}"
        else:
            assert raft.lead != node.id
        index = log.committed
        while index and index not in self.committed:
            try:
                self.committed[index] = log.term(index)
            except CompactedLogError:
                break
            index -= 1
        if log.committed:
            self._same_commit(node, log.committed)

    def _same_commit(self, node: RawNode, index: int) -> None:
        term = node.raft.log.term(index)
        assert self.committed[index] == term, f"{node.id} committed another entry at {index}"

    def became_leader(self, node: RawNode) -> None:
        """Leader completeness: what was committed is in the log of every later leader."""
        log = node.raft.log
        for index, term in self.committed.items():
            if index < log.first_index() - 1:
                continue
            assert index <= log.last_index, f"leader {node.id} lacks committed entry {index}"
            assert log.term(index) == term, f"leader {node.id} has another entry at {index}"

    def stored(self, entries: Iterable[Entry], previous_term: int) -> None:
        """Log matching: the same index and term means the same entry and the same ones before."""
        for entry in entries:
            found = (_content(entry), previous_term)
            known = self.entries.setdefault((entry.index, entry.term), found)
            assert known == found, f"two entries {entry.term}/{entry.index}: {known}, {found}"
            previous_term = entry.term

    def apply(self, member: int, entry: Entry) -> None:
        """State machine safety: every member applies the same entry at an index."""
        known = self.applied.setdefault(entry.index, _content(entry))
        assert known == _content(entry), f"{member} applies another entry at {entry.index}"

    def read_asked(self, context: bytes) -> None:
        self.read_floors[context] = self.newest_committed

    def read_answered(self, context: bytes, index: int) -> None:
        """A read sees everything that anybody may have been told before it was asked."""
        floor = self.read_floors[context]
        assert index >= floor, f"read at {index}, but {floor} was committed before it was asked"
