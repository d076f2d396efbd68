from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from kvorum.raft.quorum import (
    EVERY_INDEX,
    VoteResult,
    joint_index,
    joint_vote,
    majority_index,
    majority_vote,
)

_ids = st.sets(st.integers(1, 7), max_size=7)
_acked = st.dictionaries(st.integers(1, 7), st.integers(0, 20))
_votes = st.dictionaries(st.integers(1, 7), st.booleans())


def naive_index(voters: set[int], acked: dict[int, int]) -> int:
    """The highest index that more than half of the voters have."""
    indexes = [index for index in range(21) if _majority_has(voters, acked, index)]
    return max(indexes)


def _majority_has(voters: set[int], acked: dict[int, int], index: int) -> bool:
    return 2 * sum(1 for voter in voters if acked.get(voter, 0) >= index) > len(voters)


@given(voters=_ids.filter(bool), acked=_acked)
def test_a_majority_has_what_more_than_half_have(voters: set[int], acked: dict[int, int]) -> None:
    assert majority_index(voters, acked) == naive_index(voters, acked)


@given(first=_ids, second=_ids, acked=_acked)
def test_a_joint_quorum_has_what_both_majorities_have(
    first: set[int], second: set[int], acked: dict[int, int]
) -> None:
    expected = min(
        naive_index(voters, acked) if voters else EVERY_INDEX for voters in (first, second)
    )
    assert joint_index(first, second, acked) == expected


@given(voters=_ids.filter(bool), votes=_votes)
def test_a_vote_is_decided_exactly_when_no_outstanding_vote_can_change_it(
    voters: set[int], votes: dict[int, bool]
) -> None:
    open_voters = [voter for voter in voters if voter not in votes]
    outcomes = set()
    for answers in product((True, False), repeat=len(open_voters)):
        all_votes = votes | dict(zip(open_voters, answers, strict=True))
        yes = sum(1 for voter in voters if all_votes[voter])
        outcomes.add(VoteResult.WON if 2 * yes > len(voters) else VoteResult.LOST)
    expected = outcomes.pop() if len(outcomes) == 1 else VoteResult.PENDING
    assert majority_vote(voters, votes) is expected


@given(first=_ids, second=_ids, votes=_votes)
def test_a_joint_vote_needs_both_and_is_lost_with_either(
    first: set[int], second: set[int], votes: dict[int, bool]
) -> None:
    results = {majority_vote(first, votes), majority_vote(second, votes)}
    result = joint_vote(first, second, votes)
    assert (result is VoteResult.WON) == (results == {VoteResult.WON})
    assert (result is VoteResult.LOST) == (VoteResult.LOST in results)


def test_an_empty_majority_agrees_to_everything() -> None:
    assert majority_index((), {1: 5}) == EVERY_INDEX
    assert majority_vote((), {1: False}) is VoteResult.WON
