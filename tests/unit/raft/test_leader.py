"""What a leader does. Sections are those of the Raft paper and of the thesis."""

from __future__ import annotations

from typing import Any

import pytest

from kvorum.proto.raftpb import (
    ConfChange,
    ConfChangeSingle,
    ConfChangeTransition,
    ConfChangeType,
    ConfChangeV2,
    ConfState,
    Entry,
    EntryType,
    HardState,
    Message,
    MessageType,
)
from kvorum.raft import (
    DropReason,
    MemoryStorage,
    ProgressState,
    ProposalDroppedError,
    SnapshotTemporarilyUnavailableError,
    StateRole,
    TraceKind,
)
from kvorum.raft.readonly import READS_MAX
from kvorum.raft.sizes import ENTRY_OVERHEAD_BYTES
from tests.unit.raft.group import ELECTION_TICKS, Group, Node, single, storage_of

APP, APP_RESP = MessageType.APP, MessageType.APP_RESP
HEARTBEAT, HEARTBEAT_RESP = MessageType.HEARTBEAT, MessageType.HEARTBEAT_RESP
ADD, REMOVE = ConfChangeType.ADD_NODE, ConfChangeType.REMOVE_NODE


def leader_of(*voters: int, stored: tuple[int, ...] = (), **options: Any) -> Node:
    """Member 1, elected, with all that follows from it done; nobody has answered its MsgApps."""
    node = Node(storage_of(*stored, voters=voters), **options)
    node.campaign()
    node.work()
    for voter in voters[1:]:
        if node.role is not StateRole.LEADER:
            node.step(Message(MessageType.VOTE_RESP, 1, voter, node.term))
    assert node.role is StateRole.LEADER
    node.work()
    return node


def replicating(*voters: int, **options: Any) -> Node:
    """A leader whose first entry everybody has."""
    node = leader_of(*voters, **options)
    for voter in voters[1:]:
        node.step(Message(APP_RESP, 1, voter, node.term, index=node.raft.log.last_index))
    node.work()
    return node


def apps(messages: list[Message], to: int) -> list[Message]:
    return [message for message in messages if message.type == APP and message.to == to]


# -- proposals and commit --------------------------------------------------------------------


def test_a_batch_is_committed_in_order_by_a_single_voter() -> None:
    node = single()
    node.propose_batch([b"a", b"b", b"c"])
    node.propose(b"d")
    assert node.work() == []
    assert node.data == [b"a", b"b", b"c", b"d"]


def test_entries_go_to_everybody_before_they_are_stored_here() -> None:
    """Thesis 10.2.1."""
    node = replicating(1, 2, 3, async_storage_writes=False)
    node.propose_batch([b"a", b"b"])
    ready = node.ready()
    assert [(m.to, m.index, len(m.entries)) for m in ready.messages] == [(2, 1, 2), (3, 1, 2)]
    assert [entry.data for entry in ready.entries] == [b"a", b"b"]


def test_an_entry_is_committed_when_a_majority_has_stored_it() -> None:
    """5.3. The leader counts only once it has stored it itself."""
    node = replicating(1, 2, 3, 4, 5)
    node.propose(b"a")
    ready = node.ready()
    node.storage.append(ready.entries)
    node.step(Message(APP_RESP, 1, 2, 1, index=2))
    node.step(Message(APP_RESP, 1, 3, 1, index=2))
    assert node.committed == 1
    node.advance(ready)
    assert node.committed == 2


def test_entries_of_earlier_terms_are_committed_only_with_one_of_this_term() -> None:
    """5.4.2, figure 8."""
    node = leader_of(1, 2, 3, stored=(1, 2))
    node.step(Message(APP_RESP, 1, 2, 3, index=2))
    assert node.committed == 0
    node.step(Message(APP_RESP, 1, 2, 3, index=3))
    assert node.committed == 3


def test_followers_learn_what_is_committed() -> None:
    group = Group.of(3)
    group.elect(1).propose(b"a")
    group.settle()
    assert [group[member].data for member in (1, 2, 3)] == [[b"a"]] * 3


