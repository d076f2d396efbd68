"""What a follower does with its leader's messages. Sections are those of the Raft paper."""

from __future__ import annotations

from typing import Any

import pytest

from kvorum.proto.raftpb import ConfState, Entry, Message, MessageType, Snapshot, SnapshotMetadata
from kvorum.raft import (
    DropReason,
    LogDamagedError,
    MalformedMessageError,
    ProposalDroppedError,
    StateRole,
    TraceKind,
)
from tests.unit.raft.group import Node, app, entries_of, snapshot_at, storage_of

APP_RESP = MessageType.APP_RESP


def node(*terms: int, **options: Any) -> Node:
    return Node(storage_of(*terms), **options)


def test_entries_that_follow_are_stored_before_they_are_acknowledged() -> None:
    member = node(1, async_storage_writes=True)
    member.step(app(2, 1, (1, 1), entries_of(1, 1, first=2), commit=1))
    ready = member.ready()
    write = next(m for m in ready.messages if m.type == MessageType.STORAGE_APPEND)
    assert [entry.index for entry in write.entries] == [2, 3]
    acknowledged = write.responses[0]
    assert (acknowledged.type, acknowledged.to, acknowledged.index) == (APP_RESP, 2, 3)
    assert ready.must_sync


def test_entries_without_what_is_before_them_are_refused_with_a_hint() -> None:
    """5.3, and etcd's hint: the last index that can agree, and its term."""
    (answer,) = node(1, 1, 3, 3).answer(app(2, 5, (4, 9), entries_of(5, first=10)))
    assert (answer.reject, answer.index) == (True, 9)
    assert (answer.reject_hint, answer.log_term) == (4, 3)
    (answer,) = node(1, 1, 3, 3).answer(app(2, 5, (2, 4), []))
    assert (answer.reject_hint, answer.log_term) == (2, 1), "the leader has no 3 up to there"


@pytest.mark.parametrize(
    ("own", "previous", "new", "expected"),
    [
        ((1, 2), (2, 2), (3,), [1, 2, 3]),
        ((1, 2), (1, 1), (3, 4), [1, 3, 4]),
        ((1, 2), (0, 0), (1,), [1, 2]),
        ((1, 2), (0, 0), (3,), [3]),
        ((1, 2, 2), (1, 1), (2,), [1, 2, 2]),
    ],
)
def test_a_conflict_drops_what_follows_and_nothing_else_does(
    own: tuple[int, ...], previous: tuple[int, int], new: tuple[int, ...], expected: list[int]
) -> None:
    """5.3: a late message must not cut off what came with a newer one."""
    member = node(*own)
    (answer,) = member.answer(app(2, 4, previous, entries_of(*new, first=previous[1] + 1)))
    assert (answer.reject, answer.index) == (False, previous[1] + len(new))
    assert [term for term, _ in member.log] == expected


def test_a_conflict_is_traced() -> None:
    member = node(1, 2)
    member.answer(app(2, 4, (1, 1), entries_of(3, first=2)))
    (event,) = member.traced(TraceKind.LOG_CONFLICT)
    assert (event.details["existing_term"], event.details["entry_term"]) == (2, 3)


@pytest.mark.parametrize(("commit", "expected"), [(1, 1), (2, 2), (3, 2), (9, 2)])
def test_nothing_is_committed_behind_what_the_message_has_shown_to_agree(
    commit: int, expected: int
) -> None:
    """The entry at 3 is an old leader's; the new one has committed its own there."""
    member = node(1, 1, 1)
    member.answer(app(2, 2, (1, 1), [Entry(0, 1, 2, b"2")], commit=commit))
    assert member.committed == expected
    member = node(1, 1, 1)
    member.answer(app(2, 2, (1, 2), [], commit=commit))
    assert member.committed == expected


def test_what_is_behind_the_commit_index_is_answered_with_it() -> None:
    member = node(1, 1, 1)
    member.answer(app(2, 1, (1, 3), [], commit=3))
    (answer,) = member.answer(app(2, 1, (1, 1), entries_of(1, first=2)))
    assert (answer.reject, answer.index) == (False, 3)


