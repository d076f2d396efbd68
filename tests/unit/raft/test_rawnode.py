from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

import kvorum.raft
from kvorum.proto.raftpb import (
    ConfChange,
    ConfChangeType,
    ConfState,
    Entry,
    HardState,
    Message,
    MessageType,
)
from kvorum.raft import (
    APPEND_THREAD,
    APPLY_THREAD,
    ConfChangeError,
    LocalMessageError,
    LogDamagedError,
    MalformedMessageError,
    PeerNotFoundError,
    ProposalDroppedError,
    Ready,
    SoftState,
    StateRole,
)
from tests.unit.raft.group import Node, app, entries_of, single, snapshot_at, storage_of

LOCAL = [
    MessageType.HUP,
    MessageType.BEAT,
    MessageType.UNREACHABLE,
    MessageType.SNAP_STATUS,
    MessageType.CHECK_QUORUM,
    MessageType.STORAGE_APPEND,
    MessageType.STORAGE_APPEND_RESP,
    MessageType.STORAGE_APPLY,
    MessageType.STORAGE_APPLY_RESP,
    MessageType.FORGET_LEADER,
]
ANSWERS = [
    MessageType.APP_RESP,
    MessageType.VOTE_RESP,
    MessageType.PRE_VOTE_RESP,
    MessageType.HEARTBEAT_RESP,
    MessageType.READ_INDEX_RESP,
]


@pytest.mark.parametrize("kind", LOCAL)
def test_what_never_leaves_a_member_is_not_taken_from_another(kind: MessageType) -> None:
    with pytest.raises(LocalMessageError, match="cannot step raft local message"):
        Node(storage_of()).step(Message(kind, 1, 2))


@pytest.mark.parametrize("kind", ANSWERS)
def test_answers_are_taken_from_members_only(kind: MessageType) -> None:
    with pytest.raises(PeerNotFoundError, match="cannot step as peer not found"):
        Node(storage_of()).step(Message(kind, 1, 9, 1))


@pytest.mark.parametrize("kind", [*range(-1, 26), 1000])
@pytest.mark.parametrize("role", list(StateRole))
def test_no_message_of_a_member_trips_the_core(kind: int, role: StateRole) -> None:
    """Any type, in any role, with hardly anything in it: taken, ignored or refused."""
    node = in_role(role)
    refusals = (LocalMessageError, ProposalDroppedError, MalformedMessageError)
    for term in (0, node.term, node.term + 1):
        with suppress(*refusals):
            node.step(Message(kind, 1, 2, term))
        node.work()
    assert node.log[0] == (1, 1)


def in_role(role: StateRole) -> Node:
    node = Node(storage_of(1), pre_vote=role is StateRole.PRE_CANDIDATE)
    if role is StateRole.FOLLOWER:
        return node
    node.campaign()
    node.work()
    if role is StateRole.LEADER:
        node.answer(Message(MessageType.VOTE_RESP, 1, 2, node.term))
    assert node.role is role
    return node


# -- Ready -----------------------------------------------------------------------------------


def test_a_fresh_member_has_nothing_to_do() -> None:
    node = Node(storage_of())
    assert not node.has_ready()
    ready = node.ready()
    assert ready == Ready(None, None, [], [], None, [], [], False)
    node.advance(ready)


def test_a_ready_tells_what_changed_once() -> None:
    node = Node(storage_of(voters=(1,)))
    node.campaign()
    first = node.ready()
    assert first.soft_state == SoftState(0, StateRole.CANDIDATE)
    assert (first.hard_state, first.must_sync) == (HardState(1, 1, 0), True)
    node.advance(first)
    second = node.ready()
    assert second.soft_state == SoftState(1, StateRole.LEADER)
    assert (second.hard_state, second.must_sync) == (None, True)
    assert [entry.index for entry in second.entries] == [1]
    node.storage.append(second.entries)
    node.advance(second)
    third = node.ready()
    assert (third.soft_state, third.entries) == (None, [])
    assert (third.hard_state, third.must_sync) == (HardState(1, 1, 1), False)
    assert [entry.index for entry in third.committed_entries] == [1]
    node.advance(third)
    assert not node.has_ready()


def test_a_ready_must_be_advanced_before_the_next() -> None:
    node = single()
    node.propose(b"a")
    ready = node.ready()
    with pytest.raises(AssertionError):
        node.ready()
    with pytest.raises(AssertionError):
        node.advance(Ready(None, None, [], [], None, [], [], False))
    node.storage.append(ready.entries)
    node.advance(ready)
    with pytest.raises(AssertionError):
        node.advance(ready)


def test_a_ready_does_not_change_when_the_member_goes_on() -> None:
    node = single()
    node.propose_batch([b"a", b"b"])
    ready = node.ready()
    node.propose(b"c")
    assert [entry.data for entry in ready.entries] == [b"a", b"b"]
    node.storage.append(ready.entries)
    node.advance(ready)
    node.work()
    assert [entry.data for entry in ready.entries] == [b"a", b"b"]
    assert node.data == [b"a", b"b", b"c"]


