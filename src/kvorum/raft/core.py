"""The state of one member, and the only place where its role or term changes.

    step(message) ─▶ terms.py ─▶ follower.py | candidate.py | leader.py ─▶ messages, log

What a member does in a role stands in the module of the role, what messages of another term mean in
`terms`; here is what all share: the state, the passage from one role or term to another, and what
comes back from storage. Time is counted in ticks that the driver feeds in.

Invariants
    R1  term never goes back; a vote is given once in a term
    R2  lead is this member exactly when its role is LEADER
    R3  messages that promise what is not stored yet wait in `messages_after_append`

Pure: no clock, I/O, logging or globals. The same seed and the same calls give the same answers.

Source: Raft paper, figure 2; Raft thesis 9.6 (pre-vote), 6.2 (check-quorum), 3.10 (transfer).
"""

from __future__ import annotations

from typing import Any

from kvorum.proto.raftpb import (
    ConfState,
    Entry,
    EntryType,
    HardState,
    Message,
    MessageType,
    Snapshot,
)
from kvorum.raft import candidate, election, follower, leader, terms
from kvorum.raft.confchange import configuration_of
from kvorum.raft.config import NOBODY, Config
from kvorum.raft.errors import ProposalDroppedError
from kvorum.raft.log import RaftLog
from kvorum.raft.membership import Configuration
from kvorum.raft.readonly import ReadQueue
from kvorum.raft.ready import ReadState, SoftState, StateRole
from kvorum.raft.sizes import ENTRY_OVERHEAD_BYTES, payload_bytes
from kvorum.raft.trace import TraceEvent, TraceKind
from kvorum.raft.tracker import Tracker

# Their term is the election's, not always this member's; whoever makes one sets it.
_VOTE_TYPES = frozenset(
    {MessageType.VOTE, MessageType.VOTE_RESP, MessageType.PRE_VOTE, MessageType.PRE_VOTE_RESP}
)
# A proposal or read is sent on to whoever leads, in whatever term.
_TERMLESS_TYPES = frozenset({MessageType.PROP, MessageType.READ_INDEX})
# A promise: what was appended, or voted, is stored. A vote before an election is one, too: it must
# not be given twice in the term that this member still has to store.
_PROMISES = frozenset({MessageType.APP_RESP, MessageType.VOTE_RESP, MessageType.PRE_VOTE_RESP})

_HUP = MessageType.HUP
_APP_RESP = MessageType.APP_RESP
_VOTE = MessageType.VOTE
_PRE_VOTE = MessageType.PRE_VOTE
_STORAGE_APPEND_RESP = MessageType.STORAGE_APPEND_RESP
_STORAGE_APPLY_RESP = MessageType.STORAGE_APPLY_RESP

_STEP_OF_ROLE = {
    StateRole.FOLLOWER: follower.step,
    StateRole.PRE_CANDIDATE: candidate.step,
    StateRole.CANDIDATE: candidate.step,
    StateRole.LEADER: leader.step,
}


