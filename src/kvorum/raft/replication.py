"""What a leader sends: entries, snapshots, heartbeats; and how it reads the answers.

Source: Raft paper 5.3, 7; Raft thesis 10.2.1 (pipelining).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from kvorum.proto.raftpb import Entry, Message, MessageType
from kvorum.raft.errors import (
    CompactedLogError,
    SnapshotTemporarilyUnavailableError,
)
from kvorum.raft.progress import Progress, ProgressState
from kvorum.raft.sizes import payload_bytes
from kvorum.raft.trace import TraceKind

if TYPE_CHECKING:
    from kvorum.raft.core import Raft

_Run: TypeAlias = tuple[int, list[Entry], int]
"""Entries to send: the term of the entry before them, the entries, their payload bytes."""


def broadcast_append(raft: Raft) -> None:
    """Send each member what it lacks, or at least the commit index, as far as it may be sent."""
    # Most members are at the same place: what goes to them is read and weighed once.
    shared: dict[int, _Run] = {}
    for member, progress in raft.tracker.peers:
        send_append(raft, member, progress, shared=shared)


def broadcast_heartbeat(raft: Raft, context: bytes | None) -> None:
    """Tell each member that this one leads; `context` is a read that waits to be confirmed."""
    for member, progress in raft.tracker.peers:
        # A member must not commit what it was not seen to have: it may have lost what followed.
        commit = min(progress.match, raft.log.committed)
        raft.send(Message(MessageType.HEARTBEAT, member, commit=commit, context=context))
        progress.sent_commit = commit


def send_append(
    raft: Raft,
    to: int,
    progress: Progress,
    *,
    if_empty: bool = True,
    shared: dict[int, _Run] | None = None,
) -> bool:
    """Send the next entries, or a snapshot where the log does not reach back far enough.

    With `if_empty` the commit index is sent also when there are no entries to send. `shared` keeps
    what was read for other members in the same broadcast. Returns whether a message was sent.
    """
    if progress.paused:
        return False
    try:
        log_term, entries, size_bytes = _next_run(raft, progress, shared)
    except CompactedLogError:
        return _send_snapshot(raft, to, progress)
    if not entries and not if_empty:
        return False
    raft.send(
        Message(
            MessageType.APP,
            to,
            log_term=log_term,
            index=progress.next - 1,
            entries=entries,
            commit=raft.log.committed,
        )
    )
    progress.sent(len(entries), size_bytes, raft.log.committed)
    return True


def _next_run(raft: Raft, progress: Progress, shared: dict[int, _Run] | None) -> _Run:
    """What follows in the log for a member; nothing when its window is full."""
    log, first = raft.log, progress.next
    if progress.state is ProgressState.REPLICATE and progress.inflights.full:
        return log.term(first - 1), [], 0
    run = None if shared is None else shared.get(first)
    if run is None:
        entries = log.slice(first, log.last_index + 1, raft.config.max_size_per_msg)
        run = log.term(first - 1), entries, payload_bytes(entries)
        if shared is not None:
            shared[first] = run
    return run


def _send_snapshot(raft: Raft, to: int, progress: Progress) -> bool:
    if not progress.recent_active:
        # It would be made, and perhaps kept in memory, for a member that cannot take it.
        return False
    try:
        snapshot = raft.log.snapshot()
    except SnapshotTemporarilyUnavailableError:
        raft.emit(TraceKind.SNAPSHOT_UNAVAILABLE, to=to)
        return False
    index = snapshot.metadata.index
    assert index, "the log was compacted, but the storage has no snapshot"
    raft.emit(TraceKind.SNAPSHOT_SENT, to=to, index=index, snapshot_term=snapshot.metadata.term)
    progress.become_snapshot(index)
    raft.send(Message(MessageType.SNAP, to, snapshot=snapshot))
    return True


def send_timeout_now(raft: Raft, to: int) -> None:
    """Ask the member to campaign at once."""
    raft.emit(TraceKind.TIMEOUT_NOW_SENT, to=to)
    raft.send(Message(MessageType.TIMEOUT_NOW, to))


def handle_refusal(raft: Raft, message: Message, progress: Progress) -> None:
    """A member's log parts from this one below `message.index`: probe further back.

    The hint is the member's last entry that could agree, with its term. Entries here of a higher
    term cannot be at or below it in the member's log, so they are skipped at once.
    """
    hint = message.reject_hint
    if message.log_term:
        hint, _ = raft.log.find_agreement(hint, message.log_term)
    if not progress.refuse(message.index, hint):
        return
    raft.emit(TraceKind.PROGRESS_REGRESSED, peer=message.from_, next=progress.next)
    if progress.state is ProgressState.REPLICATE:
        progress.become_probe()
    send_append(raft, message.from_, progress)


def note_match(raft: Raft, message: Message, progress: Progress) -> bool:
    """A member has the log up to `message.index`. False: nothing new."""
    index = message.index
    probing = progress.state is ProgressState.PROBE
    # A probe of a member that has everything is answered with what was known; it ends the probing.
    if not progress.acknowledge(index) and not (probing and progress.match == index):
        return False
    if probing:
        progress.become_replicate()
    elif progress.state is ProgressState.REPLICATE:
        progress.inflights.free_to(index)
    elif progress.match + 1 >= raft.log.first_index():
        # It may have got there by another snapshot than the one on its way. What counts is that
        # the log here goes on where it is.
        raft.emit(TraceKind.SNAPSHOT_CAUGHT_UP, peer=message.from_, match=progress.match)
        progress.become_replicate()
    return True


def send_rest(raft: Raft, to: int, progress: Progress) -> None:
    """Use the room that an answer has made: the newer commit index, then entries while they fit."""
    if progress.can_learn_commit(raft.log.committed):
        send_append(raft, to, progress)
    while send_append(raft, to, progress, if_empty=False):
        pass
