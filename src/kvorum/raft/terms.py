"""What a message means that comes from another term than this member's.

Source: Raft paper, figure 2 (rules for all servers); Raft thesis 4.2.3 and 9.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvorum.proto.raftpb import Message, MessageType
from kvorum.raft import election
from kvorum.raft.config import NOBODY
from kvorum.raft.follower import FROM_LEADER
from kvorum.raft.trace import TraceKind

if TYPE_CHECKING:
    from kvorum.raft.core import Raft

# A peer cannot say these without having reached a term.
_TERM_REQUIRED = FROM_LEADER | {MessageType.TIMEOUT_NOW, MessageType.VOTE, MessageType.PRE_VOTE}
_VOTE = MessageType.VOTE
_PRE_VOTE = MessageType.PRE_VOTE
_PRE_VOTE_RESP = MessageType.PRE_VOTE_RESP


def settle(raft: Raft, message: Message) -> bool:
    """Bring the terms together. False: the message is dealt with.

    Messages without a term are the driver's own, or are sent on to whoever leads.
    """
    if not message.term:
        if message.type in _TERM_REQUIRED:
            raft.ignore(message, "no term")
            return False
        return True
    if message.term > raft.term:
        return _meet_higher(raft, message)
    _meet_lower(raft, message)
    return False


def _meet_higher(raft: Raft, message: Message) -> bool:
    kind = message.type
    if kind in {_VOTE, _PRE_VOTE} and election.is_withheld(raft, message):
        raft.emit(TraceKind.VOTE_IGNORED, sender=message.from_, type=kind)
        return False
    if kind == _PRE_VOTE or (kind == _PRE_VOTE_RESP and not message.reject):
        # Asked, or granted, for a term that nobody has reached yet. A refusal, though, carries the
        # term of a member that is ahead.
        return True
    raft.emit(
        TraceKind.HIGHER_TERM_SEEN, sender=message.from_, type=kind, message_term=message.term
    )
    raft.become_follower(message.term, message.from_ if kind in FROM_LEADER else NOBODY)
    return True


def _meet_lower(raft: Raft, message: Message) -> None:
    kind = message.type
    config = raft.config
    if kind in {MessageType.APP, MessageType.HEARTBEAT} and (
        config.check_quorum or config.pre_vote
    ):
        # This member is in a higher term and cannot win an election there: those who hear the old
        # leader ignore it, or refuse to vote. The answer makes the old leader step down, and the
        # election that follows brings the terms together (Raft thesis 9.6).
        raft.send(Message(MessageType.APP_RESP, message.from_))
    elif kind == _PRE_VOTE:
        # A member with a lower term but a newer log would otherwise ask for ever, and one with the
        # higher term never win: tell it the term.
        raft.send(Message(_PRE_VOTE_RESP, message.from_, term=raft.term, reject=True))
    elif kind == MessageType.STORAGE_APPEND_RESP and message.snapshot is not None:
        # Entries may have been overwritten since by another term's, a snapshot cannot.
        raft.snapshot_stored(message.snapshot)
    else:
        raft.ignore(message, "lower term")
