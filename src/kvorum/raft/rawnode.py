"""The face of the core: inputs as methods, outputs as `Ready`.

Not thread-safe: one thread, or one event loop, drives a node. See `ready` for what the driver owes.
"""

from __future__ import annotations

from kvorum.proto.raftpb import (
    ConfChange,
    ConfChangeV2,
    ConfState,
    Entry,
    HardState,
    Message,
    MessageType,
    Snapshot,
)
from kvorum.raft import leader
from kvorum.raft.confchange import changed, encode_change
from kvorum.raft.config import APPEND_THREAD, APPLY_THREAD, Config
from kvorum.raft.core import Raft
from kvorum.raft.errors import LocalMessageError, PeerNotFoundError
from kvorum.raft.ready import Ready, SoftState, StateRole
from kvorum.raft.status import Status

_THREADS = frozenset({APPEND_THREAD, APPLY_THREAD})
_STORAGE_TYPES = frozenset({MessageType.STORAGE_APPEND_RESP, MessageType.STORAGE_APPLY_RESP})
_LOCAL_TYPES = _STORAGE_TYPES | {
    MessageType.HUP,
    MessageType.BEAT,
    MessageType.UNREACHABLE,
    MessageType.SNAP_STATUS,
    MessageType.CHECK_QUORUM,
    MessageType.STORAGE_APPEND,
    MessageType.STORAGE_APPLY,
    MessageType.FORGET_LEADER,
}
_ANSWER_TYPES = frozenset(
    {
        MessageType.APP_RESP,
        MessageType.VOTE_RESP,
        MessageType.PRE_VOTE_RESP,
        MessageType.HEARTBEAT_RESP,
        MessageType.READ_INDEX_RESP,
    }
)


