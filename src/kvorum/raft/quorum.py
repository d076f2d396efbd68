"""Majorities: what index they have acknowledged, and how they have voted.

A joint configuration needs a majority of both its halves; an empty half agrees to everything, so a
simple configuration is a joint one with an empty second half.

Source: Raft paper 5.3, 5.4 (majorities), 6 (joint consensus).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import IntEnum
from typing import Final

EVERY_INDEX: Final = 2**64 - 1
"""What an empty majority has acknowledged."""


class VoteResult(IntEnum):
    """How a vote stands."""

    PENDING = 1
    LOST = 2
    WON = 3


def majority_index(voters: Collection[int], acked: Mapping[int, int]) -> int:
    """The highest index that a majority of `voters` has acknowledged.

    Args:
        voters: ids; none of them twice.
        acked: index acknowledged by an id; 0 where it is missing.

    Cost: O(n log n).
    """
    if not voters:
        return EVERY_INDEX
    indexes = sorted([acked.get(voter, 0) for voter in voters])
    # With n voters, n // 2 + 1 of them have acknowledged what stands at this place or more.
    return indexes[(len(indexes) - 1) // 2]


def majority_vote(voters: Collection[int], votes: Mapping[int, bool]) -> VoteResult:
    """Whether a majority of `voters` said yes, or no longer can."""
    if not voters:
        return VoteResult.WON
    needed = len(voters) // 2 + 1
    granted = sum(1 for voter in voters if votes.get(voter) is True)
    refused = sum(1 for voter in voters if votes.get(voter) is False)
    if granted >= needed:
        return VoteResult.WON
    if len(voters) - refused < needed:
        return VoteResult.LOST
    return VoteResult.PENDING


def joint_index(
    incoming: Collection[int], outgoing: Collection[int], acked: Mapping[int, int]
) -> int:
    """The highest index that both majorities have acknowledged."""
    return min(majority_index(incoming, acked), majority_index(outgoing, acked))


def joint_vote(
    incoming: Collection[int], outgoing: Collection[int], votes: Mapping[int, bool]
) -> VoteResult:
    """Won when both majorities are won, lost when one is lost."""
    first, second = majority_vote(incoming, votes), majority_vote(outgoing, votes)
    if first is second:
        return first
    return VoteResult.LOST if VoteResult.LOST in (first, second) else VoteResult.PENDING