class Raft:
    """One member. Driven by `RawNode`; the modules of the roles work on it.

    Attributes:
        id, term, vote, role, lead: as in the Raft paper; 0 stands for nobody.
        log, tracker: the log; the configuration and, at a leader, the progress of the others.
        is_learner: this member receives the log and does not vote.
        messages: to be sent at once.
        messages_after_append: to be sent when what was appended before them is stored.
        read_states: confirmed reads for the driver.
        lead_transferee: to whom leadership is being handed over.
        term_start_index: at a leader, its first entry of the term; older ones are committed only
            by way of it.
        pending_conf_index: no configuration change stands in the log above this index; none may be
            proposed before it is applied.
        uncommitted_bytes: payload of proposals that were not applied yet.
        reads: reads that wait for a round of heartbeats.
        early_reads: reads that wait for the first commit of the term.
        election_elapsed, heartbeat_elapsed: ticks; the first since the leader was heard or, at a
            leader, since the quorum was checked.
        randomized_election_timeout: ticks after which this member campaigns.
        leader_lost: the connection to the leader broke and it was not heard since.
    """

    __slots__ = (
        "_trace",
        "config",
        "early_reads",
        "election_elapsed",
        "heartbeat_elapsed",
        "id",
        "is_learner",
        "lead",
        "lead_transferee",
        "leader_lost",
        "log",
        "messages",
        "messages_after_append",
        "pending_conf_index",
        "randomized_election_timeout",
        "read_states",
        "reads",
        "role",
        "term",
        "term_start_index",
        "tracker",
        "uncommitted_bytes",
        "vote",
    )

    def __init__(self, config: Config) -> None:
        self.config = config
        self.id = config.id
        self._trace = config.trace
        self.log = RaftLog(
            config.storage, config.apply_bytes_max, apply_unstable=not config.async_storage_writes
        )
        self.tracker = Tracker(config.id, config.max_inflight_msgs, config.max_inflight_bytes)
        self.term = 0
        self.vote = NOBODY
        self.role = StateRole.FOLLOWER
        self.lead = NOBODY
        self.is_learner = False
        self.messages: list[Message] = []
        self.messages_after_append: list[Message] = []
        self.read_states: list[ReadState] = []
        self.lead_transferee = NOBODY
        self.term_start_index = 0
        self.pending_conf_index = 0
        self.uncommitted_bytes = 0
        self.reads = ReadQueue()
        self.early_reads: list[Message] = []
        self.election_elapsed = 0
        self.heartbeat_elapsed = 0
        self.randomized_election_timeout = 0
        self.leader_lost = False

        hard_state, conf_state = config.storage.initial_state()
        self.switch_config(configuration_of(conf_state))
        self._load(hard_state, config.applied)
        self.become_follower(self.term, NOBODY)

    # -- state -------------------------------------------------------------------------------

    def _load(self, hard_state: HardState, applied: int) -> None:
        """Take up where the member stopped.

        The stored commit index may be behind what was applied: it is written without waiting for
        the disk. What is applied, or in a snapshot, was committed.
        """
        self.log.commit_to(max(hard_state.commit, applied))
        if applied:
            self.log.applied_to(applied, 0)
        self.term = hard_state.term
        self.vote = hard_state.vote

    def hard_state(self) -> HardState:
        return HardState(self.term, self.vote, self.log.committed)

    def soft_state(self) -> SoftState:
        return SoftState(self.lead, self.role)

    @property
    def promotable(self) -> bool:
        """Whether this member may stand for election."""
        known = self.tracker.progress.get(self.id)
        return known is not None and not known.is_learner and self.log.unstable.snapshot is None

    def emit(self, kind: TraceKind, **details: Any) -> None:
        """Tell the trace callback, if there is one."""
        if self._trace is not None:
            self._trace(TraceEvent(kind, self.id, self.term, details))

    def ignore(self, message: Message, reason: str) -> None:
        """Tell the trace callback that a message had no effect."""
        self.emit(TraceKind.MESSAGE_IGNORED, sender=message.from_, type=message.type, reason=reason)

    def send(self, message: Message) -> None:
        """Queue a message of this member: now, or behind what is to be stored."""
        if not message.from_:
            message.from_ = self.id
        if message.type in _VOTE_TYPES:
            assert message.term, message  # whoever asks or answers must say for which term
        elif message.type not in _TERMLESS_TYPES:
            assert not message.term, message
            message.term = self.term
        if message.type in _PROMISES:
            self.messages_after_append.append(message)
        else:
            self.messages.append(message)

    def acknowledge_own(self, index: int) -> None:
        """Let the log up to `index` count as this member's own, once it is stored."""
        waiting = self.messages_after_append
        if waiting:
            last = waiting[-1]
            if last.type == _APP_RESP and last.to == self.id and last.term == self.term:
                # Several proposals before one Ready: one answer says it all.
                last.index = index
                return
        waiting.append(Message(_APP_RESP, self.id, self.id, self.term, 0, index))

    # -- roles and terms ---------------------------------------------------------------------

    def become_follower(self, term: int, lead: int) -> None:
        self._reset(term)
        self.lead = lead
        self.role = StateRole.FOLLOWER
        self.emit(TraceKind.BECAME_FOLLOWER, lead=lead)

    def become_pre_candidate(self) -> None:
        """Ask whether an election could be won; neither term nor vote change."""
        assert self.role is not StateRole.LEADER, self.role
        self.tracker.votes = {}
        self.lead = NOBODY
        self.role = StateRole.PRE_CANDIDATE
        self.emit(TraceKind.BECAME_PRE_CANDIDATE)

    def become_candidate(self) -> None:
        assert self.role is not StateRole.LEADER, self.role
        self._reset(self.term + 1)
        self.vote = self.id
        self.role = StateRole.CANDIDATE
        self.emit(TraceKind.BECAME_CANDIDATE)

    def become_leader(self) -> None:
        """Lead the term, and begin it with an entry without data.

        Nothing of earlier terms can be committed but by way of that entry (Raft paper, 5.4.2).
        """
        assert self.role is StateRole.CANDIDATE, self.role
        self._reset(self.term)
        self.lead = self.id
        self.role = StateRole.LEADER
        own = self.tracker.progress[self.id]
        own.become_replicate()
        own.recent_active = True
        # A change may stand in the part of the log that is not committed. Looking for it would
        # cost a scan; waiting until all that is applied costs nothing.
        self.pending_conf_index = self.log.last_index
        self.term_start_index = self.log.last_index + 1
        self.emit(TraceKind.BECAME_LEADER)
        leader.append(self, [Entry(EntryType.NORMAL, self.term, self.term_start_index)])

    def forget_leader(self) -> None:
        """As a follower, know no leader, in the same term and with the same timeout running."""
        assert self.role is StateRole.FOLLOWER, self.role
        self.emit(TraceKind.LEADER_FORGOTTEN, lead=self.lead)
        self.lead = NOBODY

    def follow(self, lead: int) -> None:
        """The leader of the term was heard: stay, or become, its follower."""
        if self.role is not StateRole.FOLLOWER:
            self.become_follower(self.term, lead)
        self.election_elapsed = 0
        self.leader_lost = False
        self.lead = lead

    def cast_vote(self, candidate_id: int) -> None:
        """Give this term's vote away."""
        assert self.vote in {NOBODY, candidate_id}, self.vote  # R1
        self.vote = candidate_id
        self.election_elapsed = 0

    def _reset(self, term: int) -> None:
        assert term >= self.term, (term, self.term)  # R1
        if term != self.term:
            self.term = term
            self.vote = NOBODY
        self.lead = NOBODY
        self.election_elapsed = 0
        self.heartbeat_elapsed = 0
        self.leader_lost = False
        # Redrawn at every start of a term: members that drew the same would split every vote.
        ticks = self.config.election_tick
        self.randomized_election_timeout = self.config.rng.randrange(ticks, 2 * ticks)
        self.lead_transferee = NOBODY
        self.pending_conf_index = 0
        self.term_start_index = 0
        self.uncommitted_bytes = 0
        self.reads = ReadQueue()
        self.early_reads = []
        self.tracker.restart(self.log.last_index)

    # -- input -------------------------------------------------------------------------------

    def tick(self) -> None:
        """One tick passed."""
        if self.role is StateRole.LEADER:
            leader.tick(self)
        else:
            election.tick(self)

    def step(self, message: Message) -> None:
        """Take in a message, from a peer, from the driver or from storage.

        Raises:
            ProposalDroppedError: a proposal was not taken.
            MalformedMessageError: the message contradicts itself.
            LogDamagedError: this member's log is not what the cluster knows of it.
        """
        kind = message.type
        if (message.term != self.term or not message.term) and not terms.settle(self, message):
            return
        if kind == _STORAGE_APPEND_RESP:
            self._stored(message)
        elif kind == _STORAGE_APPLY_RESP:
            self._applied(message)
        elif kind in {_VOTE, _PRE_VOTE}:
            election.answer(self, message)
        elif kind == _HUP:
            election.start(self, election.first_campaign(self))
        else:
            _STEP_OF_ROLE[self.role](self, message)

    # -- storage -----------------------------------------------------------------------------

    def _stored(self, message: Message) -> None:
        if message.index:
            self.log.unstable.stored_to(message.index, message.log_term)
        if message.snapshot is not None:
            self.snapshot_stored(message.snapshot)

    def snapshot_stored(self, snapshot: Snapshot) -> None:
        """A snapshot is stored and has taken the place of the state machine."""
        index = snapshot.metadata.index
        self.log.unstable.snapshot_stored(index)
        self.applied_to(index, 0)

    def _applied(self, message: Message) -> None:
        entries = message.entries
        if entries:
            payload = payload_bytes(entries)
            self.applied_to(entries[-1].index, payload + ENTRY_OVERHEAD_BYTES * len(entries))
            # Below zero it would go at a member that has come to lead since they were proposed.
            self.uncommitted_bytes = max(0, self.uncommitted_bytes - payload)

    def applied_to(self, index: int, size_bytes: int) -> None:
        """The state machine has everything up to `index`."""
        # A snapshot may have overtaken entries that were out to be applied.
        index = max(index, self.log.applied)
        self.log.applied_to(index, size_bytes)
        if self.role is StateRole.LEADER:
            self.leave_joint_if_due()

    def leave_joint_if_due(self) -> None:
        """As leader, propose to leave a joint configuration that is to be left by itself."""
        if not self.tracker.config.auto_leave or self.log.applied < self.pending_conf_index:
            return
        try:
            leader.propose(self, [Entry(EntryType.CONF_CHANGE_V2)])
        except ProposalDroppedError:
            # Leadership is being handed over. Whoever gets it comes here again, and so does this
            # member when it keeps it.
            return
        self.emit(TraceKind.AUTO_LEAVE_STARTED)

    # -- configuration -----------------------------------------------------------------------

    def switch_config(self, config: Configuration) -> ConfState:
        """Take over a configuration whose change was committed, or that a snapshot brought."""
        self.tracker.install(config, self.log.last_index)
        self.is_learner = self.id in config.learners
        self.emit(TraceKind.CONFIG_SWITCHED, configuration=str(config))
        if self.role is StateRole.LEADER:
            if self.id in config.all_voters:
                leader.config_switched(self)
            elif self.config.step_down_on_removal:
                self.become_follower(self.term, NOBODY)
        return config.conf_state()
