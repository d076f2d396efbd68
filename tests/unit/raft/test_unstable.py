from __future__ import annotations

from kvorum.raft.unstable import Unstable
from tests.unit.raft.group import entries_of, snapshot_at


def tail(*terms: int, offset: int = 5) -> Unstable:
    made = Unstable(offset)
    if terms:
        made.append(entries_of(*terms, first=offset))
    return made


def shape(made: Unstable) -> tuple[int, list[int], int]:
    return made.offset, [entry.term for entry in made.entries], made.offset_in_progress


def test_entries_are_handed_out_once() -> None:
    made = tail(1, 1)
    assert [entry.index for entry in made.next_entries()] == [5, 6]
    made.hand_out()
    assert not made.has_next
    made.append(entries_of(1, first=7))
    assert [entry.index for entry in made.next_entries()] == [7]


def test_stored_entries_leave() -> None:
    made = tail(1, 1, 2)
    made.hand_out()
    assert made.stored_to(6, 1)
    assert shape(made) == (7, [2], 8)
    assert made.stored_to(7, 2)
    assert shape(made) == (8, [], 8)


def test_an_answer_for_what_was_replaced_is_ignored() -> None:
    """The entry at 6 was stored with term 1; the one with term 2 is still on its way."""
    made = tail(1, 1)
    made.hand_out()
    made.append(entries_of(2, first=6))
    made.hand_out()
    assert not made.stored_to(6, 1)
    assert shape(made) == (5, [1, 2], 7)
    assert made.stored_to(6, 2)


def test_an_answer_for_what_is_not_here_is_ignored() -> None:
    made = tail(1, 1)
    assert not made.stored_to(4, 1)
    assert not made.stored_to(7, 1)


def test_replaced_entries_are_handed_out_again() -> None:
    made = tail(1, 1, 1)
    made.hand_out()
    made.append(entries_of(2, 2, first=6))
    assert shape(made) == (5, [1, 2, 2], 6)
    assert [entry.index for entry in made.next_entries()] == [6, 7]


def test_stored_entries_can_be_replaced_too() -> None:
    made = tail(1, offset=9)
    made.hand_out()
    made.append(entries_of(3, 3, first=4))
    assert shape(made) == (4, [3, 3], 4)


def test_the_callers_list_is_not_kept() -> None:
    batch = entries_of(1, 1, first=5)
    made = Unstable(5)
    made.append(batch)
    batch.clear()
    replacing = entries_of(2, first=5)
    made.append(replacing)
    replacing.clear()
    assert shape(made) == (5, [2], 5)


def test_a_snapshot_is_handed_out_once_and_leaves_when_stored() -> None:
    made = tail(1, 1)
    snapshot = snapshot_at(20, 3, [1])
    made.restore(snapshot)
    assert shape(made) == (21, [], 21)
    assert made.next_snapshot() is snapshot
    assert made.term(20) == 3
    made.hand_out()
    assert made.next_snapshot() is None
    assert made.snapshot is snapshot
    made.snapshot_stored(19)
    assert made.snapshot is snapshot, "that was an older one"
    made.snapshot_stored(20)
    assert made.snapshot is None
    assert made.term(20) is None


def test_terms_are_known_only_of_what_is_here() -> None:
    made = tail(1, 2)
    assert [made.term(index) for index in (4, 5, 6, 7)] == [None, 1, 2, None]
    assert [entry.term for entry in made.slice(6, 7)] == [2]