def test_a_follower_with_a_different_log_gets_the_leaders() -> None:
    """5.3, figure 7: what is missing is sent, what contradicts is replaced."""
    logs = {1: (1, 1, 1, 4, 4, 5, 5, 6, 6, 6), 2: (1, 1, 1, 4), 3: (1, 1, 1, 2, 2, 2, 3, 3, 3)}
    nodes = [Node(storage_of(*terms), member) for member, terms in logs.items()]
    for node in nodes:
        node.raft.term = 7
    group = Group(nodes)
    group.elect(1)
    assert group[2].log == group[1].log
    assert group[3].log == group[1].log
    assert len(group.sent(APP)) < 12, "the hints skip whole terms"


def test_acknowledging_what_does_not_exist_has_no_effect() -> None:
    node = replicating(1, 2, 3)
    node.answer(Message(APP_RESP, 1, 2, 1, index=99))
    node.answer(Message(APP_RESP, 1, 3, 1, index=99))
    assert node.committed == 1


def test_too_much_uncommitted_is_refused_but_one_proposal_is_always_taken() -> None:
    node = replicating(1, 2, 3, max_uncommitted_entries_size=10)
    node.propose(b"x" * 50)
    with pytest.raises(ProposalDroppedError) as caught:
        node.propose_batch([b"", b"y"])
    assert caught.value.reason is DropReason.UNCOMMITTED_SIZE
    node.propose(b"")
    node.work()
    node.answer(Message(APP_RESP, 1, 2, 1, index=node.raft.log.last_index))
    node.propose(b"z" * 10)
    assert node.raft.uncommitted_bytes == 10


def test_a_refused_change_does_not_count_as_uncommitted_for_ever() -> None:
    """Its entry is emptied: what was reserved must be what comes back (found by seed)."""
    node = single(max_uncommitted_entries_size=20)
    change = ConfChange(type=REMOVE, node_id=9, context=b"x" * 100)
    node.propose_conf_change(change)
    node.propose_conf_change(change)
    node.work()
    assert node.raft.uncommitted_bytes == 0


def test_a_batch_is_taken_whole_or_not_at_all() -> None:
    node = single(max_uncommitted_entries_size=10)
    node.propose(b"123456")
    with pytest.raises(ProposalDroppedError):
        node.propose_batch([b"1", b"2", b"345"])
    node.work()
    assert node.data == [b"123456"]


@pytest.mark.parametrize(
    "entries",
    [[], [Entry(type=7, data=b"x")], [Entry(data=b"x"), Entry(type=2, data=b"\xff\xff")]],
)
def test_what_cannot_be_proposed_is_refused_before_it_is_in_the_log(entries: list[Entry]) -> None:
    node = single()
    with pytest.raises(ProposalDroppedError) as caught:
        node.step(Message(MessageType.PROP, 1, 2, entries=entries))
    assert caught.value.reason is DropReason.MALFORMED
    assert not node.has_ready()


def test_the_entries_of_a_message_are_not_made_part_of_the_log() -> None:
    """A message that is delivered twice must make two entries."""
    node = single()
    message = Message(MessageType.PROP, 1, 2, entries=[Entry(data=b"x")])
    node.step(message)
    node.step(message)
    node.work()
    assert node.data == [b"x", b"x"]
    assert message.entries[0].index == 0


# -- flow control ----------------------------------------------------------------------------


def test_messages_are_cut_to_size() -> None:
    node = replicating(1, 2, 3, max_size_per_msg=2 * (ENTRY_OVERHEAD_BYTES + 4))
    node.propose_batch([b"data"] * 5)
    assert [len(m.entries) for m in apps(node.work(), 2)] == [2], "the rest follows the answer"
    sent = apps(node.answer(Message(APP_RESP, 1, 2, 1, index=3)), 2)
    assert [(m.index, len(m.entries)) for m in sent] == [(3, 2), (5, 1)]


@pytest.mark.parametrize(
    "options",
    [{"max_inflight_msgs": 2}, {"max_inflight_bytes": 8, "max_size_per_msg": 4}],
)
def test_the_stream_pauses_when_the_window_is_full(options: dict[str, Any]) -> None:
    node = replicating(1, 2, 3, **options)
    for _ in range(5):
        node.propose(b"data")
    sent = apps(node.work(), 2)
    assert [m.index for m in sent] == [1, 2]
    progress = node.status().progress[2]
    assert (progress.inflight_full, progress.paused, progress.next) == (True, True, 4)
    sent = apps(node.answer(Message(APP_RESP, 1, 2, 1, index=2)), 2)
    assert [m.index for m in sent if m.entries] == [3]


