"""What a leader does: take proposals, count answers, commit, confirm reads, hand over.

Source: Raft paper 5.3, 5.4.2; Raft thesis 3.10 (transfer), 4 (membership), 6.2 (check-quorum),
6.4 (reads).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kvorum.errors import DecodeError
from kvorum.proto.raftpb import ConfChangeV2, Entry, EntryType, Message, MessageType
from kvorum.raft import replication
from kvorum.raft.confchange import decode_change, refusal
from kvorum.raft.config import NOBODY
from kvorum.raft.errors import DropReason, MalformedMessageError, ProposalDroppedError
from kvorum.raft.progress import Progress, ProgressState
from kvorum.raft.quorum import VoteResult
from kvorum.raft.readonly import READS_MAX
from kvorum.raft.ready import ReadState, StateRole
from kvorum.raft.sizes import payload_bytes
from kvorum.raft.trace import TraceKind

if TYPE_CHECKING:
    from kvorum.raft.core import Raft

_NORMAL = EntryType.NORMAL
_KNOWN_TYPES = frozenset(EntryType)


def tick(raft: Raft) -> None:
    """A tick at a leader: check the quorum each election timeout, send heartbeats."""
    raft.heartbeat_elapsed += 1
    raft.election_elapsed += 1
    if raft.election_elapsed >= raft.config.election_tick:
        raft.election_elapsed = 0
        if raft.config.check_quorum and not raft.tracker.quorum_active():
            raft.emit(TraceKind.QUORUM_LOST)
            raft.become_follower(raft.term, NOBODY)
            return
        if raft.lead_transferee != NOBODY:
            # It had a whole timeout; proposals must not be refused for longer (thesis 3.10).
            _abort_transfer(raft)
            raft.leave_joint_if_due()
    if raft.heartbeat_elapsed >= raft.config.heartbeat_tick:
        raft.heartbeat_elapsed = 0
        replication.broadcast_heartbeat(raft, raft.reads.newest_context())


def step(raft: Raft, message: Message) -> None:
    """Take in a message of this member's term."""
    handler = _HANDLERS.get(message.type)
    if handler is not None:
        handler(raft, message)
        return
    peer_handler = _PEER_HANDLERS.get(message.type)
    if peer_handler is None:
        raft.ignore(message, "leader")
        return
    progress = raft.tracker.progress.get(message.from_)
    if progress is None:
        raft.ignore(message, "no member")
        return
    peer_handler(raft, message, progress)


# -- proposals -------------------------------------------------------------------------------


def append(raft: Raft, entries: list[Entry]) -> None:
    """Add entries, which hold their term and index already, to this leader's log."""
    raft.log.append(entries)
    raft.acknowledge_own(raft.log.last_index)


def propose_data(raft: Raft, batch: list[bytes]) -> None:
    """Propose plain data: the hot path.

    0.25 µs an entry in large batches (CPython 3.11), nearly all of it making the `Entry`.

    Raises:
        ProposalDroppedError: nothing of the batch was taken.
    """
    _check_open(raft)
    _reserve(raft, sum(map(len, batch)))
    term, first = raft.term, raft.log.last_index + 1
    append(raft, [Entry(0, term, index, data) for index, data in enumerate(batch, first)])
    replication.broadcast_append(raft)


def propose(raft: Raft, entries: list[Entry]) -> None:
    """Propose entries of any type; their term and index are given here, in new entries.

    A configuration change that may not be made now becomes an empty entry, so that whoever
    proposed it sees it pass without effect.

    Raises:
        ProposalDroppedError: nothing of it was taken.
    """
    _check_open(raft)
    if not entries or any(entry.type not in _KNOWN_TYPES for entry in entries):
        raise ProposalDroppedError(DropReason.MALFORMED)
    # Decoded all before any counts: the whole batch is taken, or nothing.
    changes = [_decoded(entry) if entry.type != _NORMAL else None for entry in entries]
    pending_index = raft.pending_conf_index
    numbered: list[Entry] = []
    for index, entry in enumerate(entries, raft.log.last_index + 1):
        kind, data, change = entry.type, entry.data, changes[len(numbered)]
        if change is not None:
            reason = _change_refusal(raft, change, pending_index)
            if reason is None or raft.config.disable_conf_change_validation:
                pending_index = index
            else:
                raft.emit(TraceKind.CONF_CHANGE_REFUSED, reason=reason)
                kind, data = _NORMAL, None
        numbered.append(Entry(kind, raft.term, index, data))
    _reserve(raft, payload_bytes(numbered))
    raft.pending_conf_index = pending_index
    append(raft, numbered)
    replication.broadcast_append(raft)


