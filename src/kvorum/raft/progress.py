"""What a leader knows of one member's log, and whether it may send more of its own.

States
    PROBE      where the logs part is not known; one message, then wait for its answer or a
               heartbeat's
    REPLICATE  the logs agree; entries are streamed within the window
    SNAPSHOT   a snapshot is on its way; nothing is sent until it has arrived or failed

Invariants
    P1  0 <= match < next
    P2  pending_snapshot is 0 but in SNAPSHOT
    P3  the window is empty but in REPLICATE

Source: Raft paper 5.3 (nextIndex, matchIndex); Raft thesis 10.2.1 (pipelining).
"""

from __future__ import annotations

from enum import IntEnum

from kvorum.raft.inflights import Inflights


class ProgressState(IntEnum):
    """How a leader sends to a member."""

    PROBE = 0
    REPLICATE = 1
    SNAPSHOT = 2


class Progress:
    """One member, as its leader sees it.

    Attributes:
        match: the last index where the member's log is known to be the leader's.
        next: the first index that was not sent yet.
        sent_commit: the commit index that the last message told.
        pending_snapshot: index of the snapshot on its way, or 0.
        recent_active: heard from since the last check of the quorum.
        waiting: nothing is sent until an answer comes (not asked in SNAPSHOT).
        inflights: messages with entries that were not answered.
        is_learner: receives the log and does not vote.
    """

    __slots__ = (
        "inflights",
        "is_learner",
        "match",
        "next",
        "pending_snapshot",
        "recent_active",
        "sent_commit",
        "state",
        "waiting",
    )

    def __init__(
        self, next_index: int, inflights: Inflights, *, is_learner: bool, recent_active: bool
    ) -> None:
        self.match = 0
        self.next = next_index
        self.state = ProgressState.PROBE
        self.sent_commit = 0
        self.pending_snapshot = 0
        self.recent_active = recent_active
        self.waiting = False
        self.inflights = inflights
        self.is_learner = is_learner

    def restart(self, last_index: int) -> None:
        """Forget everything: a new term begins and `last_index` ends the leader's log."""
        self.match = 0
        self.next = last_index + 1
        self.sent_commit = 0
        self.recent_active = False
        self._enter(ProgressState.PROBE)

    @property
    def paused(self) -> bool:
        """Whether nothing may be sent now."""
        return self.waiting or self.state is ProgressState.SNAPSHOT

    def become_probe(self) -> None:
        """Look again for the place where the logs agree."""
        # After a snapshot that arrived, the answer may still be on its way: start behind it.
        self.next = max(self.match, self.pending_snapshot) + 1
        self.sent_commit = min(self.sent_commit, self.next - 1)
        self._enter(ProgressState.PROBE)

    def become_replicate(self) -> None:
        """The logs agree up to `match`: stream from there."""
        self.next = self.match + 1
        self._enter(ProgressState.REPLICATE)

    def become_snapshot(self, index: int) -> None:
        """A snapshot that ends at `index` was sent."""
        self.next = index + 1
        self.sent_commit = index
        self._enter(ProgressState.SNAPSHOT)
        self.pending_snapshot = index

    def snapshot_failed(self) -> None:
        """The snapshot did not arrive: go back to where the member's log is known."""
        assert self.state is ProgressState.SNAPSHOT, self.state
        self.pending_snapshot = 0
        self.become_probe()

    def sent(self, entry_count: int, size_bytes: int, commit: int) -> None:
        """A MsgApp with so many entries, of so many payload bytes, was sent."""
        if self.state is ProgressState.REPLICATE:
            if entry_count:
                self.next += entry_count
                self.inflights.add(self.next - 1, size_bytes)
            # A message into a full window is a probe of whether the window was lost on the way.
            self.waiting = self.inflights.full
        elif entry_count:
            self.waiting = True
        self.sent_commit = commit

    def acknowledge(self, index: int) -> bool:
        """The member has the leader's log up to `index`. False: that was known."""
        if index <= self.match:
            return False
        self.match = index
        if self.next <= index:
            self.next = index + 1
        self.waiting = False
        return True

    def refuse(self, index: int, hint: int) -> bool:
        """The member refused entries behind `index`; at most `hint` can agree. False: old news."""
        if self.state is ProgressState.SNAPSHOT:
            return False
        if self.state is ProgressState.REPLICATE:
            if index <= self.match:
                return False
            self.next = self.match + 1
        else:
            # Only the answer to the probe that is out counts: it stood at next - 1.
            if index != self.next - 1:
                return False
            self.next = max(min(index, hint + 1), self.match + 1)
            self.waiting = False
        self.sent_commit = min(self.sent_commit, self.next - 1)
        assert self.match < self.next, (self.match, self.next)  # P1
        return True

    def can_learn_commit(self, commit: int) -> bool:
        """Whether a message without entries would tell the member a newer commit index."""
        return self.sent_commit < commit and self.sent_commit < self.next - 1

    def _enter(self, state: ProgressState) -> None:
        self.state = state
        self.waiting = False
        self.pending_snapshot = 0
        self.inflights.clear()
        assert self.match < self.next, (self.match, self.next)  # P1
