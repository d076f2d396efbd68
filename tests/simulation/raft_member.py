"""A member for the simulation: the core, a disk that loses what was not synced, a state machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from kvorum.proto.raftpb import (
    ConfChange,
    ConfChangeV2,
    ConfState,
    Entry,
    EntryType,
    HardState,
    Message,
    MessageType,
    Snapshot,
    SnapshotMetadata,
)
from kvorum.raft import (
    APPEND_THREAD,
    APPLY_THREAD,
    NO_LIMIT,
    ConfChangeError,
    Config,
    MemoryStorage,
    RawNode,
    Ready,
    StateRole,
    TraceEvent,
    TraceKind,
)
from tests.simulation.raft_checks import Checks


@dataclass
class Write:
    """One write that may still be lost."""

    state: HardState | None
    entries: list[Entry]
    snapshot: Snapshot | None


class LiveStorage(MemoryStorage):
    """Gives, for sending, a snapshot of what is applied now, as a server does.

    An old one would be refused by a member that was added after it. The founders begin with a
    snapshot, not with an empty log: whoever joins must not miss the configuration that they had.
    """

    def __init__(self, start: Snapshot | None) -> None:
        super().__init__()
        self.applied = SnapshotMetadata()
        if start is not None:
            self.apply_snapshot(start)

    def snapshot(self) -> Snapshot:
        newest = super().snapshot()
        if self.applied.index <= newest.metadata.index:
            return newest
        return Snapshot(b"", replace(self.applied))

    @property
    def stored_snapshot(self) -> Snapshot:
        return super().snapshot()


class Disk:
    """What the core reads, and what a crash leaves of it."""

    def __init__(self, start: Snapshot | None) -> None:
        self.visible = LiveStorage(start)
        self._synced = LiveStorage(start)
        self._pending: list[Write] = []

    def write(self, write: Write, *, sync: bool) -> None:
        _store(self.visible, write)
        self._pending.append(write)
        if sync:
            self.sync()

    def sync(self) -> None:
        for write in self._pending:
            _store(self._synced, write)
        self._pending = []

    def compact(self, index: int, state: ConfState, keep: int) -> None:
        """Snapshot the state machine; both copies, as it is only made of what is durable."""
        self.sync()
        for storage in (self.visible, self._synced):
            storage.create_snapshot(index, state, b"")
            if index - keep >= storage.first_index():
                storage.compact(index - keep)

    def crash(self) -> None:
        """Lose what was not synced."""
        self._pending = []
        self.visible = _copy(self._synced)


def _store(storage: MemoryStorage, write: Write) -> None:
    if write.state is not None:
        storage.set_hard_state(replace(write.state))
    if write.snapshot is not None:
        storage.apply_snapshot(write.snapshot)
    storage.append(write.entries)


def _copy(storage: LiveStorage) -> LiveStorage:
    snapshot = storage.stored_snapshot
    index = snapshot.metadata.index
    copy = LiveStorage(snapshot if index else None)
    first, last = max(storage.first_index(), index + 1), storage.last_index()
    if last >= first:
        copy.append(storage.entries(first, last + 1, NO_LIMIT))
    copy.set_hard_state(replace(storage.initial_state()[0]))
    return copy


class Member:
    """One member, up or down."""

    def __init__(self, config: Config, start: Snapshot | None, rng: Random, checks: Checks) -> None:
        self._template = config
        self._rng = rng
        self._checks = checks
        self.id = config.id
        self.disk = Disk(start)
        self.up = False
        self.incarnation = 0
        self.conf_state = ConfState()
        self.applied = 0
        self.node: RawNode
        self.append_work: list[Message] = []
        self.apply_work: list[Message] = []
        self.outbox: list[Message] = []
        self.start()

    def start(self) -> None:
        """Come up with what the disk has. The state machine starts from the newest snapshot."""
        storage = self.disk.visible
        metadata = storage.stored_snapshot.metadata
        self.applied, self.conf_state = metadata.index, metadata.conf_state
        config = {name: getattr(self._template, name) for name in Config.__slots__}
        config |= {"storage": storage, "applied": metadata.index, "trace": self._trace}
        self.node = RawNode(Config(**config))
        self.up = True
        self.incarnation += 1

    def crash(self) -> None:
        self.disk.crash()
        self.append_work, self.apply_work, self.outbox = [], [], []
        self.up = False

    def _trace(self, event: TraceEvent) -> None:
        if event.kind is TraceKind.BECAME_LEADER:
            self._checks.became_leader(self.node)

    # -- work ----------------------------------------------------------------------------

    def work(self) -> None:
        """Do one piece of what there is to do, or a part of it and then crash."""
        if self._template.async_storage_writes:
            self._work_async()
        else:
            self._work_classic()
        if self.up:
            self._checks.observe(self.node)

    def settle(self) -> None:
        """Do all there is to do."""
        while self.node.has_ready() or self.append_work or self.apply_work:
            self.work()

    def _work_classic(self) -> None:
        if not self.node.has_ready():
            return
        ready = self.node.ready()
        self._answer_reads(ready)
        early = [message for message in ready.messages if message.type in _LEADERS_OWN]
        self.outbox += early
        self._write(Write(ready.hard_state, ready.entries, ready.snapshot), ready.must_sync)
        self.outbox += [message for message in ready.messages if message.type not in _LEADERS_OWN]
        self._apply(ready.committed_entries)
        self.node.advance(ready)

    def _work_async(self) -> None:
        turns = []
        if self.node.has_ready():
            turns.append(self._take_ready)
        if self.append_work:
            turns.append(self._append_thread)
        if self.apply_work:
            turns.append(self._apply_thread)
        if turns:
            self._rng.choice(turns)()

    def _take_ready(self) -> None:
        ready = self.node.ready()
        self._answer_reads(ready)
        for message in ready.messages:
            if message.to == APPEND_THREAD:
                self.append_work.append(message)
            elif message.to == APPLY_THREAD:
                self.apply_work.append(message)
            else:
                self.outbox.append(message)

    def _append_thread(self) -> None:
        work = self.append_work.pop(0)
        state = HardState(work.term, work.vote, work.commit) if work.term else None
        # Only the commit index moved: it may stay in a buffer.
        known = self.disk.visible.initial_state()[0]
        sync = bool(work.entries or work.snapshot) or (
            state is not None and (state.term, state.vote) != (known.term, known.vote)
        )
        self._write(Write(state, work.entries, work.snapshot), sync)
        self._answer(work)

    def _apply_thread(self) -> None:
        work = self.apply_work.pop(0)
        self._apply(work.entries)
        self._answer(work)

    def _answer(self, work: Message) -> None:
        for response in work.responses:
            if response.to == self.id:
                self.node.step(response)
            else:
                self.outbox.append(response)

    def _write(self, write: Write, sync: bool) -> None:
        if write.entries:
            first = write.entries[0].index
            before = (
                write.snapshot.metadata.term
                if write.snapshot is not None
                else self.disk.visible.term(first - 1)
            )
            self._checks.stored(write.entries, before)
        self.disk.write(write, sync=sync)
        if write.snapshot is not None:
            self.disk.sync()
            metadata = write.snapshot.metadata
            self.applied, self.conf_state = metadata.index, metadata.conf_state

    def _apply(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.index <= self.applied:
                continue  # a snapshot came in between
            assert entry.index == self.applied + 1, (self.id, entry, self.applied)
            self._checks.apply(self.id, entry)
            self.applied = entry.index
            if entry.type != EntryType.NORMAL:
                self._apply_change(entry)
            self.disk.visible.applied = SnapshotMetadata(self.conf_state, entry.index, entry.term)

    def _apply_change(self, entry: Entry) -> None:
        kind = ConfChange if entry.type == EntryType.CONF_CHANGE else ConfChangeV2
        try:
            self.conf_state = self.node.apply_conf_change(kind.decode(entry.data or b""))
        except ConfChangeError:
            return  # cannot be made, on any member

    def _answer_reads(self, ready: Ready) -> None:
        for read in ready.read_states:
            self._checks.read_answered(read.context, read.index)

    def snapshot(self) -> None:
        """Snapshot the state machine and drop most of the log behind it."""
        storage = self.disk.visible
        if self.applied > storage.stored_snapshot.metadata.index and self.applied <= (
            storage.last_index()
        ):
            self.disk.compact(self.applied, self.conf_state, keep=self._rng.randrange(0, 5))

    @property
    def leads(self) -> bool:
        return self.up and self.node.role is StateRole.LEADER


_LEADERS_OWN = {MessageType.APP, MessageType.SNAP, MessageType.HEARTBEAT}