def _check_open(raft: Raft) -> None:
    if raft.id not in raft.tracker.progress:
        raise ProposalDroppedError(DropReason.REMOVED)
    if raft.lead_transferee != NOBODY:
        raise ProposalDroppedError(DropReason.TRANSFERRING)


def _reserve(raft: Raft, size_bytes: int) -> None:
    """Count bytes against the limit on what is not committed.

    One proposal is always taken when nothing waits, however large: it could never be made
    otherwise. Entries without data are always taken: they are the core's own, and must not fail.
    """
    waiting = raft.uncommitted_bytes
    if waiting and size_bytes and waiting + size_bytes > raft.config.max_uncommitted_entries_size:
        raise ProposalDroppedError(DropReason.UNCOMMITTED_SIZE)
    raft.uncommitted_bytes = waiting + size_bytes


def _decoded(entry: Entry) -> ConfChangeV2:
    try:
        return decode_change(entry)
    except DecodeError as error:
        raise ProposalDroppedError(DropReason.MALFORMED) from error


def _change_refusal(raft: Raft, change: ConfChangeV2, pending_index: int) -> str | None:
    applied = raft.log.applied
    if pending_index > applied:
        return f"possible unapplied conf change at index {pending_index} (applied to {applied})"
    return refusal(raft.tracker.config, change)


def _on_propose(raft: Raft, message: Message) -> None:
    propose(raft, message.entries)


# -- commit ----------------------------------------------------------------------------------


def _commit(raft: Raft) -> bool:
    """Commit what a quorum has, and tell everybody. False: nothing new is committed."""
    index = raft.tracker.committed_index()
    # An entry of an earlier term can still be replaced although a quorum has it; from the first of
    # this term on, all are this term's (Raft paper, figure 8).
    if index <= raft.log.committed or index < raft.term_start_index:
        return False
    raft.log.commit_to(index)
    if raft.early_reads:
        early, raft.early_reads = raft.early_reads, []
        for request in early:
            _admit_read(raft, request)
    replication.broadcast_append(raft)
    return True


def _on_append_answer(raft: Raft, message: Message, progress: Progress) -> None:
    progress.recent_active = True
    if message.reject:
        replication.handle_refusal(raft, message, progress)
        return
    if message.index > raft.log.last_index:
        # No member can have more of this term's log than its leader.
        raft.ignore(message, "acknowledges entries that do not exist")
        return
    if not replication.note_match(raft, message, progress):
        return
    committed = _commit(raft)
    if message.from_ == raft.id:
        return
    if committed:
        # The commit index went out to everybody; what is left is to use the room in the window.
        while replication.send_append(raft, message.from_, progress, if_empty=False):
            pass
    else:
        replication.send_rest(raft, message.from_, progress)
    if message.from_ == raft.lead_transferee and progress.match == raft.log.last_index:
        replication.send_timeout_now(raft, message.from_)


def _on_heartbeat_answer(raft: Raft, message: Message, progress: Progress) -> None:
    progress.recent_active = True
    progress.waiting = False
    # Something is missing there, or a message of ours was lost. Sending at once, even without
    # entries and into a full window, finds out which.
    if progress.match < raft.log.last_index or progress.state is ProgressState.PROBE:
        replication.send_append(raft, message.from_, progress)
    if message.context and not raft.config.read_only_lease_based:
        acks = raft.reads.acknowledge(message.from_, message.context)
        _answer_confirmed(raft, message.context, acks)


def _on_snapshot_status(raft: Raft, message: Message, progress: Progress) -> None:
    if progress.state is not ProgressState.SNAPSHOT:
        return
    raft.emit(TraceKind.SNAPSHOT_REPORTED, peer=message.from_, ok=not message.reject)
    if message.reject:
        progress.snapshot_failed()
    else:
        progress.become_probe()
    # Arrived: its answer comes soon. Failed: do not send the next one in the same moment.
    progress.waiting = True


def _on_unreachable(raft: Raft, message: Message, progress: Progress) -> None:
    # What is in flight is probably lost; streaming on would lose more.
    if progress.state is ProgressState.REPLICATE:
        progress.become_probe()
    raft.emit(TraceKind.PEER_UNREACHABLE, peer=message.from_)