def test_a_leader_that_contradicts_the_committed_log_stops_the_member() -> None:
    """Only the log itself sees it: what begins behind the commit index is not looked at."""
    member = node(1, 1, 1)
    member.answer(app(2, 1, (1, 3), [], commit=3))
    (answer,) = member.answer(app(2, 2, (1, 1), entries_of(2, first=2)))
    assert (answer.index, member.log) == (3, [(1, 1), (1, 2), (1, 3)])
    with pytest.raises(LogDamagedError, match="contradicts the log"):
        member.raft.log.append(entries_of(2, first=2))


def test_a_leader_that_knows_more_to_be_committed_than_there_is_stops_the_member() -> None:
    """The member has acknowledged what it does not have: its disk has lost it."""
    with pytest.raises(LogDamagedError, match="9 is committed but the log ends at 3"):
        node(1, 1, 1).step(Message(MessageType.HEARTBEAT, 1, 2, 1, commit=9))


@pytest.mark.parametrize(
    "message",
    [
        app(2, 1, (1, 3), entries_of(1, first=5)),
        app(2, 1, (1, 3), [Entry(0, 1, 4), Entry(0, 1, 6)]),
        app(2, 2, (1, 3), [Entry(0, 2, 4), Entry(0, 1, 5)]),
        app(2, 1, (1, 3), entries_of(2, first=4)),
        Message(MessageType.SNAP, 1, 2, 1),
        Message(
            MessageType.SNAP,
            1,
            2,
            1,
            snapshot=Snapshot(b"", SnapshotMetadata(ConfState([1], [1]), 9, 1)),
        ),
        Message(MessageType.READ_INDEX_RESP, 1, 2, 1),
    ],
)
def test_a_message_that_contradicts_itself_is_refused_without_effect(message: Message) -> None:
    member = node(1, 1, 1)
    with pytest.raises(MalformedMessageError):
        member.step(message)
    member.work()
    assert member.log == [(1, 1), (1, 2), (1, 3)]


@pytest.mark.parametrize(
    "kind", [MessageType.APP, MessageType.SNAP, MessageType.HEARTBEAT, MessageType.TIMEOUT_NOW]
)
def test_a_leaders_message_without_a_term_is_ignored(kind: MessageType) -> None:
    member = node()
    assert member.answer(Message(kind, 1, 2)) == []
    assert (member.lead, member.term) == (0, 0)


def test_a_heartbeat_commits_and_its_context_is_echoed() -> None:
    member = node(1, 1)
    (answer,) = member.answer(Message(MessageType.HEARTBEAT, 1, 2, 1, commit=1, context=b"read"))
    assert (answer.type, answer.context) == (MessageType.HEARTBEAT_RESP, b"read")
    assert (member.committed, member.data) == (1, [b"1"])


# -- snapshots -------------------------------------------------------------------------------


def snap(index: int, term: int, voters: list[int], learners: list[int] | None = None) -> Message:
    return Message(MessageType.SNAP, 1, 2, 7, snapshot=snapshot_at(index, term, voters, learners))


def test_a_snapshot_takes_the_place_of_log_and_configuration() -> None:
    member = node(1, 1)
    member.step(snap(9, 5, [1, 2], [3]))
    ready = member.ready()
    assert ready.snapshot is not None
    assert ready.committed_entries == []
    member.storage.apply_snapshot(ready.snapshot)
    (answer,) = ready.messages
    assert (answer.type, answer.index) == (APP_RESP, 9)
    member.advance(ready)
    assert (member.raft.log.applied, member.committed, member.raft.log.last_index) == (9, 9, 9)
    assert str(member.raft.tracker.config) == "voters=(1 2) learners=(3)"
    assert not member.has_ready()


@pytest.mark.parametrize(
    ("message", "committed"),
    [
        (snap(2, 1, [1, 2, 3]), 2),
        (snap(1, 1, [1, 2, 3]), 2),
        (snap(9, 5, [2, 3]), 2),
        (snap(3, 1, [1, 2, 3]), 3),
    ],
)
def test_a_snapshot_that_is_not_needed_or_not_meant_for_us_is_not_taken(
    message: Message, committed: int
) -> None:
    """Older; other members' only; the log reaches it already (then it is committed that far)."""
    member = node(1, 1, 1)
    member.answer(app(2, 1, (1, 2), [], commit=2))
    (answer,) = member.answer(message)
    assert (answer.type, answer.index) == (APP_RESP, committed)
    assert (member.committed, member.raft.log.last_index) == (committed, 3)