def test_an_answered_heartbeat_probes_a_full_window() -> None:
    """The messages in it may all be lost; without this nothing would ever be sent again."""
    node = replicating(1, 2, 3, max_inflight_msgs=1)
    node.propose_batch([b"data"])
    node.propose_batch([b"data"])
    node.work()
    sent = apps(node.answer(Message(HEARTBEAT_RESP, 1, 2, 1)), 2)
    assert [(m.index, len(m.entries)) for m in sent] == [(2, 0)]


def test_a_late_refusal_has_no_effect() -> None:
    node = replicating(1, 2, 3)
    assert node.answer(Message(APP_RESP, 1, 2, 1, index=1, reject=True)) == []
    assert node.status().progress[2].state is ProgressState.REPLICATE


def test_a_refusal_while_streaming_goes_back_to_probing() -> None:
    """The member has lost what was sent, or a message overtook another."""
    node = replicating(1, 2, 3)
    node.propose(b"a")
    node.propose(b"b")
    node.work()
    refusal = Message(APP_RESP, 1, 2, 1, index=2, reject=True, reject_hint=1, log_term=1)
    sent = apps(node.answer(refusal), 2)
    assert [(m.index, len(m.entries)) for m in sent] == [(1, 2)]
    assert node.status().progress[2].state is ProgressState.PROBE


def test_an_unreachable_member_is_probed_with_one_message_at_a_time() -> None:
    node = replicating(1, 2, 3)
    node.report_unreachable(2)
    assert node.status().progress[2].state is ProgressState.PROBE
    node.propose(b"a")
    node.propose(b"b")
    assert len(apps(node.work(), 2)) == 1
    sent = apps(node.answer(Message(APP_RESP, 1, 2, 1, index=2)), 2)
    assert node.status().progress[2].state is ProgressState.REPLICATE
    assert [len(m.entries) for m in sent] == [1]


def test_a_heartbeat_commits_only_what_the_member_is_known_to_have() -> None:
    node = replicating(1, 2, 3)
    node.propose(b"a")
    node.work()
    node.answer(Message(APP_RESP, 1, 2, 1, index=2))
    node.tick()
    assert {m.to: m.commit for m in node.work() if m.type == HEARTBEAT} == {2: 2, 3: 1}


# -- snapshots -------------------------------------------------------------------------------


def compacted_leader(**options: Any) -> Node:
    """A leader whose log no longer reaches back to what member 3 lacks."""
    node = leader_of(1, 2, 3, **options)
    node.answer(Message(APP_RESP, 1, 2, 1, index=1))
    node.storage.create_snapshot(1, ConfState(voters=[1, 2, 3]), b"state")
    node.storage.compact(1)
    return node


REFUSED = Message(APP_RESP, 1, 3, 1, index=0, reject=True, reject_hint=0)


def test_a_member_that_is_too_far_behind_gets_a_snapshot() -> None:
    node = compacted_leader()
    (sent,) = [m for m in node.answer(REFUSED) if m.to == 3]
    assert (sent.type, sent.snapshot) == (MessageType.SNAP, node.storage.snapshot())
    progress = node.status().progress[3]
    assert (progress.state, progress.pending_snapshot) == (ProgressState.SNAPSHOT, 1)
    node.propose(b"a")
    assert apps(node.work(), 3) == [], "nothing else is sent meanwhile"


def test_a_member_that_is_not_heard_gets_no_snapshot() -> None:
    node = compacted_leader()
    node.raft.tracker.progress[3].waiting = False
    node.propose(b"a")
    assert [m for m in node.work() if m.to == 3] == []


