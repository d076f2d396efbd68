"""A cluster of cores that a scenario script drives step by step.

Nothing happens but by a command: Readies are taken, messages delivered and storage written only
when the script says so, in a fixed order. A member's state machine appends the data it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from kvorum.errors import KvorumError
from kvorum.proto.raftpb import (
    ConfChange,
    ConfChangeSingle,
    ConfChangeTransition,
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
    CompactedLogError,
    Config,
    MemoryStorage,
    RawNode,
    SnapshotTemporarilyUnavailableError,
)
from tests.scenarios import describe
from tests.scenarios.script import Command

ELECTION_TICKS = 3
HEARTBEAT_TICKS = 1
_THREADS = {APPEND_THREAD, APPLY_THREAD}
_TRANSITIONS = {
    "auto": ConfChangeTransition.AUTO,
    "implicit": ConfChangeTransition.JOINT_IMPLICIT,
    "explicit": ConfChangeTransition.JOINT_EXPLICIT,
}


class HistoryStorage(MemoryStorage):
    """Gives the snapshot of whatever the state machine has applied."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[Snapshot] = []
        self.busy = False

    def snapshot(self) -> Snapshot:
        if self.busy:
            raise SnapshotTemporarilyUnavailableError
        return self.history[-1]


class Member:
    """A core, its storage, and the work that its two threads have before them."""

    def __init__(self, config: Config, storage: HistoryStorage) -> None:
        self.config = config
        self.storage = storage
        self.node = RawNode(config)
        self.append_work: list[Message] = []
        self.apply_work: list[Message] = []

    def store(self, state: HardState | None, entries: list[Entry], snap: Snapshot | None) -> None:
        if state is not None:
            self.storage.set_hard_state(state)
        if snap is not None:
            self.storage.apply_snapshot(snap)
            self.storage.history = [snap]
        self.storage.append(entries)

    def apply(self, entries: list[Entry]) -> None:
        for entry in entries:
            before = self.storage.history[-1]
            state: ConfState | None = None
            update = entry.data or b""
            if entry.type == EntryType.CONF_CHANGE:
                change = ConfChange.decode(update)
                state, update = self.node.apply_conf_change(change), change.context or b""
            elif entry.type == EntryType.CONF_CHANGE_V2:
                change_v2 = ConfChangeV2.decode(update)
                state, update = self.node.apply_conf_change(change_v2), change_v2.context or b""
            metadata = SnapshotMetadata(
                conf_state=state or before.metadata.conf_state, index=entry.index, term=entry.term
            )
            data = (before.data or b"") + update
            self.storage.history.append(Snapshot(data=data, metadata=metadata))