class RawNode:
    """One member, to be driven by ticks, messages and proposals.

    Attributes:
        raft: the member's state, to read: `.term`, `.lead`, `.role`, `.log.committed`,
            `.log.applied`, `.log.last_index`, `.is_learner`. The properties here repeat some.

    Raises:
        LogDamagedError: hard state and log of the storage contradict each other.
        ConfChangeError: the stored configuration contradicts itself.
    """

    __slots__ = ("_async", "_hard_state", "_on_advance", "_out", "_soft_state", "raft")

    def __init__(self, config: Config) -> None:
        self.raft = Raft(config)
        self._async = config.async_storage_writes
        self._soft_state = self.raft.soft_state()
        self._hard_state = self.raft.hard_state()
        self._out: Ready | None = None  # classic mode: the one that was not advanced
        self._on_advance: list[Message] = []

    @property
    def id(self) -> int:
        return self.raft.id

    @property
    def term(self) -> int:
        return self.raft.term

    @property
    def lead(self) -> int:
        """Who leads the term; 0 when this member does not know."""
        return self.raft.lead

    @property
    def role(self) -> StateRole:
        return self.raft.role

    @property
    def committed(self) -> int:
        """Index of the newest entry known to be committed."""
        return self.raft.log.committed

    # -- input -------------------------------------------------------------------------------

    def tick(self) -> None:
        """One tick of the logical clock has passed."""
        self.raft.tick()

    def campaign(self) -> None:
        """Stand for election now, with pre-vote where that is on. A leader ignores it."""
        self.raft.step(Message(MessageType.HUP, from_=self.raft.id))

    def propose(self, data: bytes) -> None:
        """Propose one entry.

        Raises:
            ProposalDroppedError: it was not taken; its `reason` tells why.
        """
        self.propose_batch([data])

    def propose_batch(self, batch: list[bytes]) -> None:
        """Propose many entries, in order and all or none. A follower sends them on as one message.

        That nothing is raised does not mean that they will be committed.

        Args:
            batch: at least one.

        Raises:
            ProposalDroppedError: none was taken.

        Cost: at a leader 0.25 to 0.4 µs an entry in batches of 50 or more, 2 µs for one alone
            (CPython 3.11).
        """
        assert batch
        raft = self.raft
        if raft.role is StateRole.LEADER:
            leader.propose_data(raft, batch)
            return
        entries = [Entry(0, 0, 0, data) for data in batch]
        raft.step(Message(MessageType.PROP, from_=raft.id, entries=entries))

    def propose_conf_change(self, change: ConfChange | ConfChangeV2) -> None:
        """Propose a change of the configuration. An empty `ConfChangeV2` leaves a joint one.

        A leader lets only one change be on its way, and none that cannot be made now: in its place
        an empty entry is committed.

        Raises:
            ProposalDroppedError: it was not taken.
        """
        entries = [encode_change(change)]
        self.raft.step(Message(MessageType.PROP, from_=self.raft.id, entries=entries))

    def apply_conf_change(self, change: ConfChange | ConfChangeV2) -> ConfState:
        """Switch to the configuration that a committed change makes, and return it.

        Must be called for each committed change, in order, before the entries behind it are
        applied. A change that the server refuses is applied with node id 0.

        Raises:
            ConfChangeError: it cannot be made. The configuration stays; that is so on all members.
        """
        config = changed(
            self.raft.tracker.config,
            change.as_v2() if isinstance(change, ConfChange) else change,
        )
        return self.raft.switch_config(config)

    def step(self, message: Message) -> None:
        """Take in a message of another member, or of one of the two local threads.

        Whoever receives messages from a network must not let through a sender that calls itself
        `APPEND_THREAD` or `APPLY_THREAD`.

        Raises:
            LocalMessageError: another member sent what never leaves a member.
            PeerNotFoundError: an answer of somebody who is no member.
            ProposalDroppedError: a proposal that was sent on to this member was not taken.
            MalformedMessageError: the message contradicts itself.
            LogDamagedError: this member's log is not what the cluster knows of it: stop.
        """
        kind, sender = message.type, message.from_
        if kind in _LOCAL_TYPES:
            if sender not in _THREADS or kind not in _STORAGE_TYPES:
                raise LocalMessageError
        elif kind in _ANSWER_TYPES:
            raft = self.raft
            if sender not in raft.tracker.progress and sender != raft.id:
                raise PeerNotFoundError
        self.raft.step(message)

    def read_index(self, context: bytes) -> None:
        """Ask for an index at which a read is linearizable; it comes as a `ReadState`.

        No answer comes when no leader is known, when leadership changes, or when a message is
        lost: ask again. A leader that is the only voter answers in the next Ready, without a round.

        Args:
            context: comes back with the answer; must differ from those of reads under way.
        """
        self.raft.step(Message(MessageType.READ_INDEX, entries=[Entry(data=context)]))

    def read_index_now(self) -> int | None:
        """What `read_index` would answer, where nobody has to be asked.

        That is so at a leader which is the only voter, or trusts its lease, once it has committed
        in its term. None: use `read_index`.
        """
        return leader.read_index_now(self.raft)

    def transfer_leader(self, to: int) -> None:
        """Ask the leader to hand over to `to`. Proposals are refused meanwhile.

        Given up silently after an election timeout; ignored when `to` is no voter.
        """
        self.raft.step(Message(MessageType.TRANSFER_LEADER, from_=to))

    def forget_leader(self) -> None:
        """As a follower, grant votes although the leader was heard a short while ago."""
        self.raft.step(Message(MessageType.FORGET_LEADER))

    def report_unreachable(self, peer: int) -> None:
        """A message to `peer` could not be sent."""
        self.raft.step(Message(MessageType.UNREACHABLE, from_=peer))

    def report_disconnected(self, peer: int) -> None:
        """The connection to `peer` broke. A follower campaigns sooner when that was its leader.

        A leader that is heard again is followed on as if nothing had happened.
        """
        raft = self.raft
        if raft.role is StateRole.FOLLOWER and raft.lead == peer:
            raft.leader_lost = True

    def report_snapshot(self, peer: int, ok: bool) -> None:
        """A snapshot sent to `peer` has been taken in there, or has failed.

        Until this is called, or the peer has caught up, nothing else is sent to it.
        """
        self.raft.step(Message(MessageType.SNAP_STATUS, from_=peer, reject=not ok))

    def status(self) -> Status:
        """A copy of the member's state."""
        return Status.of(self.raft)

    # -- output ------------------------------------------------------------------------------

    def has_ready(self) -> bool:
        """Whether there is anything to do. Cheap: builds nothing."""
        raft = self.raft
        log = raft.log
        return (
            bool(raft.messages or raft.messages_after_append or raft.read_states)
            or log.unstable.has_next
            or log.has_next_committed
            or self._hard_state_changed()
            or self._soft_state.lead != raft.lead
            or self._soft_state.role is not raft.role
            or log.unstable.next_snapshot() is not None
        )

    def ready(self) -> Ready:
        """Take what there is to do. In classic mode `advance` must follow before the next."""
        assert self._out is None, "advance() was not called for the Ready before"
        raft, log = self.raft, self.raft.log
        hard_state = self._next_hard_state()
        entries = log.unstable.next_entries()
        ready = Ready(
            soft_state=self._next_soft_state(),
            hard_state=hard_state,
            read_states=raft.read_states,
            entries=entries,
            snapshot=log.unstable.next_snapshot(),
            committed_entries=log.hand_out_committed(),
            messages=raft.messages,
            must_sync=bool(entries) or self._vote_is_new(hard_state),
        )
        held, raft.messages_after_append = raft.messages_after_append, []
        raft.messages = []
        raft.read_states = []
        if self._async:
            self._ask_for_storage(ready, held)
        else:
            self._hold_until_advance(ready, held)
            self._out = ready
        log.unstable.hand_out()
        if hard_state is not None:
            self._hard_state = hard_state
        return ready

    def advance(self, ready: Ready) -> None:
        """Classic mode: what `ready` asked for is stored, sent and applied."""
        assert not self._async, "with asynchronous storage the two threads answer"
        assert self._out is ready, "not the Ready that was taken last"
        self._out = None
        answers, self._on_advance = self._on_advance, []
        step = self.raft.step
        for message in answers:
            step(message)

    def _hard_state_changed(self) -> bool:
        raft, known = self.raft, self._hard_state
        return (
            raft.log.committed != known.commit or raft.term != known.term or raft.vote != known.vote
        )

    def _next_hard_state(self) -> HardState | None:
        return self.raft.hard_state() if self._hard_state_changed() else None

    def _vote_is_new(self, hard_state: HardState | None) -> bool:
        known = self._hard_state
        return hard_state is not None and (
            hard_state.term != known.term or hard_state.vote != known.vote
        )

    def _next_soft_state(self) -> SoftState | None:
        raft, known = self.raft, self._soft_state
        if known.lead == raft.lead and known.role is raft.role:
            return None
        self._soft_state = raft.soft_state()
        return self._soft_state

    def _ask_for_storage(self, ready: Ready, held: list[Message]) -> None:
        """Add the messages to the two threads. What was `held` goes out as the first's answers."""
        append = ready.entries or ready.hard_state or ready.snapshot or held
        if append:
            hard_state = ready.hard_state or _NO_HARD_STATE
            stored = self._stored_answer(ready.snapshot)
            if stored is not None:
                held.append(stored)
            ready.messages.append(
                Message(
                    MessageType.STORAGE_APPEND,
                    APPEND_THREAD,
                    self.raft.id,
                    hard_state.term,
                    entries=ready.entries,
                    commit=hard_state.commit,
                    snapshot=ready.snapshot,
                    vote=hard_state.vote,
                    responses=held,
                )
            )
        if ready.committed_entries:
            ready.messages.append(
                Message(
                    MessageType.STORAGE_APPLY,
                    APPLY_THREAD,
                    self.raft.id,
                    entries=ready.committed_entries,
                    responses=[self._applied_answer(ready.committed_entries)],
                )
            )

    def _hold_until_advance(self, ready: Ready, held: list[Message]) -> None:
        """Send what was `held`; what this member says to itself waits until it is true."""
        own = self._on_advance
        for message in held:
            (own if message.to == self.raft.id else ready.messages).append(message)
        stored = self._stored_answer(ready.snapshot)
        if stored is not None:
            own.append(stored)
        if ready.committed_entries:
            own.append(self._applied_answer(ready.committed_entries))

    def _stored_answer(self, snapshot: Snapshot | None) -> Message | None:
        """What tells the core that its log, as far as it goes now, is stored; None: it is.

        Also a write without entries tells it again, when there are entries that are being stored:
        with the term of now. Their own answer does not count any more if the term has changed since
        (entries written in between may be about to overwrite them), and no later one might come.
        """
        raft = self.raft
        unstable = raft.log.unstable
        if not unstable.entries and snapshot is None:
            return None
        answer = Message(
            MessageType.STORAGE_APPEND_RESP, raft.id, APPEND_THREAD, raft.term, snapshot=snapshot
        )
        if unstable.entries:
            answer.index, answer.log_term = raft.log.last_index, raft.log.last_term
        return answer

    def _applied_answer(self, entries: list[Entry]) -> Message:
        return Message(MessageType.STORAGE_APPLY_RESP, self.raft.id, APPLY_THREAD, entries=entries)


_NO_HARD_STATE = HardState()