def config_switched(raft: Raft) -> None:
    """The configuration changed: a quorum may be there already, members may be new."""
    if not _commit(raft):
        for member, progress in raft.tracker.peers:
            # A new member would otherwise wait for the next heartbeat.
            replication.send_append(raft, member, progress, if_empty=False)
    if raft.lead_transferee not in raft.tracker.config.all_voters | {NOBODY}:
        _abort_transfer(raft)
    newest = raft.reads.newest_acks()
    if newest is not None:
        _answer_confirmed(raft, *newest)


# -- reads -----------------------------------------------------------------------------------


def read_index_now(raft: Raft) -> int | None:
    """The index for a read that needs no round through the members; None when it needs one."""
    if raft.role is not StateRole.LEADER or not _has_committed(raft):
        return None
    alone = raft.tracker.is_singleton or raft.config.read_only_lease_based
    return raft.log.committed if alone else None


def _has_committed(raft: Raft) -> bool:
    """Whether this leader has committed in its term.

    Until then its commit index may be behind what earlier leaders committed (thesis 6.4). That
    holds for a single voter, too: it may have been restarted with an older commit index than it had
    answered its clients by.
    """
    return raft.log.committed >= raft.term_start_index


def _on_read(raft: Raft, message: Message) -> None:
    if len(message.entries) != 1:
        raise MalformedMessageError(f"{message!r} does not hold one entry")
    if _has_committed(raft):
        _admit_read(raft, message)
    elif len(raft.early_reads) < READS_MAX:
        raft.early_reads.append(message)
    else:
        raft.emit(TraceKind.READ_DROPPED, sender=message.from_, reason="too many reads wait")


def _admit_read(raft: Raft, message: Message) -> None:
    index = read_index_now(raft)
    if index is not None:
        _answer_read(raft, message, index)
        return
    if raft.reads.full:
        raft.emit(TraceKind.READ_DROPPED, sender=message.from_, reason="too many reads wait")
        return
    context = message.entries[0].data or b""
    raft.reads.add(context, message, raft.log.committed, raft.id)
    replication.broadcast_heartbeat(raft, context)


def _answer_confirmed(raft: Raft, context: bytes, acks: dict[int, bool]) -> None:
    if raft.tracker.config.vote_result(acks) is VoteResult.WON:
        for read in raft.reads.take_to(context):
            _answer_read(raft, read.request, read.index)


def _answer_read(raft: Raft, request: Message, index: int) -> None:
    if request.from_ in {NOBODY, raft.id}:
        raft.read_states.append(ReadState(index, request.entries[0].data or b""))
    else:
        raft.send(
            Message(
                MessageType.READ_INDEX_RESP, request.from_, index=index, entries=request.entries
            )
        )


# -- handing over ----------------------------------------------------------------------------


def _on_transfer(raft: Raft, message: Message, progress: Progress) -> None:
    to = message.from_
    if progress.is_learner or to in {raft.id, raft.lead_transferee}:
        raft.ignore(message, "nothing to hand over")
        return
    if raft.lead_transferee != NOBODY:
        _abort_transfer(raft)
    raft.emit(TraceKind.TRANSFER_STARTED, to=to)
    # It has from now on one election timeout to take over.
    raft.election_elapsed = 0
    raft.lead_transferee = to
    if progress.match == raft.log.last_index:
        replication.send_timeout_now(raft, to)
    else:
        replication.send_append(raft, to, progress)


def _abort_transfer(raft: Raft) -> None:
    raft.emit(TraceKind.TRANSFER_ABORTED, to=raft.lead_transferee)
    raft.lead_transferee = NOBODY


_HANDLERS: dict[int, Callable[[Raft, Message], None]] = {
    MessageType.PROP: _on_propose,
    MessageType.READ_INDEX: _on_read,
}

_PEER_HANDLERS: dict[int, Callable[[Raft, Message, Progress], None]] = {
    MessageType.APP_RESP: _on_append_answer,
    MessageType.HEARTBEAT_RESP: _on_heartbeat_answer,
    MessageType.SNAP_STATUS: _on_snapshot_status,
    MessageType.UNREACHABLE: _on_unreachable,
    MessageType.TRANSFER_LEADER: _on_transfer,
}