def test_proposing_nothing_is_a_mistake() -> None:
    with pytest.raises(AssertionError):
        single().propose_batch([])


# -- asynchronous storage --------------------------------------------------------------------


class Threads:
    """The two threads of a member with asynchronous storage, worked by hand."""

    def __init__(self, **options: Any) -> None:
        self.node = Node(storage_of(voters=(1,)), async_storage_writes=True, **options)
        self.appends: list[Message] = []
        self.applies: list[Message] = []

    def take(self) -> Ready:
        ready = self.node.ready()
        for message in ready.messages:
            if message.to == APPEND_THREAD:
                self.appends.append(message)
            elif message.to == APPLY_THREAD:
                self.applies.append(message)
        return ready

    def append(self) -> None:
        work = self.appends.pop(0)
        self.node.storage.append(work.entries)
        self._answer(work)

    def apply(self) -> list[bytes | None]:
        work = self.applies.pop(0)
        self._answer(work)
        return [entry.data for entry in work.entries]

    def _answer(self, work: Message) -> None:
        for response in work.responses:
            self.node.step(response)

    def settle(self) -> None:
        while self.node.has_ready() or self.appends or self.applies:
            if self.node.has_ready():
                self.take()
            while self.appends:
                self.append()
            while self.applies:
                self.apply()


def led(**options: Any) -> Threads:
    threads = Threads(**options)
    threads.node.campaign()
    threads.settle()
    assert threads.node.role is StateRole.LEADER
    return threads


def test_readies_can_be_taken_while_writes_are_under_way() -> None:
    threads = led()
    node = threads.node
    for data in (b"a", b"b", b"c"):
        node.propose(data)
        threads.take()
    assert [[entry.data for entry in work.entries] for work in threads.appends] == [
        [b"a"],
        [b"b"],
        [b"c"],
    ]
    threads.append()
    assert threads.take().hard_state == HardState(1, 1, 2)
    assert threads.apply() == [b"a"]
    threads.settle()
    assert node.raft.log.applied == 4


def test_nothing_is_applied_before_it_is_stored() -> None:
    threads = led()
    threads.node.propose(b"a")
    ready = threads.take()
    assert ready.committed_entries == []
    assert threads.applies == []
    assert not threads.node.has_ready()


def test_several_proposals_before_a_ready_make_one_write_with_one_answer() -> None:
    threads = led()
    threads.node.propose(b"a")
    threads.node.propose(b"b")
    threads.take()
    (work,) = threads.appends
    assert [(m.type, m.from_, m.to, m.index) for m in work.responses] == [
        (MessageType.APP_RESP, 1, 1, 3),
        (MessageType.STORAGE_APPEND_RESP, APPEND_THREAD, 1, 3),
    ]


def test_a_write_of_the_commit_index_alone_has_nobody_waiting() -> None:
    threads = led()
    threads.node.propose(b"a")
    threads.take()
    threads.append()
    threads.take()
    (work,) = threads.appends
    assert (work.commit, work.entries, work.responses) == (2, [], [])


def test_a_late_answer_for_overwritten_entries_is_ignored() -> None:
    """The ABA case: stored with term 1, replaced by term 2, whose write is still under way."""
    node = Node(storage_of(), async_storage_writes=True)
    writes = []
    for term in (1, 2):
        node.step(app(2, term, (0, 0), entries_of(term)))
        writes += [m for m in node.ready().messages if m.to == APPEND_THREAD]
    node.storage.append(writes[0].entries)
    for response in writes[0].responses:
        if response.to == 1:
            node.step(response)
    assert node.raft.log.term(1) == 2, "not that of the storage"
    node.storage.append(writes[1].entries)
    for response in writes[1].responses:
        if response.to == 1:
            node.step(response)
    assert node.raft.log.unstable.entries == []


def test_a_write_after_a_change_of_term_stands_in_for_the_lost_answer() -> None:
    """The first write's answer is of an old term; nothing else would say it is stored."""
    node = Node(storage_of(), async_storage_writes=True)
    node.step(app(2, 1, (0, 0), entries_of(1)))
    (first,) = node.ready().messages
    node.step(Message(MessageType.HEARTBEAT, 1, 3, 2))
    second = node.ready().messages[-1]
    node.storage.append(first.entries)
    for work in (first, second):
        for response in work.responses:
            if response.to == 1:
                node.step(response)
    assert node.raft.log.unstable.entries == []


def test_a_snapshot_is_applied_when_the_append_thread_says_so() -> None:
    node = Node(storage_of(), async_storage_writes=True)
    snapshot = snapshot_at(9, 2, [1, 2])
    node.step(Message(MessageType.SNAP, 1, 2, 2, snapshot=snapshot))
    (work,) = node.ready().messages
    assert work.snapshot is snapshot
    assert node.raft.log.applied == 0
    # The term moves on before the write is done: that does not take the snapshot back.
    node.step(Message(MessageType.HEARTBEAT, 1, 2, 3))
    node.ready()
    node.storage.apply_snapshot(snapshot)
    for response in work.responses:
        if response.to == 1:
            node.step(response)
    assert node.raft.log.applied == 9
    assert node.raft.log.unstable.snapshot is None


