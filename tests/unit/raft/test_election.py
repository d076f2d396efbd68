"""Elections. Sections are those of the Raft paper ("5.2") and of the thesis ("thesis 9.6")."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.proto.raftpb import (
    ConfChange,
    ConfChangeType,
    Entry,
    EntryType,
    HardState,
    Message,
    MessageType,
)
from kvorum.raft import StateRole, TraceKind
from tests.unit.raft.group import (
    ELECTION_TICKS,
    Group,
    Node,
    snapshot_at,
    storage_of,
)

VOTE, VOTE_RESP = MessageType.VOTE, MessageType.VOTE_RESP
PRE_VOTE, PRE_VOTE_RESP = MessageType.PRE_VOTE, MessageType.PRE_VOTE_RESP
TRANSFER = b"CampaignTransfer"


def vote(
    sender: int,
    term: int,
    last: tuple[int, int] = (0, 0),
    *,
    kind: MessageType = VOTE,
    context: bytes | None = None,
) -> Message:
    return Message(kind, 1, sender, term, log_term=last[0], index=last[1], context=context)


def node(*terms: int, **options: Any) -> Node:
    return Node(storage_of(*terms), **options)


@given(seed=st.integers(0, 2**64), ticks=st.integers(2, 60))
def test_a_follower_without_a_leader_campaigns_within_two_election_timeouts(
    seed: int, ticks: int
) -> None:
    """5.2, thesis 3.4. Also every later time."""
    member = Node(storage_of(), election_tick=ticks, rng=Random(seed))
    for _ in range(3):
        quiet = 0
        term = member.term
        while member.term == term:
            member.tick()
            quiet += 1
        assert ticks <= quiet < 2 * ticks
        member.work()


def test_the_timeout_is_drawn_anew_for_every_term() -> None:
    """Thesis 3.4: members that once drew the same would split every vote."""
    member, drawn = node(), set()
    for _ in range(40):
        member.lose_patience()
        member.work()
        drawn.add(member.raft.randomized_election_timeout)
    assert len(drawn) > 5


def followers_of_1(*lost: int, **options: Any) -> dict[int, Node]:
    """Members 2 and 3, which follow 1 and have drawn the longest timeout; `lost` lost it."""
    group = Group.of(3, **options)
    group.elect(1)
    for id_ in (2, 3):
        group.nodes[id_].raft.randomized_election_timeout = 2 * ELECTION_TICKS - 1
        if id_ in lost:
            group.nodes[id_].report_disconnected(1)
    return {2: group.nodes[2], 3: group.nodes[3]}


def ticks_until_campaign(member: Node) -> int:
    ticks = 0
    while member.raft.role is StateRole.FOLLOWER:
        member.tick()
        ticks += 1
    return ticks


def test_those_who_lost_the_connection_to_the_leader_campaign_in_turn() -> None:
    """Not before the others give votes, and not both at once."""
    members = followers_of_1(2, 3)
    waited = [ticks_until_campaign(members[id_]) for id_ in (2, 3)]
    assert waited == [ELECTION_TICKS + 1, ELECTION_TICKS + 3]


def test_a_turn_is_never_later_than_the_timeout() -> None:
    members = followers_of_1(3)
    members[3].raft.randomized_election_timeout = ELECTION_TICKS
    assert ticks_until_campaign(members[3]) == ELECTION_TICKS


def test_only_the_leaders_connection_counts() -> None:
    members = followers_of_1()
    members[2].report_disconnected(3)
    assert ticks_until_campaign(members[2]) == 2 * ELECTION_TICKS - 1


def test_a_leader_that_is_heard_again_is_not_lost() -> None:
    members = followers_of_1(2)
    members[2].step(Message(MessageType.HEARTBEAT, 2, 1, members[2].term))
    assert ticks_until_campaign(members[2]) == 2 * ELECTION_TICKS - 1


def test_who_has_had_its_turn_in_vain_waits_for_its_timeout() -> None:
    member = followers_of_1(2, pre_vote=True)[2]
    assert ticks_until_campaign(member) == ELECTION_TICKS + 1
    member.events.clear()
    ticks = 0
    while not member.traced(TraceKind.CAMPAIGN_STARTED):
        member.tick()
        ticks += 1
    assert ticks == 2 * ELECTION_TICKS - 1


def test_a_leader_that_is_heard_is_not_challenged() -> None:
    group = Group.of(3)
    group.elect(1)
    for _ in range(10 * ELECTION_TICKS):
        for member in group.nodes.values():
            member.tick()
        group.settle()
    assert group.roles() == {1: StateRole.LEADER, 2: StateRole.FOLLOWER, 3: StateRole.FOLLOWER}
    assert group[1].term == 1


def test_a_candidate_asks_everybody_with_its_log_and_the_next_term() -> None:
    """5.2."""
    member = node(1, 2)
    member.campaign()
    sent = member.work()
    assert [(m.type, m.to, m.term, m.log_term, m.index) for m in sent] == [
        (VOTE, 2, 3, 2, 2),
        (VOTE, 3, 3, 2, 2),
    ]
    assert (member.role, member.raft.vote, member.lead) == (StateRole.CANDIDATE, 1, 0)


def test_a_majority_of_votes_makes_a_leader_who_begins_with_an_empty_entry() -> None:
    """5.2, 5.4.2."""
    member = node(1, 2)
    member.campaign()
    member.work()
    sent = member.answer(Message(VOTE_RESP, 1, 2, 3))
    assert member.role is StateRole.LEADER
    assert member.log == [(1, 1), (2, 2), (3, 3)]
    assert [(m.type, m.to, m.index, len(m.entries)) for m in sent] == [
        (MessageType.APP, 2, 2, 1),
        (MessageType.APP, 3, 2, 1),
    ]
    assert sent[0].entries[0].data is None


def test_a_majority_of_refusals_makes_a_follower_of_the_same_term() -> None:
    member = node()
    member.campaign()
    member.work()
    member.answer(Message(VOTE_RESP, 1, 2, 1, reject=True))
    assert member.role is StateRole.CANDIDATE
    member.answer(Message(VOTE_RESP, 1, 3, 1, reject=True))
    assert (member.role, member.term) == (StateRole.FOLLOWER, 1)


def test_a_vote_counts_once() -> None:
    member = Node(storage_of(voters=(1, 2, 3, 4, 5)))
    member.campaign()
    member.work()
    for _ in range(3):
        member.answer(Message(VOTE_RESP, 1, 2, 1))
    assert member.role is StateRole.CANDIDATE


def test_one_voter_elects_itself_but_only_when_its_vote_is_stored() -> None:
    member = Node(storage_of(voters=(1,)))
    member.campaign()
    ready = member.ready()
    assert ready.hard_state == HardState(term=1, vote=1, commit=0)
    assert ready.must_sync
    assert member.role is StateRole.CANDIDATE
    member.advance(ready)
    assert member.role is StateRole.LEADER


def test_a_member_votes_for_one_candidate_in_a_term() -> None:
    """5.2: also when it is asked again, and after a restart."""
    member = node()
    assert [m.reject for m in member.answer(vote(2, 1))] == [False]
    assert [m.reject for m in member.answer(vote(3, 1))] == [True]
    assert [m.reject for m in member.answer(vote(2, 1))] == [False]
    again = Node(member.storage)
    assert (again.term, again.raft.vote) == (1, 2)
    assert [m.reject for m in again.answer(vote(3, 1))] == [True]
    assert [m.reject for m in again.answer(vote(3, 2))] == [False]


def test_a_vote_is_not_told_before_it_is_stored() -> None:
    member = node(async_storage_writes=True)
    member.step(vote(2, 1))
    (write,) = member.ready().messages
    assert write.type == MessageType.STORAGE_APPEND
    assert (write.term, write.vote) == (1, 2)
    assert [(m.type, m.to, m.reject) for m in write.responses] == [(VOTE_RESP, 2, False)]


@pytest.mark.parametrize(
    ("last", "granted"), [((1, 9), False), ((2, 2), False), ((2, 3), True), ((3, 1), True)]
)
@pytest.mark.parametrize("kind", [VOTE, PRE_VOTE])
def test_a_candidate_needs_a_log_that_is_as_new(
    last: tuple[int, int], granted: bool, kind: MessageType
) -> None:
    """5.4.1."""
    (answer,) = node(1, 2, 2).answer(vote(2, 5, last, kind=kind))
    assert answer.reject is not granted


def test_a_vote_puts_the_own_campaign_off() -> None:
    member = node()
    member.ticks(ELECTION_TICKS - 1)
    member.answer(vote(2, 1))
    member.ticks(ELECTION_TICKS - 1)
    assert member.role is StateRole.FOLLOWER


def test_a_candidate_follows_whoever_won_the_term() -> None:
    """5.2."""
    member = node()
    member.campaign()
    member.work()
    member.answer(Message(MessageType.HEARTBEAT, 1, 3, 1))
    assert (member.role, member.lead, member.raft.vote) == (StateRole.FOLLOWER, 3, 1)


def test_whoever_sees_a_higher_term_follows_in_it() -> None:
    """5.1."""
    group = Group.of(3)
    group.elect(1)
    group[1].answer(Message(MessageType.APP_RESP, 1, 2, 7, index=1))
    assert (group[1].role, group[1].term, group[1].lead) == (StateRole.FOLLOWER, 7, 0)
    group[2].answer(Message(MessageType.HEARTBEAT, 2, 3, 9))
    assert (group[2].term, group[2].lead) == (9, 3)


def test_messages_of_lower_terms_have_no_effect() -> None:
    """5.1."""
    member = node(1, 2, 3)
    assert member.answer(vote(2, 1, (9, 9))) == []
    assert member.answer(Message(MessageType.APP, 1, 2, 1, 3, 3, [Entry(0, 1, 4)])) == []
    assert member.log == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize("kind", [MessageType.APP, MessageType.HEARTBEAT])
@pytest.mark.parametrize("option", ["check_quorum", "pre_vote"])
def test_an_old_leader_is_told_of_the_higher_term(kind: MessageType, option: str) -> None:
    """Thesis 9.6: a member that came back with a higher term would otherwise never be heard."""
    member = node(1, 2, 3, **{option: True})
    (answer,) = member.answer(Message(kind, 1, 2, 1))
    assert (answer.type, answer.term, answer.index) == (MessageType.APP_RESP, 3, 0)


def test_learners_vote_when_asked() -> None:
    """They may be voters in a configuration they do not know yet (etcd issue 10998)."""
    learner = Node(storage_of(voters=(2, 3), learners=(1,)))
    assert [m.reject for m in learner.answer(vote(2, 1))] == [False]


@pytest.mark.parametrize(
    "storage", [storage_of(voters=(2, 3), learners=(1,)), storage_of(voters=(2, 3))]
)
def test_learners_and_strangers_do_not_campaign(storage: Any) -> None:
    member = Node(storage)
    member.lose_patience()
    member.campaign()
    assert (member.role, member.term) == (StateRole.FOLLOWER, 0)
    assert member.traced(TraceKind.CAMPAIGN_REFUSED)


def test_nobody_campaigns_while_a_snapshot_is_being_stored() -> None:
    member = node(1)
    member.step(Message(MessageType.SNAP, 1, 2, 2, snapshot=snapshot_at(9, 2, [1, 2, 3])))
    member.campaign()
    assert member.role is StateRole.FOLLOWER
    member.work()
    member.campaign()
    assert member.role is StateRole.CANDIDATE


def test_nobody_campaigns_before_a_committed_change_is_applied() -> None:
    storage = storage_of(1, 1, voters=(1, 2, 3))
    change = ConfChange(type=ConfChangeType.REMOVE_NODE, node_id=1)
    storage.append([Entry(EntryType.CONF_CHANGE, 1, 3, change.encode())])
    storage.set_hard_state(HardState(term=1, commit=3))
    member = Node(storage, max_committed_size_per_ready=1)
    member.campaign()
    assert member.role is StateRole.FOLLOWER
    (event,) = member.traced(TraceKind.CAMPAIGN_REFUSED)
    assert "not applied" in event.details["reason"]


# -- pre-vote and check-quorum ---------------------------------------------------------------


def test_a_pre_vote_changes_neither_term_nor_vote() -> None:
    """Thesis 9.6."""
    member = node(1, pre_vote=True)
    member.campaign()
    sent = member.work()
    assert [(m.type, m.term) for m in sent] == [(PRE_VOTE, 2), (PRE_VOTE, 2)]
    assert (member.role, member.term, member.raft.vote) == (StateRole.PRE_CANDIDATE, 1, 0)
    other = node(1)
    (answer,) = other.answer(vote(2, 2, (1, 1), kind=PRE_VOTE))
    assert (answer.type, answer.term, answer.reject) == (PRE_VOTE_RESP, 2, False)
    assert (other.term, other.raft.vote) == (1, 0)


def test_a_won_pre_vote_is_followed_by_an_election() -> None:
    member = node(1, pre_vote=True)
    member.campaign()
    member.work()
    sent = member.answer(Message(PRE_VOTE_RESP, 1, 2, 2))
    assert [(m.type, m.term) for m in sent] == [(VOTE, 2), (VOTE, 2)]
    assert (member.role, member.term) == (StateRole.CANDIDATE, 2)


def test_a_late_pre_vote_does_not_count_in_the_election() -> None:
    member = Node(storage_of(voters=(1, 2, 3)), pre_vote=True)
    member.campaign()
    member.work()
    member.answer(Message(PRE_VOTE_RESP, 1, 2, 1))
    assert member.role is StateRole.CANDIDATE
    member.answer(Message(PRE_VOTE_RESP, 1, 3, 1))
    assert member.role is StateRole.CANDIDATE


def test_a_refused_pre_vote_brings_the_higher_term() -> None:
    member = node(1, pre_vote=True)
    member.campaign()
    member.work()
    member.answer(Message(PRE_VOTE_RESP, 1, 2, 8, reject=True))
    assert (member.role, member.term) == (StateRole.FOLLOWER, 8)


def test_a_pre_vote_of_a_lower_term_is_refused_with_the_own_term() -> None:
    (answer,) = node(1, 5).answer(vote(2, 3, (9, 9), kind=PRE_VOTE))
    assert (answer.type, answer.term, answer.reject) == (PRE_VOTE_RESP, 5, True)


def test_a_member_that_was_cut_off_does_not_disturb_when_it_comes_back() -> None:
    """Thesis 9.6, with check-quorum as everywhere in etcd."""
    group = Group.of(3, pre_vote=True, check_quorum=True)
    group.elect(1)
    group.cut(3)
    for _ in range(5 * ELECTION_TICKS):
        for member in group.nodes.values():
            member.tick()
        group.settle()
    assert group[3].term == 1
    group.heal()
    group.settle()
    group[1].tick()
    group.settle()
    assert (group[1].role, group[1].term, group[3].lead) == (StateRole.LEADER, 1, 1)


def test_without_pre_vote_a_member_that_comes_back_forces_one_election() -> None:
    group = Group.of(3, check_quorum=True)
    group.elect(1)
    group.cut(3)
    for _ in range(3 * ELECTION_TICKS):
        for member in group.nodes.values():
            member.tick()
        group.settle()
    high = group[3].term
    assert high > 1
    group.heal()
    for _ in range(8 * ELECTION_TICKS):
        for member in group.nodes.values():
            member.tick()
        group.settle()
    assert group[1].term >= high
    assert len({member.lead for member in group.nodes.values()}) == 1


@pytest.mark.parametrize("kind", [VOTE, PRE_VOTE])
def test_votes_are_withheld_while_the_leader_was_heard(kind: MessageType) -> None:
    """Thesis 4.2.3."""
    member = node(check_quorum=True)
    member.answer(Message(MessageType.HEARTBEAT, 1, 2, 1))
    member.ticks(ELECTION_TICKS - 1)
    assert member.answer(vote(3, 5, (9, 9), kind=kind)) == []
    assert member.term == 1
    member.raft.election_elapsed = ELECTION_TICKS
    (answer,) = member.answer(vote(3, 5, (9, 9), kind=kind))
    assert not answer.reject


def test_a_vote_that_the_leader_asked_for_is_not_withheld() -> None:
    """Thesis 3.10; shared facts, peer.md section 8."""
    member = node(check_quorum=True)
    member.answer(Message(MessageType.HEARTBEAT, 1, 2, 1))
    (answer,) = member.answer(vote(3, 2, (9, 9), context=TRANSFER))
    assert (answer.term, answer.reject) == (2, False)


def test_a_leader_without_a_quorum_steps_down_within_two_election_timeouts() -> None:
    """Thesis 6.2."""
    group = Group.of(3, check_quorum=True)
    leader = group.elect(1)
    leader.ticks(ELECTION_TICKS)
    assert leader.role is StateRole.LEADER, "they were heard during the first"
    leader.ticks(ELECTION_TICKS)
    assert (leader.role, leader.lead, leader.term) == (StateRole.FOLLOWER, 0, 1)


def test_a_leader_of_one_voter_needs_nobody() -> None:
    member = Node(storage_of(voters=(1,), learners=(2,)), check_quorum=True)
    member.campaign()
    member.work()
    member.ticks(5 * ELECTION_TICKS)
    assert member.role is StateRole.LEADER


# -- forgetting the leader -------------------------------------------------------------------


def test_a_forgotten_leader_no_longer_keeps_votes_back() -> None:
    member = node(check_quorum=True)
    member.answer(Message(MessageType.HEARTBEAT, 1, 2, 1))
    member.ticks(3)
    member.forget_leader()
    assert (member.lead, member.term, member.raft.election_elapsed) == (0, 1, 3)
    (answer,) = member.answer(vote(3, 2, (9, 9)))
    assert not answer.reject


def test_the_leader_is_not_forgotten_where_reads_trust_its_lease() -> None:
    member = node(check_quorum=True, read_only_lease_based=True)
    member.answer(Message(MessageType.HEARTBEAT, 1, 2, 1))
    member.forget_leader()
    assert member.lead == 2
    assert member.traced(TraceKind.FORGET_LEADER_REFUSED)


@pytest.mark.parametrize("campaigning", [False, True])
def test_only_followers_forget(campaigning: bool) -> None:
    member = Node(storage_of(voters=(1, 2) if campaigning else (1,)))
    member.campaign()
    member.work()
    before = member.role, member.lead
    member.forget_leader()
    assert (member.role, member.lead) == before


def test_a_leader_does_not_campaign() -> None:
    member = Node(storage_of(voters=(1,)))
    member.campaign()
    member.work()
    member.campaign()
    assert (member.role, member.term) == (StateRole.LEADER, 1)
    (event,) = member.traced(TraceKind.CAMPAIGN_REFUSED)
    assert event.details["reason"] == "already leader"