def test_a_snapshot_that_is_not_ready_is_asked_for_again() -> None:
    class Busy(MemoryStorage):
        busy = True

        def snapshot(self) -> Any:
            if self.busy:
                raise SnapshotTemporarilyUnavailableError
            return super().snapshot()

    storage = Busy(ConfState(voters=[1, 2, 3]))
    node = Node(storage)
    node.campaign()
    node.work()
    node.answer(Message(MessageType.VOTE_RESP, 1, 2, 1))
    node.answer(Message(APP_RESP, 1, 2, 1, index=1))
    storage.create_snapshot(1, ConfState(voters=[1, 2, 3]), b"")
    storage.compact(1)
    assert [m for m in node.answer(REFUSED) if m.to == 3] == []
    assert node.traced(TraceKind.SNAPSHOT_UNAVAILABLE)
    storage.busy = False
    (sent,) = [m for m in node.answer(Message(HEARTBEAT_RESP, 1, 3, 1)) if m.to == 3]
    assert sent.type == MessageType.SNAP


@pytest.mark.parametrize(("ok", "next_index"), [(True, 2), (False, 1)])
def test_after_a_snapshot_was_reported_the_member_is_probed(ok: bool, next_index: int) -> None:
    node = compacted_leader()
    node.answer(REFUSED)
    node.report_snapshot(3, ok)
    progress = node.status().progress[3]
    assert (progress.state, progress.next) == (ProgressState.PROBE, next_index)
    assert progress.paused, "its answer, or one to a heartbeat, comes first"
    node.report_snapshot(3, ok)
    assert node.status().progress[3] == progress


def test_a_member_that_took_a_snapshot_is_streamed_to() -> None:
    node = compacted_leader()
    node.answer(REFUSED)
    node.propose(b"a")
    node.work()
    sent = apps(node.answer(Message(APP_RESP, 1, 3, 1, index=1)), 3)
    assert [(m.index, len(m.entries)) for m in sent] == [(1, 1)]
    assert node.status().progress[3].state is ProgressState.REPLICATE


# -- reads -----------------------------------------------------------------------------------


def test_a_single_voter_answers_a_read_at_once() -> None:
    node = single()
    node.propose(b"a")
    node.work()
    node.read_index(b"ctx")
    assert node.ready().read_states[0].index == node.committed == 2
    assert node.read_index_now() == 2


def test_a_single_voter_answers_no_read_before_it_has_committed_in_its_term() -> None:
    """It may have told clients of entries whose commit index it had not stored when it stopped."""
    storage = storage_of(1, 1, 1, voters=(1,))
    storage.set_hard_state(HardState(term=1, commit=1))
    node = Node(storage)
    node.campaign()
    node.advance(node.ready())
    assert node.role is StateRole.LEADER
    assert node.read_index_now() is None
    node.read_index(b"ctx")
    ready = node.ready()
    assert ready.read_states == []
    node.storage.append(ready.entries)
    node.advance(ready)
    node.work()
    assert node.reads() == {b"ctx": 4}


def test_a_read_is_answered_when_a_quorum_has_confirmed_the_leader() -> None:
    """Thesis 6.4."""
    node = replicating(1, 2, 3, 4, 5)
    node.read_index(b"ctx")
    beats = node.work()
    assert [(m.type, m.to, m.context) for m in beats] == [
        (HEARTBEAT, voter, b"ctx") for voter in (2, 3, 4, 5)
    ]
    node.answer(Message(HEARTBEAT_RESP, 1, 2, 1, context=b"ctx"))
    node.answer(Message(HEARTBEAT_RESP, 1, 2, 1, context=b"ctx"))
    assert node.reads() == {}
    node.answer(Message(HEARTBEAT_RESP, 1, 3, 1, context=b"ctx"))
    assert node.reads() == {b"ctx": 1}
    assert node.read_index_now() is None


def test_one_confirmation_answers_all_reads_before_it() -> None:
    node = replicating(1, 2, 3)
    for context in (b"a", b"b", b"c"):
        node.read_index(context)
    node.work()
    node.answer(Message(HEARTBEAT_RESP, 1, 2, 1, context=b"b"))
    assert node.reads() == {b"a": 1, b"b": 1}


def test_a_lost_round_is_made_up_for_by_the_next_heartbeat() -> None:
    node = replicating(1, 2, 3)
    node.read_index(b"ctx")
    node.work()
    node.tick()
    assert {m.context for m in node.work()} == {b"ctx"}


