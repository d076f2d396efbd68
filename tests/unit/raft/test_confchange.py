from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.errors import DecodeError
from kvorum.proto.raftpb import (
    ConfChange,
    ConfChangeSingle,
    ConfChangeTransition,
    ConfChangeType,
    ConfChangeV2,
    ConfState,
    Entry,
    EntryType,
)
from kvorum.raft import ConfChangeError, Configuration
from kvorum.raft.confchange import (
    changed,
    configuration_of,
    decode_change,
    encode_change,
    enter_joint,
    leave_joint,
    leaves_joint,
    refusal,
    simple,
)

ADD, REMOVE = ConfChangeType.ADD_NODE, ConfChangeType.REMOVE_NODE
UPDATE, LEARN = ConfChangeType.UPDATE_NODE, ConfChangeType.ADD_LEARNER_NODE
AUTO = ConfChangeTransition.AUTO
IMPLICIT, EXPLICIT = ConfChangeTransition.JOINT_IMPLICIT, ConfChangeTransition.JOINT_EXPLICIT
THREE = Configuration(voters=frozenset({1, 2, 3}))
JOINT = Configuration(voters=frozenset({1, 2, 4}), outgoing=frozenset({1, 2, 3}))

_singles = st.lists(
    st.builds(ConfChangeSingle, st.sampled_from(list(ConfChangeType)), st.integers(0, 6)),
    max_size=5,
)


def change(*singles: tuple[int, int], transition: int = AUTO) -> ConfChangeV2:
    return ConfChangeV2(transition, [ConfChangeSingle(*single) for single in singles])


def config(*voters: int, learners: set[int] | None = None) -> Configuration:
    return Configuration(voters=frozenset(voters), learners=frozenset(learners or ()))


@pytest.mark.parametrize(
    ("singles", "expected"),
    [
        ([(ADD, 4)], config(1, 2, 3, 4)),
        ([(ADD, 1)], THREE),
        ([(REMOVE, 3)], config(1, 2)),
        ([(REMOVE, 9)], THREE),
        ([(LEARN, 4)], config(1, 2, 3, learners={4})),
        ([(LEARN, 3)], config(1, 2, learners={3})),
        ([(UPDATE, 2)], THREE),
        ([(ADD, 0)], THREE),
        ([(REMOVE, 0)], THREE),
    ],
)
def test_one_change_is_made_in_one_step(
    singles: list[tuple[int, int]], expected: Configuration
) -> None:
    assert changed(THREE, change(*singles)) == expected


def test_a_learner_is_promoted_by_adding_it() -> None:
    assert changed(config(1, 2, learners={3}), change((ADD, 3))) == config(1, 2, 3)


def test_the_old_kind_of_change_means_the_same() -> None:
    old = ConfChange(id=7, type=LEARN, node_id=4, context=b"x")
    assert changed(THREE, old.as_v2()) == config(1, 2, 3, learners={4})


@pytest.mark.parametrize(
    ("transition", "auto_leave"), [(AUTO, True), (IMPLICIT, True), (EXPLICIT, False)]
)
def test_two_changes_join_the_configurations(transition: int, auto_leave: bool) -> None:
    joint = changed(THREE, change((REMOVE, 3), (ADD, 4), transition=transition))
    assert joint.voters == {1, 2, 4}
    assert joint.outgoing == {1, 2, 3}
    assert joint.auto_leave is auto_leave
    assert changed(joint, change()) == config(1, 2, 4)


def test_one_change_joins_when_asked_to() -> None:
    assert changed(THREE, change((ADD, 4), transition=EXPLICIT)).is_joint


