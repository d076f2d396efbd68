"""A cluster of cores under a random schedule, from one seed.

Time, network, disks and crashes are decided by one random generator, so that a seed repeats a run
exactly. Members may differ in their options, as they do during an upgrade.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from kvorum.proto.raftpb import (
    ConfChange,
    ConfChangeSingle,
    ConfChangeTransition,
    ConfChangeType,
    ConfChangeV2,
    ConfState,
    Message,
    MessageType,
    Snapshot,
    SnapshotMetadata,
)
from kvorum.raft import Config, MemoryStorage, PeerNotFoundError, ProposalDroppedError
from tests.simulation.raft_checks import Checks
from tests.simulation.raft_member import Member

ELECTION_TICKS = 5
IDS = (1, 2, 3, 4, 5)
IN_FLIGHT_MAX = 300


class RaftCluster:
    """Five members, of which some found the cluster; the others may be added.

    Attributes:
        may_stick: the cluster may lose its ability to elect a leader (see the test).
    """

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.checks = Checks()
        self.network: list[Message] = []
        self.cut: set[tuple[int, int]] = set()
        self.stopped: set[int] = set()
        self._count = 0
        self._loss = self.rng.choice([0.0, 0.02, 0.2])
        self._check_quorum = self.rng.random() < 0.6
        self._may_shrink = self.rng.random() < 0.6
        self._founders = list(IDS[: self.rng.choice([1, 2, 3, 3, 4, 4, 5])])
        self.may_stick = self._may_shrink or len(self._founders) < 3
        self.members = {id_: self._member(id_) for id_ in IDS}

    def _member(self, id_: int) -> Member:
        rng = self.rng
        start = None
        if id_ in self._founders:
            start = Snapshot(b"", SnapshotMetadata(ConfState(voters=self._founders), 1, 1))
        config = Config(
            id=id_,
            election_tick=ELECTION_TICKS,
            heartbeat_tick=1,
            storage=MemoryStorage(),
            rng=rng,
            max_size_per_msg=rng.choice([0, 60, 10_000]),
            max_committed_size_per_ready=rng.choice([1, 100, 10_000]),
            max_uncommitted_entries_size=rng.choice([50, 1_000_000]),
            max_inflight_msgs=rng.choice([1, 3, 100]),
            # The same everywhere: a member without it in a higher term ignores a leader that the
            # others keep by it. Pre-vote may differ.
            check_quorum=self._check_quorum,
            pre_vote=rng.random() < 0.6,
            async_storage_writes=rng.random() < 0.5,
            step_down_on_removal=rng.random() < 0.5,
        )
        return Member(config, start, rng, self.checks)

    # -- the schedule --------------------------------------------------------------------

    def live(self, steps: int) -> None:
        """Do `steps` random things, with some quiet times in between, or none."""
        phases = self.rng.choice([1, 2, 4])
        for _ in range(phases):
            self.run(steps // phases)
            self.calm_down(ticks=6)

    def run(self, steps: int) -> None:
        """Do `steps` random things.

        Each run has its own taste: some crash all the time, some hardly deliver, some elect more
        than they propose. Runs that do a little of everything find less.
        """
        actions = [action for action, _, _ in _WEIGHTS]
        weights = [weight * self.rng.choice(taste) for _, weight, taste in _WEIGHTS]
        for action in self.rng.choices(actions, weights, k=steps):
            action(self)

    def _any(self) -> Member | None:
        ups = [member for member in self.members.values() if member.up]
        return self.rng.choice(ups) if ups else None

    def _leader(self) -> Member | None:
        leading = [member for member in self.members.values() if member.leads]
        return self.rng.choice(leading) if leading else self._any()

    def _on(self, choose: Callable[[], Member | None], do: Callable[[Member], None]) -> None:
        member = choose()
        if member is None:
            return
        try:
            do(member)
        except ProposalDroppedError:
            return
        self._collect(member)

    def tick(self) -> None:
        self._on(self._any, lambda member: member.node.tick())

    def work(self) -> None:
        for _ in range(self.rng.randrange(1, 5)):
            self._on(self._any, lambda member: member.work())

    def propose(self) -> None:
        self._count += 1
        size = self.rng.choice([1, 1, 1, 3])
        batch = [b"%d.%d" % (self._count, number) for number in range(size)]
        self._on(self._leader, lambda member: member.node.propose_batch(batch))

    def read(self) -> None:
        self._count += 1
        context = b"read-%d" % self._count
        self.checks.read_asked(context)
        self._on(self._any, lambda member: member.node.read_index(context))

    def change_members(self) -> None:
        self._on(
            self._leader, lambda member: member.node.propose_conf_change(self._random_change())
        )

    def _random_change(self) -> ConfChange | ConfChangeV2:
        rng = self.rng
        kinds, ids = [ConfChangeType.ADD_NODE], [4, 5]
        if self._may_shrink:
            kinds += [
                ConfChangeType.ADD_NODE,
                ConfChangeType.ADD_LEARNER_NODE,
                ConfChangeType.REMOVE_NODE,
            ]
            ids = list(IDS)
        if rng.random() < 0.4:
            return ConfChange(type=rng.choice(kinds), node_id=rng.choice(ids))
        singles = [
            ConfChangeSingle(rng.choice(kinds), rng.choice(ids)) for _ in range(rng.randrange(4))
        ]
        return ConfChangeV2(transition=rng.choice(list(ConfChangeTransition)), changes=singles)

    def snapshot(self) -> None:
        self._on(self._any, lambda member: member.snapshot())

    def transfer(self) -> None:
        to = self.rng.choice(IDS)
        self._on(self._leader, lambda member: member.node.transfer_leader(to))

    def nudge(self) -> None:
        """Things that a server may do at any time."""
        peer = self.rng.choice(IDS)
        choices: list[Callable[[Member], None]] = [
            lambda member: member.node.forget_leader(),
            lambda member: member.node.campaign(),
            lambda member: member.node.report_unreachable(peer),
            lambda member: member.node.report_disconnected(peer),
            lambda member: member.node.report_snapshot(peer, ok=self.rng.random() < 0.5),
        ]
        self._on(self._any, self.rng.choice(choices))

    def crash(self) -> None:
        self._on(self._any, lambda member: member.crash())

    def start(self) -> None:
        downs = [member for member in self.members.values() if not member.up]
        if downs:
            self.rng.choice(downs).start()

    def partition(self) -> None:
        """Cut the members into two groups."""
        group = set(self.rng.sample(IDS, self.rng.randrange(1, len(IDS))))
        self.cut = {(a, b) for a in IDS for b in IDS if (a in group) != (b in group)}

    def isolate_leader(self) -> None:
        """Leave the leader alone with at most one other."""
        leader = self._leader()
        if leader is not None:
            group = {leader.id, self.rng.choice(IDS)}
            self.cut = {(a, b) for a in IDS for b in IDS if (a in group) != (b in group)}

    def hurry(self) -> None:
        """Let one member's clock run ahead until it has lost patience."""
        member = self._any()
        if member is not None:
            for _ in range(2 * ELECTION_TICKS):
                member.node.tick()

    def heal(self) -> None:
        self.cut = set()

    # -- the network ---------------------------------------------------------------------

    def _collect(self, member: Member) -> None:
        outbox, member.outbox = member.outbox, []
        for message in outbox:
            if message.to not in self.members:
                continue
            if len(self.network) > IN_FLIGHT_MAX:
                self._lose(self.network.pop(self.rng.randrange(len(self.network))))
            self.network.append(message)
        if member.up:
            self.checks.observe(member.node)

    def _lose(self, message: Message) -> None:
        sender = self.members[message.from_]
        if sender.up and message.type == MessageType.SNAP:
            sender.node.report_snapshot(message.to, ok=False)

    def deliver(self) -> None:
        """Deliver some messages."""
        for _ in range(min(len(self.network), self.rng.randrange(1, 5))):
            self._deliver_one()

    def _deliver_one(self) -> None:
        """Deliver a message, mostly the oldest ones first; or lose it, or deliver it twice."""
        rng = self.rng
        position = 0 if rng.random() < 0.7 else rng.randrange(len(self.network))
        message = self.network[position]
        if rng.random() > 0.03:
            del self.network[position]
        receiver = self.members[message.to]
        if not receiver.up or (message.from_, message.to) in self.cut or rng.random() < self._loss:
            self._lose(message)
            return
        self._hand_over(message, receiver)

    def _hand_over(self, message: Message, receiver: Member) -> None:
        # Over the wire: the receiver must not share objects with the sender.
        copy = Message.decode(message.encode())
        try:
            receiver.node.step(copy)
        except (PeerNotFoundError, ProposalDroppedError):
            return
        sender = self.members[message.from_]
        if message.type == MessageType.SNAP and sender.up:
            sender.node.report_snapshot(message.to, ok=True)
        self._collect(receiver)

    # -- the end -------------------------------------------------------------------------

    def calm_down(self, ticks: int) -> None:
        """A time without faults: everybody is up, and messages take less than a tick."""
        self.cut = set()
        for member in self.members.values():
            if not member.up:
                member.start()
        for _ in range(ticks):
            for member in self._running():
                member.node.tick()
            self._exchange()

    def _running(self) -> list[Member]:
        return [member for member in self.members.values() if member.id not in self.stopped]

    def _exchange(self) -> None:
        """Work and deliver until nobody has anything to do."""
        busy = True
        while busy:
            for member in self._running():
                member.settle()
                self._collect(member)
            network, self.network = self.network, []
            for message in network:
                if message.to not in self.stopped and message.from_ not in self.stopped:
                    self._hand_over(message, self.members[message.to])
            busy = bool(network)

    def retire(self) -> None:
        """Switch off who is no member any more, as its server would.

        Without pre-vote and check-quorum it could disturb the others for ever.
        """
        newest = max(self.members.values(), key=lambda member: member.applied)
        self.stopped = set(IDS) - newest.node.raft.tracker.config.members

    def leader(self) -> Member | None:
        """Who leads the newest term."""
        leading = [member for member in self._running() if member.leads]
        return max(leading, key=lambda member: member.node.term, default=None)


_ALWAYS = (0.5, 1.0, 2.0)
_SOMETIMES = (0.1, 0.5, 1.0, 1.0, 3.0, 8.0)
_WEIGHTS: list[tuple[Callable[[RaftCluster], None], float, tuple[float, ...]]] = [
    (RaftCluster.tick, 25, _ALWAYS),
    (RaftCluster.work, 40, _ALWAYS),
    (RaftCluster.deliver, 50, _ALWAYS),
    (RaftCluster.propose, 6, _SOMETIMES),
    (RaftCluster.read, 2, _SOMETIMES),
    (RaftCluster.change_members, 1.5, _SOMETIMES),
    (RaftCluster.snapshot, 1, _SOMETIMES),
    (RaftCluster.transfer, 0.2, _SOMETIMES),
    (RaftCluster.nudge, 0.3, _SOMETIMES),
    (RaftCluster.crash, 0.5, _SOMETIMES),
    (RaftCluster.start, 2, _ALWAYS),
    (RaftCluster.partition, 0.2, _SOMETIMES),
    (RaftCluster.isolate_leader, 0.8, _SOMETIMES),
    (RaftCluster.heal, 1.5, _ALWAYS),
    (RaftCluster.hurry, 2, _SOMETIMES),
]