def test_a_learner_takes_a_snapshot_that_makes_it_one() -> None:
    member = Node(storage_of(voters=()))
    member.answer(snap(9, 5, [2], [1]))
    assert member.raft.is_learner
    assert member.role is StateRole.FOLLOWER


def test_a_candidate_that_gets_a_snapshot_of_its_term_follows() -> None:
    member = node(1)
    member.campaign()
    message = snap(9, 2, [1, 2, 3])
    message.term = member.term
    member.answer(message)
    assert (member.role, member.lead, member.raft.log.last_index) == (StateRole.FOLLOWER, 2, 9)


# -- what is the leader's --------------------------------------------------------------------


def following(**options: Any) -> Node:
    member = node(**options)
    member.answer(Message(MessageType.HEARTBEAT, 1, 2, 1))
    return member


def test_proposals_are_sent_on_to_the_leader_in_one_message() -> None:
    member = following()
    member.propose_batch([b"a", b"b"])
    (sent,) = member.work()
    assert (sent.type, sent.to, sent.from_, sent.term) == (MessageType.PROP, 2, 1, 0)
    assert [entry.data for entry in sent.entries] == [b"a", b"b"]


def test_a_proposal_that_was_sent_on_keeps_who_made_it() -> None:
    member = following()
    (sent,) = member.answer(Message(MessageType.PROP, 1, 3, entries=[Entry(data=b"x")]))
    assert (sent.to, sent.from_) == (2, 3)


def test_without_a_leader_proposals_are_dropped() -> None:
    with pytest.raises(ProposalDroppedError) as caught:
        node().propose(b"a")
    assert caught.value.reason is DropReason.NO_LEADER


def test_a_candidate_drops_proposals() -> None:
    member = node()
    member.campaign()
    with pytest.raises(ProposalDroppedError) as caught:
        member.propose(b"a")
    assert caught.value.reason is DropReason.CAMPAIGNING


def test_proposals_are_not_sent_on_where_that_is_off() -> None:
    with pytest.raises(ProposalDroppedError) as caught:
        following(disable_proposal_forwarding=True).propose(b"a")
    assert caught.value.reason is DropReason.FORWARDING_DISABLED


def test_reads_and_transfers_are_sent_on() -> None:
    member = following()
    member.read_index(b"ctx")
    member.transfer_leader(3)
    read, transfer = member.work()
    assert (read.type, read.to, read.from_, read.term) == (MessageType.READ_INDEX, 2, 1, 0)
    assert (transfer.type, transfer.to, transfer.from_) == (MessageType.TRANSFER_LEADER, 2, 3)


def test_without_a_leader_reads_and_transfers_are_lost() -> None:
    member = node()
    member.read_index(b"ctx")
    member.transfer_leader(3)
    assert member.work() == []


def test_the_answer_to_a_read_comes_out_of_a_ready() -> None:
    member = following()
    member.answer(
        Message(MessageType.READ_INDEX_RESP, 1, 2, 1, index=17, entries=[Entry(data=b"ctx")])
    )
    assert member.reads() == {b"ctx": 17}


def test_what_a_leader_did_before_is_answered_by_nobody() -> None:
    member = following()
    assert member.answer(Message(APP_RESP, 1, 2, 1, index=5)) == []
    assert member.answer(Message(MessageType.HEARTBEAT_RESP, 1, 2, 1)) == []


def test_a_member_that_is_asked_to_campaign_does_so_without_pre_vote() -> None:
    """Thesis 3.10."""
    member = following(pre_vote=True, check_quorum=True)
    sent = member.answer(Message(MessageType.TIMEOUT_NOW, 1, 2, 1))
    assert [(m.type, m.term, m.context) for m in sent] == [
        (MessageType.VOTE, 2, b"CampaignTransfer"),
        (MessageType.VOTE, 2, b"CampaignTransfer"),
    ]
