"""Who votes and who learns: one configuration, as a value.

Invariants, checked when one is made
    M1  a learner votes in neither half
    M2  who is to become a learner votes in the outgoing half (and will not in the incoming one)
    M3  without an outgoing half nobody waits to become a learner, and there is nothing to leave

Source: Raft thesis 4 (membership), 4.2.1 (learners as non-voting members), 4.3 (joint consensus).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kvorum.proto.raftpb import ConfState
from kvorum.raft.quorum import VoteResult, joint_index, joint_vote

EMPTY: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Configuration:
    """Members by their part.

    Attributes:
        voters: the voters; while joint, those of the configuration being entered.
        outgoing: the voters of the configuration being left; empty unless joint.
        learners: receive the log and do not vote.
        learners_next: voters of `outgoing` that become learners when it has been left.
        auto_leave: the leader leaves the joint configuration by itself.
    """

    voters: frozenset[int] = EMPTY
    outgoing: frozenset[int] = EMPTY
    learners: frozenset[int] = EMPTY
    learners_next: frozenset[int] = EMPTY
    auto_leave: bool = False

    def __post_init__(self) -> None:
        assert not self.learners & self.all_voters, self  # M1
        assert self.learners_next <= self.outgoing, self  # M2
        assert not self.learners_next & self.voters, self  # M2
        assert self.outgoing or not self.auto_leave, self  # M3

    @property
    def is_joint(self) -> bool:
        return bool(self.outgoing)

    @property
    def all_voters(self) -> frozenset[int]:
        """Who votes in either half."""
        return self.voters | self.outgoing if self.outgoing else self.voters

    @property
    def members(self) -> frozenset[int]:
        """Everybody who receives the log."""
        return self.all_voters | self.learners

    def committed(self, acked: Mapping[int, int]) -> int:
        """The highest index that a quorum has acknowledged."""
        return joint_index(self.voters, self.outgoing, acked)

    def vote_result(self, votes: Mapping[int, bool]) -> VoteResult:
        return joint_vote(self.voters, self.outgoing, votes)

    def conf_state(self) -> ConfState:
        return ConfState(
            voters=sorted(self.voters),
            learners=sorted(self.learners),
            voters_outgoing=sorted(self.outgoing),
            learners_next=sorted(self.learners_next),
            auto_leave=self.auto_leave,
        )

    def __str__(self) -> str:
        """As etcd's log lines write it: `voters=(1 2)&&(1) learners=(3) autoleave`."""
        text = f"voters={_ids(self.voters)}"
        if self.outgoing:
            text += f"&&{_ids(self.outgoing)}"
        if self.learners:
            text += f" learners={_ids(self.learners)}"
        if self.learners_next:
            text += f" learners_next={_ids(self.learners_next)}"
        return text + " autoleave" if self.auto_leave else text


def _ids(ids: Iterable[int]) -> str:
    return f"({' '.join(str(member) for member in sorted(ids))})"
