"""Standing for election, and answering those who do.

An election is asked for by the timeout, by the driver, or by a leader that hands over. With
pre-vote it begins by asking whether it could be won: a member that was cut off does not raise the
term of a cluster that works without it.

Source: Raft paper 5.2, 5.4.1; Raft thesis 3.10 (transfer), 4.2.3 (disruptive servers), 9.6.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from kvorum.proto.raftpb import EntryType, Message, MessageType
from kvorum.raft.config import NOBODY
from kvorum.raft.ready import StateRole
from kvorum.raft.trace import TraceKind

if TYPE_CHECKING:
    from kvorum.raft.core import Raft

TRANSFER_CONTEXT: Final = b"CampaignTransfer"
"""Context of a vote that the old leader asked for. Source: shared facts, peer.md section 8."""

_CONF_CHANGE_TYPES = frozenset({EntryType.CONF_CHANGE, EntryType.CONF_CHANGE_V2})


class Campaign(StrEnum):
    """What kind of election is stood for."""

    PRE_ELECTION = "pre-election"
    ELECTION = "election"
    TRANSFER = "transfer"


TURN_TICKS: Final = 2
"""What a member that has lost its leader waits for the one whose turn it is before."""


def tick(raft: Raft) -> None:
    """A tick without leading: campaign when the timeout has run out."""
    raft.election_elapsed += 1
    timeout = raft.randomized_election_timeout
    if raft.leader_lost:
        timeout = min(timeout, _turn(raft))
    if raft.election_elapsed >= timeout and raft.promotable:
        raft.election_elapsed = 0
        raft.leader_lost = False  # should this come to nothing, the next one is by chance again
        start(raft, first_campaign(raft))


def _turn(raft: Raft) -> int:
    """Ticks after which this member campaigns when the connection to the leader has broken.

    Chance keeps the members from campaigning at once. Where all have noticed, they can take turns
    instead, by their ids, from when on votes are given (`is_withheld`; the others may be a tick
    behind). It costs nothing when somebody has not noticed, or cannot win: the others follow.
    """
    others = raft.tracker.config.all_voters - {raft.lead}
    rank = sum(voter < raft.id for voter in others)
    return raft.config.election_tick + 1 + TURN_TICKS * rank


def first_campaign(raft: Raft) -> Campaign:
    """How an election begins that no leader asked for."""
    return Campaign.PRE_ELECTION if raft.config.pre_vote else Campaign.ELECTION


def start(raft: Raft, kind: Campaign) -> None:
    """Stand for election, unless this member must not."""
    reason = None
    if raft.role is StateRole.LEADER:
        reason = "already leader"
    elif not raft.promotable:
        reason = "not a voter, or a snapshot is being stored"
    elif _has_unapplied_change(raft):
        # By the configuration that is committed it might be no voter, or need other votes.
        reason = "a committed configuration change is not applied"
    if reason is not None:
        raft.emit(TraceKind.CAMPAIGN_REFUSED, reason=reason)
        return
    raft.emit(TraceKind.CAMPAIGN_STARTED, campaign=kind)
    campaign(raft, kind)


def _has_unapplied_change(raft: Raft) -> bool:
    log = raft.log
    pages = log.pages(log.applied + 1, log.committed + 1, raft.config.apply_bytes_max)
    return any(entry.type in _CONF_CHANGE_TYPES for page in pages for entry in page)


def campaign(raft: Raft, kind: Campaign) -> None:
    """Ask every voter for its vote, this member itself by way of its storage."""
    if kind is Campaign.PRE_ELECTION:
        raft.become_pre_candidate()
        term = raft.term + 1
        ask, answer_ = MessageType.PRE_VOTE, MessageType.PRE_VOTE_RESP
    else:
        raft.become_candidate()
        term = raft.term
        ask, answer_ = MessageType.VOTE, MessageType.VOTE_RESP
    context = TRANSFER_CONTEXT if kind is Campaign.TRANSFER else None
    for voter in sorted(raft.tracker.config.all_voters):
        if voter == raft.id:
            # Counts when it comes back: the vote has to be stored first.
            raft.send(Message(answer_, voter, term=term))
            continue
        raft.send(
            Message(
                ask,
                voter,
                term=term,
                index=raft.log.last_index,
                log_term=raft.log.last_term,
                context=context,
            )
        )


def is_withheld(raft: Raft, message: Message) -> bool:
    """Whether a vote is not even considered, because the leader was heard a short while ago.

    Source: Raft thesis 4.2.3; needs check-quorum, without which a leader that has lost its quorum
    would be kept alive so.
    """
    return (
        raft.config.check_quorum
        and raft.lead != NOBODY
        and raft.election_elapsed < raft.config.election_tick
        and message.context != TRANSFER_CONTEXT
    )


def answer(raft: Raft, message: Message) -> None:
    """Grant or refuse a vote, in any role.

    A learner votes, too: that it is asked means that it is a voter in a newer configuration than
    it knows, and without it there might be no quorum (etcd issue 10998).
    """
    pre_vote = message.type == MessageType.PRE_VOTE
    answer_ = MessageType.PRE_VOTE_RESP if pre_vote else MessageType.VOTE_RESP
    free = (
        raft.vote == message.from_
        or (raft.vote == NOBODY and raft.lead == NOBODY)
        or (pre_vote and message.term > raft.term)
    )
    granted = free and raft.log.is_up_to_date(message.index, message.log_term)
    raft.emit(
        TraceKind.VOTE_GRANTED if granted else TraceKind.VOTE_REFUSED,
        to=message.from_,
        type=message.type,
        log_term=message.log_term,
        index=message.index,
    )
    if not granted:
        raft.send(Message(answer_, message.from_, term=raft.term, reject=True))
        return
    # With the term that was asked for: a pre-vote's is above this member's, and the candidate
    # would take an answer with the old term for a late one.
    raft.send(Message(answer_, message.from_, term=message.term))
    if not pre_vote:
        raft.cast_vote(message.from_)
