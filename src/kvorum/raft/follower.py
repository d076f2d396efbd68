"""What a follower, or a learner, does: take the leader's log, and send on what is the leader's.

Source: Raft paper 5.3, figure 2 (AppendEntries), figure 13 (InstallSnapshot).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kvorum.proto.raftpb import Message, MessageType, Snapshot
from kvorum.raft import election
from kvorum.raft.confchange import configuration_of
from kvorum.raft.config import NOBODY
from kvorum.raft.errors import (
    ConfChangeError,
    DropReason,
    MalformedMessageError,
    ProposalDroppedError,
)
from kvorum.raft.ready import ReadState
from kvorum.raft.trace import TraceKind

if TYPE_CHECKING:
    from kvorum.raft.core import Raft

FROM_LEADER = frozenset({MessageType.APP, MessageType.HEARTBEAT, MessageType.SNAP})
"""Messages that only the leader of the term sends."""


def step(raft: Raft, message: Message) -> None:
    """Take in a message of this member's term."""
    handler = _HANDLERS.get(message.type)
    if handler is None:
        raft.ignore(message, "follower")
    else:
        handler(raft, message)


# -- the leader's log ------------------------------------------------------------------------


def _append(raft: Raft, message: Message) -> None:
    raft.follow(message.from_)
    log = raft.log
    _check_run(message)
    if message.index < log.committed:
        # Late, or the leader does not know how far this member is: tell it.
        _acknowledge(raft, message.from_, log.committed)
        return
    if not log.has(message.index, message.log_term):
        _refuse(raft, message)
        return
    entries = message.entries
    position = log.find_conflict(entries)
    if position is not None:
        first = entries[position]
        if first.index <= log.last_index:
            raft.emit(
                TraceKind.LOG_CONFLICT,
                index=first.index,
                entry_term=first.term,
                existing_term=log.term(first.index),
            )
        log.append(entries[position:] if position else entries)
    last_new = message.index + len(entries)
    # Not further than what came: what this member has behind it need not be the leader's.
    log.commit_to(min(message.commit, last_new))
    _acknowledge(raft, message.from_, last_new)


def _check_run(message: Message) -> None:
    """Refuse entries that do not follow each other and what stands before them."""
    entries = message.entries
    if not entries:
        return
    first = message.index + 1
    if [entry.index for entry in entries] != list(range(first, first + len(entries))):
        raise MalformedMessageError(f"entries of {message!r} do not follow each other")
    terms = [message.log_term, *[entry.term for entry in entries], message.term]
    if terms != sorted(terms):
        raise MalformedMessageError(f"terms of {message!r} go back")


def _acknowledge(raft: Raft, leader: int, index: int) -> None:
    raft.send(Message(MessageType.APP_RESP, leader, 0, 0, 0, index))


def _refuse(raft: Raft, message: Message) -> None:
    """Say that the logs part below the message, and give a hint at where they may agree.

    Everything of this log above the message's term cannot be the leader's; skipping it here saves a
    round for each entry. The leader does the same with the term that the hint carries.
    """
    log = raft.log
    hint, hint_term = log.find_agreement(min(message.index, log.last_index), message.log_term)
    raft.emit(
        TraceKind.APPEND_REFUSED,
        sender=message.from_,
        index=message.index,
        log_term=message.log_term,
        hint=hint,
    )
    raft.send(
        Message(
            MessageType.APP_RESP,
            message.from_,
            index=message.index,
            reject=True,
            reject_hint=hint,
            log_term=hint_term,
        )
    )


def _heartbeat(raft: Raft, message: Message) -> None:
    raft.follow(message.from_)
    raft.log.commit_to(message.commit)
    raft.send(Message(MessageType.HEARTBEAT_RESP, message.from_, context=message.context))


def _snapshot(raft: Raft, message: Message) -> None:
    raft.follow(message.from_)
    if message.snapshot is None:
        raise MalformedMessageError(f"{message!r} holds no snapshot")
    restored = _restore(raft, message.snapshot)
    index = raft.log.last_index if restored else raft.log.committed
    _acknowledge(raft, message.from_, index)


def _restore(raft: Raft, snapshot: Snapshot) -> bool:
    """Take the snapshot in place of the log. False: it was not needed, or is not for us."""
    metadata, log = snapshot.metadata, raft.log
    reason = None
    if metadata.index <= log.committed:
        reason = "older than the log's committed part"
    else:
        try:
            config = configuration_of(metadata.conf_state)
        except ConfChangeError as error:
            raise MalformedMessageError(str(error)) from error
        if raft.id not in config.members:
            reason = "this member is not in its configuration"
        elif log.has(metadata.index, metadata.term):
            # Nothing of it is missing here, only that it is committed was not known.
            log.commit_to(metadata.index)
            reason = "the log reaches it"
    if reason is not None:
        raft.emit(TraceKind.SNAPSHOT_IGNORED, index=metadata.index, reason=reason)
        return False
    log.restore(snapshot)
    raft.switch_config(config)
    raft.tracker.progress[raft.id].acknowledge(metadata.index)
    raft.emit(TraceKind.SNAPSHOT_RESTORED, index=metadata.index, snapshot_term=metadata.term)
    return True


# -- what is the leader's --------------------------------------------------------------------


def _propose(raft: Raft, message: Message) -> None:
    if raft.lead == NOBODY:
        raise ProposalDroppedError(DropReason.NO_LEADER)
    if raft.config.disable_proposal_forwarding:
        raise ProposalDroppedError(DropReason.FORWARDING_DISABLED)
    _send_on(raft, message)


def _send_on(raft: Raft, message: Message) -> None:
    """Pass a message to the leader; without one it is lost, and whoever waits asks again."""
    if raft.lead == NOBODY:
        raft.ignore(message, "no leader")
        return
    # A message of its own: the one that came may be looked at by others, and has another term.
    raft.send(
        Message(
            message.type,
            raft.lead,
            message.from_,
            entries=message.entries,
            context=message.context,
        )
    )


def _forget_leader(raft: Raft, message: Message) -> None:
    if raft.config.read_only_lease_based:
        # Votes given early could elect a leader while the old one still trusts its lease.
        raft.emit(TraceKind.FORGET_LEADER_REFUSED)
    elif raft.lead != NOBODY:
        raft.forget_leader()


def _timeout_now(raft: Raft, message: Message) -> None:
    # Without pre-vote even where that is on: the leader knows that this member is up to date.
    election.start(raft, election.Campaign.TRANSFER)


def _read_confirmed(raft: Raft, message: Message) -> None:
    if len(message.entries) != 1:
        raise MalformedMessageError(f"{message!r} does not hold one entry")
    context = message.entries[0].data or b""
    raft.read_states.append(ReadState(message.index, context))


_HANDLERS: dict[int, Callable[[Raft, Message], None]] = {
    MessageType.PROP: _propose,
    MessageType.APP: _append,
    MessageType.HEARTBEAT: _heartbeat,
    MessageType.SNAP: _snapshot,
    MessageType.TRANSFER_LEADER: _send_on,
    MessageType.FORGET_LEADER: _forget_leader,
    MessageType.TIMEOUT_NOW: _timeout_now,
    MessageType.READ_INDEX: _send_on,
    MessageType.READ_INDEX_RESP: _read_confirmed,
}
