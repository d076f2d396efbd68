"""Messages, entries and Readies as the scenario scripts write them."""

from __future__ import annotations

import json

from kvorum.proto.raftpb import (
    ConfChangeType,
    ConfState,
    Entry,
    EntryType,
    HardState,
    Message,
    MessageType,
    Snapshot,
)
from kvorum.raft import APPEND_THREAD, APPLY_THREAD, ProgressState, ProgressStatus, Ready, StateRole
from kvorum.raft.confchange import decode_change

CHANGE_LETTERS = {
    "v": ConfChangeType.ADD_NODE,
    "l": ConfChangeType.ADD_LEARNER_NODE,
    "r": ConfChangeType.REMOVE_NODE,
    "u": ConfChangeType.UPDATE_NODE,
}
_LETTERS = {kind: letter for letter, kind in CHANGE_LETTERS.items()}
_ENTRY_NAMES = {
    EntryType.NORMAL: "EntryNormal",
    EntryType.CONF_CHANGE: "EntryConfChange",
    EntryType.CONF_CHANGE_V2: "EntryConfChangeV2",
}


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def message_type(kind: int) -> str:
    return "Msg" + _camel(MessageType(kind).name)


def role(value: StateRole) -> str:
    return "State" + _camel(value.name)


def target(member: int) -> str:
    return {APPEND_THREAD: "AppendThread", APPLY_THREAD: "ApplyThread"}.get(member, f"{member:x}")


def entry(value: Entry) -> str:
    if value.type == EntryType.NORMAL:
        shown = json.dumps((value.data or b"").decode())
    else:
        changes = decode_change(value).changes
        shown = " ".join(f"{_LETTERS[change.type]}{change.node_id}" for change in changes)
    return f"{value.term}/{value.index} {_ENTRY_NAMES[value.type]} {shown}".rstrip()


def conf_state(state: ConfState) -> str:
    def ids(members: list[int]) -> str:
        return f"[{' '.join(str(member) for member in members)}]"

    return (
        f"Voters:{ids(state.voters)} VotersOutgoing:{ids(state.voters_outgoing)} "
        f"Learners:{ids(state.learners)} LearnersNext:{ids(state.learners_next)} "
        f"AutoLeave:{str(state.auto_leave).lower()}"
    )


def snapshot(value: Snapshot) -> str:
    metadata = value.metadata
    state = conf_state(metadata.conf_state)
    return f"Index:{metadata.index} Term:{metadata.term} ConfState:{state}"


def hard_state(state: HardState) -> str:
    vote = f" Vote:{state.vote}" if state.vote else ""
    return f"Term:{state.term}{vote} Commit:{state.commit}"


def message(value: Message, indent: str = "") -> list[str]:
    text = (
        f"{indent}{target(value.from_)}->{target(value.to)} {message_type(value.type)} "
        f"Term:{value.term} Log:{value.log_term}/{value.index}"
    )
    if value.reject:
        text += f" Rejected (Hint: {value.reject_hint})"
    if value.commit:
        text += f" Commit:{value.commit}"
    if value.vote:
        text += f" Vote:{value.vote}"
    lines = []
    if len(value.entries) == 1:
        text += f" Entries:[{entry(value.entries[0])}]"
    elif value.entries:
        lines.append(text + " Entries:[")
        lines += [f"{indent}  {entry(item)}" for item in value.entries]
        text = f"{indent}]"
    if value.snapshot is not None:
        lines.append(text)
        text = f"{indent}  Snapshot: {snapshot(value.snapshot)}"
    if value.responses:
        lines.append(text + " Responses:[")
        for response in value.responses:
            lines += message(response, indent + "  ")
        text = f"{indent}]"
    return [*lines, text]


def ready(value: Ready) -> list[str]:
    lines = []
    if value.soft_state is not None:
        lines.append(f"Lead:{value.soft_state.lead} State:{role(value.soft_state.role)}")
    if value.hard_state is not None:
        lines.append(f"HardState {hard_state(value.hard_state)}")
    for read in value.read_states:
        lines.append(f"ReadState Index:{read.index} {json.dumps(read.context.decode())}")
    if value.entries:
        lines += ["Entries:", *map(entry, value.entries)]
    if value.snapshot is not None:
        lines.append(f"Snapshot {snapshot(value.snapshot)}")
    if value.committed_entries:
        lines += ["CommittedEntries:", *map(entry, value.committed_entries)]
    if value.messages:
        lines.append("Messages:")
        for item in value.messages:
            lines += message(item)
    if not lines:
        return ["<empty Ready>"]
    return [f"Ready MustSync={str(value.must_sync).lower()}:", *lines]


def progress(value: ProgressStatus) -> str:
    text = f"State{ProgressState(value.state).name.capitalize()} "
    text += f"match={value.match} next={value.next}"
    if value.is_learner:
        text += " learner"
    if value.paused:
        text += " paused"
    if value.pending_snapshot:
        text += f" pendingSnap={value.pending_snapshot}"
    if not value.recent_active:
        text += " inactive"
    if value.inflight_count:
        text += f" inflight={value.inflight_count}{'[full]' if value.inflight_full else ''}"
    return text