def test_reads_wait_for_the_first_commit_of_the_term() -> None:
    """Thesis 6.4."""
    node = leader_of(1, 2, 3, stored=(1, 1))
    node.read_index(b"ctx")
    assert node.work() == []
    sent = node.answer(Message(APP_RESP, 1, 2, 2, index=3))
    assert [m.context for m in sent if m.type == HEARTBEAT] == [b"ctx", b"ctx"]
    node.answer(Message(HEARTBEAT_RESP, 1, 2, 2, context=b"ctx"))
    assert node.reads() == {b"ctx": 3}


def test_a_followers_read_is_answered_to_it() -> None:
    group = Group.of(3)
    group.elect(1)
    group[2].read_index(b"ctx")
    group.settle()
    assert group[2].reads() == {b"ctx": 1}
    (answer,) = group.sent(MessageType.READ_INDEX_RESP)
    assert (answer.to, answer.index, answer.entries[0].data) == (2, 1, b"ctx")


def test_a_learners_echo_confirms_nothing() -> None:
    node = Node(storage_of(voters=(1, 2), learners=(3,)))
    node.campaign()
    node.work()
    node.answer(Message(MessageType.VOTE_RESP, 1, 2, 1))
    node.answer(Message(APP_RESP, 1, 2, 1, index=1))
    node.read_index(b"ctx")
    node.work()
    node.answer(Message(HEARTBEAT_RESP, 1, 3, 1, context=b"ctx"))
    assert node.reads() == {}


def test_a_lease_answers_without_a_round() -> None:
    node = replicating(1, 2, 3, check_quorum=True, read_only_lease_based=True)
    node.read_index(b"ctx")
    assert node.work() == []
    assert node.reads() == {b"ctx": 1}
    assert node.read_index_now() == 1


def test_reads_that_wait_are_bounded() -> None:
    node = replicating(1, 2, 3)
    early = leader_of(1, 2, 3)
    for number in range(READS_MAX + 5):
        node.read_index(b"%d" % number)
        early.read_index(b"%d" % number)
    assert len(node.raft.reads) == len(early.raft.early_reads) == READS_MAX
    assert len(node.traced(TraceKind.READ_DROPPED)) == 5
    assert len(early.traced(TraceKind.READ_DROPPED)) == 5


def test_reads_are_forgotten_with_the_leadership() -> None:
    node = replicating(1, 2, 3)
    node.read_index(b"ctx")
    node.work()
    node.answer(Message(HEARTBEAT, 1, 2, 5))
    assert len(node.raft.reads) == 0


def test_a_waiting_read_is_answered_when_the_configuration_shrinks_to_its_quorum() -> None:
    """Nobody is left who could echo it."""
    group = Group.of(2)
    leader = group.elect(1)
    leader.propose_conf_change(ConfChange(type=REMOVE, node_id=2))
    for message in leader.work():
        group[2].step(message)
    leader.read_index(b"ctx")
    leader.work()
    for message in group[2].work():
        leader.step(message)
    leader.work()
    assert str(leader.raft.tracker.config) == "voters=(1)"
    assert leader.reads() == {b"ctx": 1}


# -- configuration changes -------------------------------------------------------------------


def test_a_member_that_is_added_gets_the_log() -> None:
    group = Group([Node(storage_of(voters=(1,))), Node(storage_of(voters=()), 2)])
    leader = group.elect(1)
    leader.propose(b"a")
    group.settle()
    leader.storage.create_snapshot(2, ConfState(voters=[1]), b"state")
    leader.propose_conf_change(ConfChange(type=ADD, node_id=2))
    group.settle()
    leader.propose(b"b")
    group.settle()
    assert group[2].log == leader.log
    assert leader.status().progress[2].match == leader.committed


def test_only_one_change_is_on_its_way() -> None:
    node = replicating(1, 2, 3)
    node.propose_conf_change(ConfChange(type=ADD, node_id=4))
    node.propose_conf_change(ConfChange(type=ADD, node_id=5))
    node.work()
    kinds = [entry.type for entry in node.storage.entries(2, 4, 10_000)]
    assert kinds == [EntryType.CONF_CHANGE, EntryType.NORMAL]
    (event,) = node.traced(TraceKind.CONF_CHANGE_REFUSED)
    assert event.details["reason"] == "possible unapplied conf change at index 2 (applied to 1)"