def test_a_demoted_voter_learns_only_after_the_joint_configuration_is_left() -> None:
    joint = changed(THREE, change((LEARN, 3), transition=EXPLICIT))
    assert joint.learners_next == {3}
    assert not joint.learners
    assert leave_joint(joint) == config(1, 2, learners={3})


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: simple(THREE, change((ADD, 4), (ADD, 5)).changes), "more than one voter changed"),
        (lambda: simple(JOINT, change((ADD, 5)).changes), "can't apply simple config change"),
        (lambda: simple(config(1), change((REMOVE, 1)).changes), "removed all voters"),
        (lambda: simple(config(1), change((LEARN, 1)).changes), "removed all voters"),
        (lambda: enter_joint(JOINT, [], auto_leave=True), "config is already joint"),
        (lambda: enter_joint(Configuration(), [], auto_leave=True), "zero-voter config"),
        (lambda: leave_joint(THREE), "can't leave a non-joint config"),
        (lambda: changed(THREE, change((17, 4))), "unexpected conf type 17"),
        (lambda: changed(JOINT, change(transition=EXPLICIT)), "config is already joint"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(make, text: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfChangeError, match=text):
        make()


@pytest.mark.parametrize(
    ("before", "what", "text"),
    [
        (THREE, change((ADD, 4)), None),
        (THREE, change(), "not in joint state; refusing empty conf change"),
        (THREE, change(transition=EXPLICIT), "not in joint state; refusing empty conf change"),
        (JOINT, change(), None),
        (JOINT, change((ADD, 4)), "must transition out of joint config first"),
        (JOINT, change(transition=EXPLICIT), "must transition out of joint config first"),
        (THREE, change((9, 4)), "unexpected conf type 9"),
        (THREE, change((ADD, 4), transition=8), "unknown transition 8"),
    ],
)
def test_a_leader_knows_what_not_to_take(
    before: Configuration, what: ConfChangeV2, text: str | None
) -> None:
    assert refusal(before, what) == text


@given(first=_singles, second=_singles, third=_singles)
def test_any_row_of_changes_keeps_the_configuration_sound(
    first: list[ConfChangeSingle], second: list[ConfChangeSingle], third: list[ConfChangeSingle]
) -> None:
    """`Configuration` asserts its invariants; and what a conf state says, it gives back."""
    current = THREE
    for singles in (first, [], second, [], third):
        try:
            current = changed(current, ConfChangeV2(AUTO, list(singles)))
        except ConfChangeError:
            assert current.voters
        assert configuration_of(current.conf_state()) == current


@given(singles=_singles)
def test_old_and_new_configuration_share_a_member_of_every_quorum(
    singles: list[ConfChangeSingle],
) -> None:
    """What makes a change safe: no majority of the old and one of the new without overlap."""
    try:
        after = changed(THREE, ConfChangeV2(AUTO, singles))
    except ConfChangeError:
        return
    if not after.is_joint:
        assert len(THREE.voters ^ after.voters) <= 1


@pytest.mark.parametrize(
    "state",
    [
        ConfState(voters=[1], learners=[1]),
        ConfState(voters=[1], learners=[2], voters_outgoing=[2]),
        ConfState(voters=[1], learners_next=[2]),
        ConfState(voters=[1, 2], voters_outgoing=[2], learners_next=[2]),
        ConfState(voters=[1], auto_leave=True),
        ConfState(voters=[0, 1]),
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(state: ConfState) -> None:
    with pytest.raises(ConfChangeError, match="impossible configuration"):
        configuration_of(state)


def test_changes_survive_the_way_through_an_entry() -> None:
    old = ConfChange(id=3, type=ADD, node_id=5, context=b"c")
    entry = encode_change(old)
    assert entry.type == EntryType.CONF_CHANGE
    assert decode_change(entry) == old.as_v2()
    new = change((ADD, 5), (REMOVE, 2), transition=EXPLICIT)
    entry = encode_change(new)
    assert entry.type == EntryType.CONF_CHANGE_V2
    assert decode_change(entry) == new


def test_an_entry_without_data_leaves_the_joint_configuration() -> None:
    assert leaves_joint(decode_change(Entry(EntryType.CONF_CHANGE_V2)))


def test_bytes_that_are_no_change_are_refused() -> None:
    with pytest.raises(DecodeError):
        decode_change(Entry(EntryType.CONF_CHANGE_V2, data=b"\xff"))


def test_a_configuration_reads_like_etcds() -> None:
    full = Configuration(
        voters=frozenset({2, 10, 3}),
        outgoing=frozenset({1, 3}),
        learners=frozenset({4}),
        learners_next=frozenset({1}),
        auto_leave=True,
    )
    assert str(full) == "voters=(2 3 10)&&(1 3) learners=(4) learners_next=(1) autoleave"
    assert str(Configuration()) == "voters=()"
    assert full.members == {1, 2, 3, 4, 10}
