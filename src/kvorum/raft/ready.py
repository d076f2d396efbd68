"""What the core wants done: one `Ready` at a time, and the duties of whoever drives it.

The driver feeds in ticks, messages of other members and proposals, and then, while `has_ready()`,
takes a `Ready` and does what it says. The core does no I/O and never waits.

Classic mode (`Config.async_storage_writes` False). For each Ready, in this order:

 1. If `snapshot` is there, store it durably and let it take the place of the log before it.
 2. Store `entries` in the log; an entry replaces what stands at its index and everything behind.
    Store `hard_state` if it is there. When `must_sync`, all of it must be durable before 4 and 6;
    otherwise the write may stay in a buffer (then only the commit index moved).
 3. Make 1 and 2 visible in the `Storage` that the core reads.
 4. Send `messages`, in order for each member. Only messages that a leader sends (MsgApp, MsgSnap,
    MsgHeartbeat) may go out before 2: all others promise what 2 stores. A MsgSnap needs
    `report_snapshot` when it arrived or failed, a member out of reach `report_unreachable`. A
    member ignores a snapshot whose configuration does not name it, so `Storage.snapshot` should
    give a recent one (or the server puts one of its newest applied state in its place).
 5. If `snapshot` is there, let it take the place of the state machine. Then apply
    `committed_entries` in order. For an entry of the two configuration change types call
    `RawNode.apply_conf_change`, also when the server refuses the change (then with node id 0: every
    member must do the same). A ConfChangeError means: it cannot be made, on any member; go on.
 6. Call `advance(ready)`. Until then, take no other Ready. Ticks and messages may come in between.
 7. Answer each read of `read_states` once the state machine has applied its index.
 8. Treat what is in a Ready, and what was fed in, as immutable, also after `advance`.

Asynchronous mode. `advance` is not called, and a Ready can be taken while others are being worked
on. What is to be stored and applied comes as messages to two local threads, each of which must
handle its messages in order:

 a. MsgStorageAppend, to `APPEND_THREAD`: store `snapshot`, `entries` and, when `term` is not 0, the
    hard state (`term`, `vote`, `commit`). Then make it visible in the `Storage` and, when it is
    durable, deliver every message of `responses`: those to this member by `RawNode.step`, the
    others over the network. A write that holds neither entries nor a snapshot, nor a new term or
    vote, need not wait for the disk, but its responses must not pass those of earlier writes.
    Several may be stored with one sync.
 b. MsgStorageApply, to `APPLY_THREAD`: apply `entries` as in 5, then deliver `responses`.
 c. All other messages can be sent at once; the core holds back what has to wait for the disk.
 d. A snapshot must be in the state machine before its MsgStorageAppendResp is delivered; until
    then the core hands out no entries. Entries that were handed out before, and that the snapshot
    covers, are skipped with their configuration changes; their response is delivered all the same.
 e. `must_sync`, `entries`, `hard_state`, `snapshot` and `committed_entries` repeat what the
    messages say, for metrics and tests.
 f. 7 and 8 hold here too.

Source: etcd raft's Ready, whose order of duties this keeps; Raft thesis 10.2.1 (a leader may send
before it has stored).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from kvorum.proto.raftpb import Entry, HardState, Message, Snapshot


class StateRole(IntEnum):
    """What a member is in its term."""

    FOLLOWER = 0
    CANDIDATE = 1
    LEADER = 2
    PRE_CANDIDATE = 3


@dataclass(frozen=True, slots=True)
class SoftState:
    """What a member may forget: who leads (0: nobody known) and what itself is."""

    lead: int
    role: StateRole


@dataclass(frozen=True, slots=True)
class ReadState:
    """A read may be served from the state machine once that has applied `index`."""

    index: int
    context: bytes


@dataclass(slots=True)
class Ready:
    """Things to do, in one piece. See the module for the order.

    Attributes:
        soft_state: the role or leader, when it changed.
        hard_state: term, vote and commit index, when one of them changed.
        read_states: reads that were confirmed.
        entries: to be stored.
        snapshot: to be stored and to take the place of the state machine.
        committed_entries: to be applied.
        messages: to be sent.
        must_sync: what is stored must be durable before messages that follow it are sent.
    """

    soft_state: SoftState | None
    hard_state: HardState | None
    read_states: list[ReadState]
    entries: list[Entry]
    snapshot: Snapshot | None
    committed_entries: list[Entry]
    messages: list[Message]
    must_sync: bool