def test_a_new_leader_takes_no_change_before_its_log_is_applied() -> None:
    """A change may stand in it."""
    node = leader_of(1, 2, 3, stored=(1,))
    node.propose_conf_change(ConfChange(type=ADD, node_id=4))
    assert node.traced(TraceKind.CONF_CHANGE_REFUSED)


def test_changes_are_taken_unchecked_where_the_check_is_off() -> None:
    node = replicating(1, 2, 3, disable_conf_change_validation=True)
    node.propose_conf_change(ConfChange(type=ADD, node_id=4))
    node.propose_conf_change(ConfChangeV2())
    node.work()
    kinds = [entry.type for entry in node.storage.entries(2, 4, 10_000)]
    assert kinds == [EntryType.CONF_CHANGE, EntryType.CONF_CHANGE_V2]


def test_a_joint_configuration_is_left_by_itself_when_asked_for() -> None:
    group = Group.of(4)
    leader = group.elect(1)
    singles = [ConfChangeSingle(REMOVE, 4), ConfChangeSingle(ADD, 1), ConfChangeSingle(REMOVE, 3)]
    leader.propose_conf_change(ConfChangeV2(changes=singles))
    group.settle()
    assert str(leader.raft.tracker.config) == "voters=(1 2)"
    assert str(group[2].raft.tracker.config) == "voters=(1 2)"
    assert leader.traced(TraceKind.AUTO_LEAVE_STARTED)


def test_a_new_leader_leaves_the_joint_configuration_that_the_old_one_entered() -> None:
    group = Group.of(4)
    leader = group.elect(1)
    change = ConfChangeV2(
        ConfChangeTransition.JOINT_IMPLICIT, [ConfChangeSingle(ConfChangeType.ADD_LEARNER_NODE, 4)]
    )
    leader.propose_conf_change(change)
    # The way back into the log is cut: the change is committed, leaving is not.
    group.lost = lambda m: m.type == APP and any(e.type == 2 and not e.data for e in m.entries)
    group.settle()
    assert group[2].raft.tracker.config.is_joint
    group.cut(1)
    group[2].lose_patience()
    group.settle()
    assert group[2].role is StateRole.LEADER
    assert str(group[2].raft.tracker.config) == "voters=(1 2 3) learners=(4)"


def test_leaving_a_joint_configuration_waits_until_a_transfer_is_given_up() -> None:
    node = replicating(1, 2, 3)
    singles = [ConfChangeSingle(ADD, 4)]
    node.propose_conf_change(ConfChangeV2(ConfChangeTransition.JOINT_IMPLICIT, singles))
    node.work()
    node.transfer_leader(3)
    node.answer(Message(APP_RESP, 1, 2, 1, index=2))
    assert node.raft.tracker.config.is_joint
    assert not node.traced(TraceKind.AUTO_LEAVE_STARTED)
    node.ticks(ELECTION_TICKS)
    assert node.traced(TraceKind.TRANSFER_ABORTED)
    assert node.traced(TraceKind.AUTO_LEAVE_STARTED)
    node.work()
    assert node.log[-1] == (1, 3)


@pytest.mark.parametrize("step_down", [False, True])
def test_a_leader_that_is_removed_stays_or_steps_down_as_told(step_down: bool) -> None:
    group = Group.of(3, step_down_on_removal=step_down)
    leader = group.elect(1)
    leader.propose_conf_change(ConfChange(type=REMOVE, node_id=1))
    group.settle()
    assert leader.role is (StateRole.FOLLOWER if step_down else StateRole.LEADER)
    with pytest.raises(ProposalDroppedError) as caught:
        leader.propose(b"x")
    assert caught.value.reason is (DropReason.NO_LEADER if step_down else DropReason.REMOVED)


def test_a_removed_leader_does_not_answer_reads_for_the_voter_that_is_left() -> None:
    group = Group.of(2)
    leader = group.elect(1)
    leader.propose_conf_change(ConfChange(type=REMOVE, node_id=1))
    group.settle()
    assert str(leader.raft.tracker.config) == "voters=(2)"
    leader.read_index(b"ctx")
    leader.work()
    assert leader.reads() == {}


