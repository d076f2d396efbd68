"""Small clusters of cores for unit tests: everything at once, in a fixed order, nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

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
    NO_LIMIT,
    Config,
    MemoryStorage,
    PeerNotFoundError,
    RawNode,
    Ready,
    StateRole,
    TraceEvent,
    TraceKind,
)

ELECTION_TICKS = 10


def entries_of(*terms: int, first: int = 1) -> list[Entry]:
    """Entries from `first` on, one for each term."""
    return [
        Entry(EntryType.NORMAL, term, index, b"%d" % index)
        for index, term in enumerate(terms, first)
    ]


def snapshot_at(
    index: int, term: int, voters: list[int], learners: list[int] | None = None
) -> Snapshot:
    state = ConfState(voters=voters, learners=learners or [])
    return Snapshot(b"state", SnapshotMetadata(state, index, term))


def storage_of(
    *terms: int, voters: tuple[int, ...] = (1, 2, 3), learners: tuple[int, ...] = ()
) -> MemoryStorage:
    """A log with an entry for each term, none of them committed."""
    storage = MemoryStorage(ConfState(voters=list(voters), learners=list(learners)))
    storage.append(entries_of(*terms))
    last = terms[-1] if terms else 0
    storage.set_hard_state(HardState(term=last))
    return storage


class Node(RawNode):
    """A core in classic mode with its storage; remembers what it applied and traced."""

    def __init__(self, storage: MemoryStorage, id_: int = 1, **options: Any) -> None:
        self.storage = storage
        self.events: list[TraceEvent] = []
        self.applied: list[Entry] = []
        self.readies: list[Ready] = []
        self.crashed = False
        options = {
            "election_tick": ELECTION_TICKS,
            "heartbeat_tick": 1,
            "max_size_per_msg": NO_LIMIT,
            "rng": Random(id_),
            "trace": self.events.append,
            **options,
        }
        super().__init__(Config(id=id_, storage=storage, **options))

    def work(self) -> list[Message]:
        """Do all there is to do; what is to be sent is returned."""
        sent = []
        while self.has_ready():
            ready = self.ready()
            self.readies.append(ready)
            if ready.hard_state is not None:
                self.storage.set_hard_state(ready.hard_state)
            if ready.snapshot is not None:
                self.storage.apply_snapshot(ready.snapshot)
            self.storage.append(ready.entries)
            for entry in ready.committed_entries:
                self._apply(entry)
            sent += ready.messages
            self.advance(ready)
        return sent

    def _apply(self, entry: Entry) -> None:
        self.applied.append(entry)
        if entry.type == EntryType.CONF_CHANGE:
            self.apply_conf_change(ConfChange.decode(entry.data or b""))
        elif entry.type == EntryType.CONF_CHANGE_V2:
            self.apply_conf_change(ConfChangeV2.decode(entry.data or b""))

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.tick()

    def lose_patience(self) -> None:
        """Tick until the election timeout has run out."""
        self.ticks(self.raft.randomized_election_timeout)

    def answer(self, message: Message) -> list[Message]:
        """Step a message and do what follows."""
        self.step(message)
        return self.work()

    @property
    def data(self) -> list[bytes]:
        """What was applied, without the entries that begin terms."""
        return [entry.data for entry in self.applied if entry.data]

    @property
    def log(self) -> list[tuple[int, int]]:
        """Term and index of every stored entry."""
        first, last = self.storage.first_index(), self.storage.last_index()
        entries = self.storage.entries(first, last + 1, NO_LIMIT)
        return [(entry.term, entry.index) for entry in entries]

    def traced(self, kind: TraceKind) -> list[TraceEvent]:
        return [event for event in self.events if event.kind is kind]

    def reads(self) -> dict[bytes, int]:
        """Answers to reads in all Readies so far."""
        return {read.context: read.index for ready in self.readies for read in ready.read_states}


def single(*terms: int, **options: Any) -> Node:
    """A leader that is the only voter."""
    node = Node(storage_of(*terms, voters=(1,)), **options)
    node.campaign()
    node.work()
    assert node.role is StateRole.LEADER
    return node


Filter = Callable[[Message], bool]


class Group:
    """Nodes that exchange messages until nobody has anything to say."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = {node.id: node for node in nodes}
        self.lost: Filter = lambda message: False
        self.history: list[Message] = []

    @classmethod
    def of(cls, count: int, **options: Any) -> Group:
        voters = tuple(range(1, count + 1))
        return cls([Node(storage_of(voters=voters), id_, **options) for id_ in voters])

    def __getitem__(self, id_: int) -> Node:
        return self.nodes[id_]

    def settle(self) -> None:
        busy = True
        while busy:
            sent = [message for node in self.nodes.values() for message in node.work()]
            busy = bool(sent)
            for message in sent:
                self.history.append(message)
                if message.to in self.nodes and not self.lost(message):
                    self._deliver(message)

    def _deliver(self, message: Message) -> None:
        # As over a wire: the two must not share objects.
        copy = Message.decode(message.encode())
        with suppress(PeerNotFoundError):  # somebody who was removed a moment ago
            self.nodes[message.to].step(copy)

    def elect(self, id_: int) -> Node:
        self[id_].campaign()
        self.settle()
        assert self[id_].role is StateRole.LEADER
        return self[id_]

    def cut(self, *ids: int) -> None:
        """Lose everything between these members and the others."""
        group = set(ids)
        self.lost = lambda message: (message.from_ in group) != (message.to in group)

    def heal(self) -> None:
        self.lost = lambda message: False

    def roles(self) -> dict[int, StateRole]:
        return {id_: node.role for id_, node in self.nodes.items()}

    def sent(self, kind: MessageType) -> list[Message]:
        return [message for message in self.history if message.type == kind]


def app(
    sender: int,
    term: int,
    previous: tuple[int, int],
    entries: list[Entry],
    commit: int = 0,
    to: int = 1,
) -> Message:
    """A MsgApp behind `previous` (term, index)."""
    return Message(
        MessageType.APP,
        to,
        sender,
        term,
        log_term=previous[0],
        index=previous[1],
        entries=entries,
        commit=commit,
    )