def test_a_snapshot_may_overtake_entries_that_are_being_applied() -> None:
    node = Node(storage_of(1, 1, 1), async_storage_writes=True)
    node.step(app(2, 1, (1, 3), [], commit=3))
    apply = node.ready().messages[-1]
    assert apply.to == APPLY_THREAD
    node.step(Message(MessageType.SNAP, 1, 2, 1, snapshot=snapshot_at(9, 1, [1, 2, 3])))
    (write,) = node.ready().messages
    assert write.snapshot is not None
    node.storage.apply_snapshot(write.snapshot)
    for response in (*write.responses, *apply.responses):
        if response.to == 1:
            node.step(response)
    assert node.raft.log.applied == 9


def test_an_answer_to_oneself_after_the_own_removal_is_not_an_error() -> None:
    threads = led()
    node = threads.node
    node.raft.tracker.progress.pop(1)
    node.step(Message(MessageType.APP_RESP, 1, 1, 1, index=1))
    assert not node.has_ready()


def test_with_asynchronous_storage_nothing_is_advanced() -> None:
    threads = led()
    threads.node.propose(b"a")
    with pytest.raises(AssertionError):
        threads.node.advance(threads.take())


# -- start -----------------------------------------------------------------------------------


def test_a_member_goes_on_where_it_stopped() -> None:
    storage = storage_of(1, 1, 2)
    storage.set_hard_state(HardState(term=3, vote=2, commit=2))
    node = Node(storage, applied=1)
    assert (node.term, node.raft.vote, node.committed) == (3, 2, 2)
    assert not node.readies
    node.work()
    assert node.data == [b"2"]


def test_what_was_applied_counts_as_committed() -> None:
    """The commit index is stored without waiting for the disk, so it may be behind."""
    storage = storage_of(1, 1, 2)
    storage.set_hard_state(HardState(term=2, commit=1))
    node = Node(storage, applied=3)
    assert (node.committed, node.raft.log.applied) == (3, 3)
    node.work()
    assert node.data == []


def test_a_member_after_a_snapshot_begins_behind_it() -> None:
    storage = storage_of()
    storage.apply_snapshot(snapshot_at(9, 2, [1, 2]))
    storage.set_hard_state(HardState(term=2, commit=5))
    node = Node(storage, applied=9)
    assert (node.committed, node.raft.log.applied) == (9, 9)
    assert str(node.raft.tracker.config) == "voters=(1 2)"


@pytest.mark.parametrize("state", [HardState(term=1, commit=4), HardState(term=1, commit=9)])
def test_a_commit_index_beyond_the_log_stops_the_start(state: HardState) -> None:
    storage = storage_of(1, 1, 1)
    storage.set_hard_state(state)
    with pytest.raises(LogDamagedError, match="the log ends at 3"):
        Node(storage)


def test_a_stored_configuration_that_cannot_be_stops_the_start() -> None:
    storage = storage_of()
    storage.apply_snapshot(snapshot_at(9, 2, [1], [1]))
    with pytest.raises(ConfChangeError):
        Node(storage)


# -- others ----------------------------------------------------------------------------------


def test_a_change_that_cannot_be_made_leaves_everything_as_it_is() -> None:
    node = single()
    with pytest.raises(ConfChangeError, match="removed all voters"):
        node.apply_conf_change(ConfChange(type=ConfChangeType.REMOVE_NODE, node_id=1))
    assert str(node.raft.tracker.config) == "voters=(1)"
    state = node.apply_conf_change(ConfChange(type=ConfChangeType.REMOVE_NODE, node_id=0))
    assert state == ConfState(voters=[1])


def test_the_status_is_a_copy() -> None:
    node = single()
    status = node.status()
    node.propose(b"a")
    node.work()
    assert (status.committed, status.last_index, status.progress[1].match) == (1, 1, 1)
    assert (status.role, status.lead, status.term, status.id) == (StateRole.LEADER, 1, 1, 1)
    assert Node(storage_of()).status().progress == {}


def test_the_cheap_attributes_agree_with_the_status() -> None:
    node = single()
    status = node.status()
    assert (node.id, node.term, node.lead, node.role, node.committed) == (
        status.id,
        status.term,
        status.lead,
        status.role,
        status.committed,
    )


def test_a_dropped_proposal_says_so_in_etcds_words() -> None:
    with pytest.raises(ProposalDroppedError, match=r"^raft proposal dropped$"):
        Node(storage_of()).propose(b"a")


def test_the_public_names_are_there() -> None:
    assert sorted(kvorum.raft.__all__, key=str) == sorted(set(kvorum.raft.__all__), key=str)
    assert all(hasattr(kvorum.raft, name) for name in kvorum.raft.__all__)


def test_the_same_input_gives_the_same_output() -> None:
    """No clock, no randomness of its own."""

    def run() -> list[str]:
        node = Node(storage_of(), 2)
        out = []
        for _ in range(100):
            node.tick()
            out += [repr(message) for message in node.work()]
        return out

    assert run() == run()
    assert Entry() == Entry()