def test_removing_a_member_can_commit_what_waited_for_it() -> None:
    node = replicating(1, 2, 3, 4)
    node.propose_conf_change(ConfChange(type=REMOVE, node_id=4))
    node.propose(b"a")
    node.work()
    node.answer(Message(APP_RESP, 1, 2, 1, index=3))
    assert node.committed == 1, "two of four are no majority"
    node.answer(Message(APP_RESP, 1, 3, 1, index=2))
    assert str(node.raft.tracker.config) == "voters=(1 2 3)"
    assert node.data[-1] == b"a", "two of three are one"


# -- handing over ----------------------------------------------------------------------------


def test_leadership_is_handed_to_a_member_that_is_up_to_date() -> None:
    """Thesis 3.10. At once, also while votes are withheld."""
    group = Group.of(3, pre_vote=True, check_quorum=True)
    leader = group.elect(1)
    leader.transfer_leader(2)
    group.settle()
    assert group.roles()[2] is StateRole.LEADER
    assert group[2].term == 2


def test_a_member_that_is_behind_is_brought_up_to_date_first() -> None:
    group = Group.of(3)
    leader = group.elect(1)
    group.lost = lambda message: message.to == 3
    leader.propose(b"a")
    group.settle()
    group.heal()
    leader.transfer_leader(3)
    group.settle()
    # What was sent to it is lost; the next heartbeat shows that.
    leader.tick()
    group.settle()
    assert group.roles()[3] is StateRole.LEADER
    assert group[3].data == [b"a"]


def test_proposals_are_refused_while_leadership_is_handed_over() -> None:
    group = Group.of(3)
    leader = group.elect(1)
    group.cut(2)
    leader.transfer_leader(2)
    group.settle()
    with pytest.raises(ProposalDroppedError) as caught:
        leader.propose(b"a")
    assert caught.value.reason is DropReason.TRANSFERRING
    leader.ticks(ELECTION_TICKS)
    leader.propose(b"a")
    assert leader.status().lead_transferee == 0


def test_another_member_can_be_named_meanwhile() -> None:
    group = Group.of(3)
    leader = group.elect(1)
    group.cut(2)
    leader.transfer_leader(2)
    leader.transfer_leader(2)
    leader.transfer_leader(3)
    group.settle()
    assert group.roles()[3] is StateRole.LEADER


@pytest.mark.parametrize("to", [1, 3, 9])
def test_leadership_is_not_handed_to_oneself_a_learner_or_a_stranger(to: int) -> None:
    group = Group([Node(storage_of(voters=(1, 2), learners=(3,)), member) for member in (1, 2, 3)])
    leader = group.elect(1)
    leader.transfer_leader(to)
    group.settle()
    assert leader.role is StateRole.LEADER
    leader.propose(b"a")


def test_handing_over_ends_when_the_member_is_removed() -> None:
    node = replicating(1, 2, 3)
    node.propose_conf_change(ConfChange(type=REMOVE, node_id=3))
    node.work()
    node.raft.tracker.progress[3].match = 0
    node.transfer_leader(3)
    node.answer(Message(APP_RESP, 1, 2, 1, index=2))
    assert str(node.raft.tracker.config) == "voters=(1 2)"
    assert node.status().lead_transferee == 0
    node.propose(b"a")


def test_a_follower_passes_the_wish_on() -> None:
    group = Group.of(3)
    group.elect(1)
    group[2].transfer_leader(2)
    group.settle()
    assert group.roles()[2] is StateRole.LEADER


# -- others ----------------------------------------------------------------------------------


def test_a_second_leader_of_the_term_is_not_believed() -> None:
    node = replicating(1, 2, 3)
    assert node.answer(Message(HEARTBEAT, 1, 3, 1, commit=1)) == []
    assert node.role is StateRole.LEADER


def test_answers_of_strangers_are_ignored() -> None:
    node = replicating(1, 2, 3)
    node.raft.step(Message(APP_RESP, 1, 9, 1, index=1))
    assert [event.details["reason"] for event in node.traced(TraceKind.MESSAGE_IGNORED)] == [
        "no member"
    ]
