"""What a member does while it stands for election, with or without pre-vote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvorum.proto.raftpb import Message, MessageType
from kvorum.raft import follower, replication
from kvorum.raft.config import NOBODY
from kvorum.raft.election import Campaign, campaign
from kvorum.raft.errors import DropReason, ProposalDroppedError
from kvorum.raft.quorum import VoteResult
from kvorum.raft.ready import StateRole
from kvorum.raft.trace import TraceKind

if TYPE_CHECKING:
    from kvorum.raft.core import Raft


def step(raft: Raft, message: Message) -> None:
    """Take in a message of this member's term."""
    kind = message.type
    if kind == MessageType.PROP:
        raise ProposalDroppedError(DropReason.CAMPAIGNING)
    if kind in follower.FROM_LEADER:
        # Somebody else has won the term (or leads it still, during a pre-vote).
        raft.follow(message.from_)
        follower.step(raft, message)
    elif kind == _awaited_answer(raft):
        _count_vote(raft, message)
    else:
        # Also the answers to a pre-vote that is over, and a leader's wish that this member
        # campaign: it does.
        raft.ignore(message, "candidate")


def _awaited_answer(raft: Raft) -> MessageType:
    pre = raft.role is StateRole.PRE_CANDIDATE
    return MessageType.PRE_VOTE_RESP if pre else MessageType.VOTE_RESP


def _count_vote(raft: Raft, message: Message) -> None:
    tracker = raft.tracker
    tracker.record_vote(message.from_, not message.reject)
    granted, refused, result = tracker.tally()
    raft.emit(
        TraceKind.VOTE_COUNTED,
        sender=message.from_,
        granted=not message.reject,
        granted_count=granted,
        refused_count=refused,
    )
    if result is VoteResult.LOST:
        # A refusal of the pre-vote carries the voter's term, which is this member's or higher (and
        # then it has become follower by that); so the term stays.
        raft.become_follower(raft.term, NOBODY)
    elif result is VoteResult.WON:
        if raft.role is StateRole.PRE_CANDIDATE:
            campaign(raft, Campaign.ELECTION)
        else:
            raft.become_leader()
            replication.broadcast_append(raft)
