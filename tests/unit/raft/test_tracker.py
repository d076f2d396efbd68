from __future__ import annotations

from kvorum.raft import NO_LIMIT, Configuration
from kvorum.raft.quorum import VoteResult
from kvorum.raft.tracker import Tracker


def tracker(self_id: int = 1, **parts: set[int]) -> Tracker:
    made = Tracker(self_id, 10, NO_LIMIT)
    made.install(Configuration(**{name: frozenset(ids) for name, ids in parts.items()}), 5)
    return made


def test_there_is_a_progress_for_every_member_and_no_other() -> None:
    made = tracker(voters={1, 2}, outgoing={1, 3}, learners={4})
    assert set(made.progress) == {1, 2, 3, 4}
    assert [member for member, _ in made.peers] == [2, 3, 4]
    assert made.progress[4].is_learner
    made.install(Configuration(voters=frozenset({1, 2})), 9)
    assert set(made.progress) == {1, 2}


def test_progress_survives_a_change_of_the_configuration() -> None:
    made = tracker(voters={1, 2, 3})
    made.progress[2].acknowledge(5)
    made.install(Configuration(voters=frozenset({1, 3}), learners=frozenset({2})), 9)
    assert made.progress[2].match == 5
    assert made.progress[2].is_learner
    made.install(Configuration(voters=frozenset({1, 2, 3})), 9)
    assert not made.progress[2].is_learner


def test_a_new_member_is_probed_from_the_end_of_the_log() -> None:
    made = tracker(voters={1})
    made.install(Configuration(voters=frozenset({1, 2})), 17)
    assert made.progress[2].next == 17
    assert made.progress[2].recent_active, "it must not count against the quorum at once"


def test_a_quorum_commits() -> None:
    made = tracker(voters={1, 2, 3}, learners={4})
    for member, index in ((1, 9), (2, 7), (3, 3), (4, 9)):
        made.progress[member].acknowledge(index)
    assert made.committed_index() == 7


def test_a_single_voter_commits_alone() -> None:
    made = tracker(voters={1}, learners={2})
    made.progress[1].acknowledge(8)
    assert made.committed_index() == 8
    assert made.is_singleton


def test_a_removed_leader_is_no_quorum_although_one_voter_is_left() -> None:
    """It would answer reads by itself while the voter elects itself and goes on (found by seed)."""
    made = tracker(self_id=3, voters={2})
    made.progress[2].acknowledge(4)
    assert not made.is_singleton
    assert made.committed_index() == 4


def test_a_joint_configuration_is_no_single_voter() -> None:
    assert not tracker(voters={1}, outgoing={1}).is_singleton


def test_the_quorum_is_active_when_enough_were_heard_since_the_last_question() -> None:
    made = tracker(voters={1, 2, 3, 4, 5})
    assert made.quorum_active(), "new members count as heard"
    assert not made.quorum_active()
    made.progress[2].recent_active = made.progress[3].recent_active = True
    assert made.quorum_active(), "with the asking member three of five"
    made.progress[2].recent_active = True
    assert not made.quorum_active()


def test_the_first_vote_of_a_voter_stands_and_others_do_not_count() -> None:
    made = tracker(voters={1, 2, 3}, learners={4})
    made.record_vote(2, True)
    made.record_vote(2, False)
    made.record_vote(4, True)
    made.record_vote(9, True)
    assert made.tally() == (1, 0, VoteResult.PENDING)
    made.record_vote(1, True)
    assert made.tally() == (2, 0, VoteResult.WON)


def test_a_new_term_keeps_only_what_this_member_has_itself() -> None:
    made = tracker(voters={1, 2, 3})
    made.progress[2].acknowledge(5)
    made.record_vote(2, True)
    made.restart(6)
    assert (made.progress[1].match, made.progress[2].match) == (6, 0)
    assert made.votes == {}
