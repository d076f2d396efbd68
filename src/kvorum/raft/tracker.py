"""The members as this one sees them: configuration, a leader's progress of each, votes.

Invariants
    T1  there is a progress for each member of the configuration, and no other
    T2  `peers` are the progresses of the others, by ascending id
"""

from __future__ import annotations

from kvorum.raft.inflights import Inflights
from kvorum.raft.membership import Configuration
from kvorum.raft.progress import Progress
from kvorum.raft.quorum import VoteResult


class Tracker:
    """Configuration and progress. Votes are those of the election under way."""

    __slots__ = (
        "_inflight_bytes_max",
        "_inflight_count_max",
        "_only_voter",
        "_own",
        "_self_id",
        "config",
        "peers",
        "progress",
        "votes",
    )

    def __init__(self, self_id: int, inflight_count_max: int, inflight_bytes_max: int) -> None:
        self._self_id = self_id
        self._inflight_count_max = inflight_count_max
        self._inflight_bytes_max = inflight_bytes_max
        self.config = Configuration()
        self.progress: dict[int, Progress] = {}
        self.peers: list[tuple[int, Progress]] = []
        self.votes: dict[int, bool] = {}
        self._only_voter: Progress | None = None
        self._own: Progress | None = None

    def install(self, config: Configuration, last_index: int) -> None:
        """Take over a configuration; progress of members that stay is kept.

        A new member is probed from `last_index`, the end of the leader's log: going back by its
        hints is cheaper than starting with a log that it may have.
        """
        progress = {}
        for member in sorted(config.members):
            known = self.progress.get(member)
            if known is None:
                known = Progress(
                    max(last_index, 1),
                    Inflights(self._inflight_count_max, self._inflight_bytes_max),
                    is_learner=False,
                    # It cannot have been heard yet; that must not depose the leader.
                    recent_active=True,
                )
            known.is_learner = member in config.learners
            progress[member] = known
        self.config, self.progress = config, progress
        self.peers = [item for item in progress.items() if item[0] != self._self_id]
        self._own = progress.get(self._self_id)
        self._only_voter = None
        if not config.is_joint and len(config.voters) == 1:
            self._only_voter = progress[next(iter(config.voters))]

    def restart(self, last_index: int) -> None:
        """Forget progress and votes: a new term begins."""
        self.votes = {}
        for member, progress in self.progress.items():
            progress.restart(last_index)
            if member == self._self_id:
                progress.match = last_index

    @property
    def is_singleton(self) -> bool:
        """Whether this member alone is a quorum.

        A leader that was removed, and left one voter behind, is not: it must ask that one.
        """
        return self._only_voter is not None and self._only_voter is self._own

    def committed_index(self) -> int:
        """The highest index that a quorum has."""
        if self._only_voter is not None:
            return self._only_voter.match
        return self.config.committed({id_: known.match for id_, known in self.progress.items()})

    def quorum_active(self) -> bool:
        """Whether a quorum was heard since it was asked last, the asking member counted in."""
        active = {id_: known.recent_active for id_, known in self.progress.items()}
        if self._self_id in active:
            active[self._self_id] = True
        for _, known in self.peers:
            known.recent_active = False
        return self.config.vote_result(active) is VoteResult.WON

    def record_vote(self, voter: int, granted: bool) -> None:
        """Count a vote; the first of a voter stands."""
        self.votes.setdefault(voter, granted)

    def tally(self) -> tuple[int, int, VoteResult]:
        """Votes granted and refused by voters, and what that means."""
        counted = [self.votes[voter] for voter in self.config.all_voters if voter in self.votes]
        granted = sum(counted)
        return granted, len(counted) - granted, self.config.vote_result(self.votes)