class Cluster:
    """Runs the commands of one script."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.messages: list[Message] = []
        self.quiet = False
        self.lines: list[str] = []
        self.indent = ""

    def run(self, command: Command) -> str:
        """Do a command and return what it has to say."""
        self.lines = []
        handler: Callable[[Command], None] = getattr(self, "_" + command.name.replace("-", "_"))
        quiet, self.quiet = self.quiet, self.quiet or command.option("log-level") == "none"
        error = ""
        try:
            handler(command)
        except KvorumError as refused:
            error = str(refused)
        silent = self.quiet
        if command.name != "log-level":
            self.quiet = quiet
        return "\n".join([*([] if silent else self.lines), *([error] if error else [])])

    def member(self, id_: int) -> Member:
        return self.members[id_ - 1]

    def node(self, id_: int) -> RawNode:
        return self.member(id_).node

    def say(self, *lines: str) -> None:
        self.lines += [self.indent + line for line in lines]

    def _heading(self, text: str, work: Callable[[], None]) -> None:
        self.say(f"> {text}")
        self.indent += "  "
        work()
        self.indent = self.indent[:-2]

    # -- the cluster ---------------------------------------------------------------------

    def _log_level(self, command: Command) -> None:
        self.quiet = command.arguments == ["none"]

    def _add_nodes(self, command: Command) -> None:
        index = int(command.option("index", "0"))
        state = ConfState(voters=command.ids("voters"), learners=command.ids("learners"))
        for _ in range(command.nodes[0]):
            storage = HistoryStorage()
            start = Snapshot(
                metadata=SnapshotMetadata(conf_state=state, index=index, term=1 if index else 0)
            )
            if index:
                storage.apply_snapshot(start)
            storage.history = [start]
            self.members.append(Member(self._config(command, index, storage), storage))

    def _config(self, command: Command, index: int, storage: HistoryStorage) -> Config:
        id_ = len(self.members) + 1
        committed_size = command.option("max-committed-size-per-ready")
        return Config(
            id=id_,
            election_tick=ELECTION_TICKS,
            heartbeat_tick=HEARTBEAT_TICKS,
            storage=storage,
            rng=Random(id_),
            applied=index,
            max_size_per_msg=int(command.option("max-size-per-msg", str(NO_LIMIT))),
            max_committed_size_per_ready=int(committed_size) if committed_size else None,
            max_uncommitted_entries_size=int(command.option("max-uncommitted", str(NO_LIMIT))),
            max_inflight_msgs=int(command.option("inflight", str(2**31))),
            max_inflight_bytes=int(command.option("inflight-bytes", str(NO_LIMIT))),
            check_quorum=command.flag("checkquorum"),
            pre_vote=command.flag("prevote"),
            read_only_lease_based=command.option("read-only") == "lease-based",
            disable_proposal_forwarding=command.flag("disable-proposal-forwarding"),
            async_storage_writes=command.flag("async-storage-writes"),
            step_down_on_removal=command.flag("step-down-on-removal"),
            disable_conf_change_validation=command.flag("disable-conf-change-validation"),
        )

    def _raft_state(self, command: Command) -> None:
        for member in self.members:
            status = member.node.status()
            part = "Voter" if status.id in status.configuration.all_voters else "Non-Voter"
            self.say(
                f"{status.id}: {describe.role(status.role)} ({part}) "
                f"Term:{status.term} Lead:{status.lead}"
            )

    def _status(self, command: Command) -> None:
        status = self.node(command.nodes[0]).status()
        for id_, progress in sorted(status.progress.items()):
            self.say(f"{id_}: {describe.progress(progress)}")

    def _raft_log(self, command: Command) -> None:
        storage = self.member(command.nodes[0]).storage
        first, last = storage.first_index(), storage.last_index()
        if last < first:
            self.say(f"log is empty: first index={first}, last index={last}")
        else:
            self.say(*map(describe.entry, storage.entries(first, last + 1, NO_LIMIT)))

    def _compact(self, command: Command) -> None:
        id_, index = command.nodes
        self.member(id_).storage.compact(index)
        command.arguments.pop()
        self._raft_log(command)

    def _storage_busy(self, command: Command) -> None:
        self.member(command.nodes[0]).storage.busy = command.flag("busy")

    def _restart(self, command: Command) -> None:
        """Stop a member and start it from what it has stored and applied."""
        id_ = command.nodes[0]
        old = self.member(id_)
        applied = old.storage.history[-1]
        storage = HistoryStorage()
        if applied.metadata.index:
            storage.apply_snapshot(applied)
        else:
            storage = old.storage
        storage.history = [applied]
        try:
            entries = old.storage.entries(
                applied.metadata.index + 1, old.storage.last_index() + 1, NO_LIMIT
            )
        except CompactedLogError:
            entries = []
        storage.append(entries)
        storage.set_hard_state(old.storage.initial_state()[0])
        config = {name: getattr(old.config, name) for name in Config.__slots__}
        config |= {"storage": storage, "applied": applied.metadata.index}
        self.members[id_ - 1] = Member(Config(**config), storage)
        # What it had said to itself is gone, too.
        own = _THREADS | {id_}
        self.messages = [
            message for message in self.messages if not (message.to == id_ and message.from_ in own)
        ]

    # -- input ---------------------------------------------------------------------------

    def _campaign(self, command: Command) -> None:
        self.node(command.nodes[0]).campaign()

    def _propose(self, command: Command) -> None:
        id_, data = command.arguments
        self.node(int(id_)).propose(data.encode())

    def _propose_batch(self, command: Command) -> None:
        id_, *batch = command.arguments
        self.node(int(id_)).propose_batch([data.encode() for data in batch])

    def _propose_conf_change(self, command: Command) -> None:
        singles = [
            ConfChangeSingle(describe.CHANGE_LETTERS[word[0]], int(word[1:]))
            for word in " ".join(command.input).split()
        ]
        change: ConfChange | ConfChangeV2
        if command.flag("v1"):
            (single,) = singles
            change = ConfChange(type=single.type, node_id=single.node_id)
        else:
            transition = _TRANSITIONS[command.option("transition", "auto")]
            change = ConfChangeV2(transition=transition, changes=singles)
        self.node(command.nodes[0]).propose_conf_change(change)

    def _tick_election(self, command: Command) -> None:
        for _ in range(ELECTION_TICKS):
            self.node(command.nodes[0]).tick()

    def _tick_heartbeat(self, command: Command) -> None:
        for _ in range(HEARTBEAT_TICKS):
            self.node(command.nodes[0]).tick()

    def _set_randomized_election_timeout(self, command: Command) -> None:
        raft = self.node(command.nodes[0]).raft
        raft.randomized_election_timeout = int(command.option("timeout"))

    def _transfer_leadership(self, command: Command) -> None:
        self.node(int(command.option("from"))).transfer_leader(int(command.option("to")))

    def _forget_leader(self, command: Command) -> None:
        self.node(command.nodes[0]).forget_leader()

    def _report_unreachable(self, command: Command) -> None:
        id_, peer = command.nodes
        self.node(id_).report_unreachable(peer)

    def _report_snapshot(self, command: Command) -> None:
        id_, peer = command.nodes
        self.node(id_).report_snapshot(peer, command.flag("ok"))

    def _read_index(self, command: Command) -> None:
        id_, context = command.arguments
        self.node(int(id_)).read_index(context.encode())

    def _send_snapshot(self, command: Command) -> None:
        sender, to = command.nodes
        snap = self.member(sender).storage.snapshot()
        term = self.node(sender).term
        message = Message(MessageType.SNAP, to, sender, term, snapshot=snap)
        self.messages.append(message)
        self.say(*describe.message(message))

    # -- work ----------------------------------------------------------------------------

    def _stabilize(self, command: Command) -> None:
        ids = command.nodes or [member.node.id for member in self.members]
        busy = True
        while busy:
            # Every kind of work gets its turn, also when an earlier one had some.
            turns = [self._work_once(ids, round_) for round_ in range(4)]
            busy = any(turns)

    def _work_once(self, ids: list[int], round_: int) -> bool:
        """One of the four kinds of work, for each member that has some."""
        busy = False
        for id_ in ids:
            member = self.member(id_)
            if round_ == 0 and member.node.has_ready():
                self._heading(f"{id_} handling Ready", lambda id_=id_: self._do_ready(id_))
            elif round_ == 1 and self._for(id_):
                self._heading(
                    f"{id_} receiving messages", lambda id_=id_: self._deliver(id_, drop=False)
                )
            elif round_ == 2 and member.append_work:
                self._heading(
                    f"{id_} processing append thread", lambda m=member: self._all_appends(m)
                )
            elif round_ == 3 and member.apply_work:
                self._heading(
                    f"{id_} processing apply thread", lambda m=member: self._all_applies(m)
                )
            else:
                continue
            busy = True
        return busy

    def _process_ready(self, command: Command) -> None:
        self._each(command, "handling Ready", self._do_ready)

    def _process_append_thread(self, command: Command) -> None:
        self._each(
            command, "processing append thread", lambda id_: self._do_append(self.member(id_))
        )

    def _process_apply_thread(self, command: Command) -> None:
        self._each(command, "processing apply thread", lambda id_: self._do_apply(self.member(id_)))

    def _each(self, command: Command, heading: str, work: Callable[[int], None]) -> None:
        if len(command.nodes) == 1:
            work(command.nodes[0])
            return
        for id_ in command.nodes:
            self._heading(f"{id_} {heading}", lambda id_=id_: work(id_))

    def _do_ready(self, id_: int) -> None:
        member = self.member(id_)
        ready = member.node.ready()
        self.say(*describe.ready(ready))
        classic = not member.config.async_storage_writes
        if classic:
            member.store(ready.hard_state, ready.entries, ready.snapshot)
            member.apply(ready.committed_entries)
        for message in ready.messages:
            if message.type == MessageType.STORAGE_APPEND:
                member.append_work.append(message)
            elif message.type == MessageType.STORAGE_APPLY:
                member.apply_work.append(message)
            else:
                self.messages.append(message)
        if classic:
            member.node.advance(ready)

    def _all_appends(self, member: Member) -> None:
        while member.append_work:
            self._do_append(member)

    def _all_applies(self, member: Member) -> None:
        while member.apply_work:
            self._do_apply(member)

    def _do_append(self, member: Member) -> None:
        work = member.append_work.pop(0)
        responses = self._show_work(work)
        state = HardState(work.term, work.vote, work.commit) if work.term else None
        member.store(state, work.entries, work.snapshot)
        self.messages += responses

    def _do_apply(self, member: Member) -> None:
        work = member.apply_work.pop(0)
        responses = self._show_work(work)
        member.apply(work.entries)
        self.messages += responses

    def _show_work(self, work: Message) -> list[Message]:
        responses, work.responses = work.responses, []
        self.say("Processing:", *describe.message(work), "Responses:")
        for response in responses:
            self.say(*describe.message(response))
        return responses

    # -- the network ---------------------------------------------------------------------

    def _deliver_msgs(self, command: Command) -> None:
        kind = command.option("type")
        for id_ in command.nodes:
            self._deliver(id_, drop=False, kind=kind)
        for id_ in command.ids("drop"):
            self._deliver(id_, drop=True, kind=kind)

    def _for(self, id_: int, *, drop: bool = False, kind: str = "") -> list[Message]:
        return [
            message
            for message in self.messages
            if message.to == id_
            and not (drop and (message.from_ == message.to or message.from_ in _THREADS))
            and (not kind or describe.message_type(message.type) == kind)
        ]

    def _deliver(self, id_: int, *, drop: bool, kind: str = "") -> None:
        chosen = self._for(id_, drop=drop, kind=kind)
        taken = {id(message) for message in chosen}
        self.messages = [message for message in self.messages if id(message) not in taken]
        for message in chosen:
            first, *rest = describe.message(message)
            self.say(f"dropped: {first}" if drop else first, *rest)
            if drop:
                continue
            try:
                self.node(id_).step(message)
            except KvorumError as error:
                self.say(str(error))
