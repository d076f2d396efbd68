from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.raft import (
    NO_LIMIT,
    CompactedLogError,
    LogDamagedError,
    MemoryStorage,
    UnavailableLogError,
)
from kvorum.raft.log import RaftLog
from kvorum.raft.sizes import ENTRY_OVERHEAD_BYTES
from tests.unit.raft.group import entries_of, snapshot_at


def log_of(
    stored: tuple[int, ...] = (),
    unstable: tuple[int, ...] = (),
    *,
    first: int = 1,
    apply_bytes_max: int = NO_LIMIT,
    apply_unstable: bool = True,
) -> RaftLog:
    storage = MemoryStorage()
    if first > 1:
        storage.apply_snapshot(snapshot_at(first - 1, 1, [1]))
    storage.append(entries_of(*stored, first=first))
    log = RaftLog(storage, apply_bytes_max, apply_unstable=apply_unstable)
    if unstable:
        log.append(entries_of(*unstable, first=first + len(stored)))
    return log


def terms(log: RaftLog) -> list[int]:
    entries = log.slice(log.first_index(), log.last_index + 1, NO_LIMIT)
    return [entry.term for entry in entries]


def test_a_log_begins_where_the_storage_does() -> None:
    log = log_of((2, 2), first=11)
    assert (log.first_index(), log.last_index, log.last_term) == (11, 12, 2)
    assert (log.committed, log.applying, log.applied) == (10, 10, 10)


def test_entries_are_read_across_the_border_of_what_is_stored() -> None:
    log = log_of((1, 2), (3, 4))
    assert terms(log) == [1, 2, 3, 4]
    assert [entry.index for entry in log.slice(2, 4, NO_LIMIT)] == [2, 3]
    assert [log.term(index) for index in range(5)] == [0, 1, 2, 3, 4]
    assert log.slice(3, 3, NO_LIMIT) == []


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_slice_is_cut_to_the_bytes_asked_for_on_both_sides_of_the_border(count: int) -> None:
    log = log_of((1, 2), (3, 4))
    limit = count * (ENTRY_OVERHEAD_BYTES + 1)
    assert len(log.slice(1, 5, limit)) == count
    assert len(log.slice(1, 5, 0)) == 1
    assert len(next(log.pages(1, 5, limit))) == count
    assert sum(len(page) for page in log.pages(1, 5, limit)) == 4


def test_what_is_compacted_or_not_there_is_told_apart() -> None:
    log = log_of((2, 2), first=11)
    assert log.term(10) == 1
    with pytest.raises(CompactedLogError):
        log.term(9)
    with pytest.raises(UnavailableLogError):
        log.term(13)
    with pytest.raises(CompactedLogError):
        log.slice(9, 12, NO_LIMIT)
    assert not log.has(9, 1)
    assert not log.has(13, 2)
    assert log.has(12, 2)
    assert not log.has(12, 3)


@pytest.mark.parametrize(
    ("index", "term", "newer"),
    [(3, 3, True), (4, 3, True), (2, 3, False), (1, 4, True), (9, 2, False)],
)
def test_a_log_is_newer_by_its_last_term_then_by_its_length(
    index: int, term: int, newer: bool
) -> None:
    """Raft paper 5.4.1."""
    assert log_of((1, 2, 3)).is_up_to_date(index, term) is newer


@pytest.mark.parametrize(
    ("index", "term", "expected"),
    [
        (6, 5, (6, 5)),
        (6, 4, (5, 3)),
        (6, 3, (5, 3)),
        (6, 2, (3, 1)),
        (6, 0, (0, 0)),
        (4, 9, (4, 3)),
        (9, 1, (9, 0)),
    ],
)
def test_the_way_back_skips_entries_of_higher_terms(
    index: int, term: int, expected: tuple[int, int]
) -> None:
    assert log_of((1, 1, 1, 3, 3, 5)).find_agreement(index, term) == expected


def test_the_way_back_ends_at_what_is_compacted() -> None:
    assert log_of((3, 3), first=11).find_agreement(12, 0) == (9, 0)


@pytest.mark.parametrize(
    ("first", "new", "position"),
    [(4, (4,), 0), (2, (2, 2), None), (2, (2, 3), 1), (3, (2, 2), 1), (1, (1, 2, 2, 9), 3)],
)
def test_a_conflict_is_the_first_entry_that_the_log_does_not_have(
    first: int, new: tuple[int, ...], position: int | None
) -> None:
    assert log_of((1, 2, 2)).find_conflict(entries_of(*new, first=first)) == position


def test_appending_replaces_what_stands_behind() -> None:
    log = log_of((1, 1, 1), (1,))
    log.append(entries_of(2, first=2))
    assert terms(log) == [1, 2]
    assert (log.last_index, log.last_term) == (2, 2)


def test_committed_entries_are_never_replaced() -> None:
    log = log_of((1, 1, 1))
    log.commit_to(2)
    with pytest.raises(LogDamagedError, match="committed up to 2"):
        log.append(entries_of(2, first=2))
    assert terms(log) == [1, 1, 1]


def test_the_commit_index_never_goes_back_nor_beyond_the_log() -> None:
    log = log_of((1, 1, 1))
    log.commit_to(2)
    log.commit_to(1)
    assert log.committed == 2
    with pytest.raises(LogDamagedError, match="4 is committed but the log ends at 3"):
        log.commit_to(4)


def test_a_snapshot_takes_the_place_of_the_log() -> None:
    log = log_of((1, 1), (1,))
    log.commit_to(1)
    log.restore(snapshot_at(20, 4, [1]))
    assert (log.first_index(), log.last_index, log.last_term, log.committed) == (21, 20, 4, 20)
    assert log.term(20) == 4
    with pytest.raises(CompactedLogError):
        log.term(19)
    assert log.snapshot().metadata.index == 20
    assert not log.has_next_committed, "nothing is applied until the snapshot is stored"
    log.unstable.snapshot_stored(20)
    log.storage.apply_snapshot(snapshot_at(20, 4, [1]))  # type: ignore[attr-defined]
    log.applied_to(20, 0)
    assert (log.applied, log.applying) == (20, 20)


def test_committed_entries_are_handed_out_once() -> None:
    log = log_of((1, 1, 1))
    log.commit_to(2)
    assert [entry.index for entry in log.hand_out_committed()] == [1, 2]
    assert log.hand_out_committed() == []
    log.commit_to(3)
    assert [entry.index for entry in log.hand_out_committed()] == [3]
    assert (log.applying, log.applied) == (3, 0)


def test_entries_wait_until_they_are_stored_when_storage_is_asynchronous() -> None:
    log = log_of((1,), (1, 1), apply_unstable=False)
    log.commit_to(3)
    assert [entry.index for entry in log.hand_out_committed()] == [1]
    assert not log.has_next_committed
    log.storage.append(entries_of(1, first=2))  # type: ignore[attr-defined]
    log.unstable.stored_to(2, 1)
    assert [entry.index for entry in log.hand_out_committed()] == [2]


def test_no_more_bytes_are_out_to_be_applied_than_the_limit() -> None:
    one = ENTRY_OVERHEAD_BYTES + 1
    log = log_of((1,) * 6, apply_bytes_max=2 * one)
    log.commit_to(6)
    assert [entry.index for entry in log.hand_out_committed()] == [1, 2]
    assert not log.has_next_committed
    log.applied_to(1, one)
    assert [entry.index for entry in log.hand_out_committed()] == [3]
    log.applied_to(3, 2 * one)
    assert [entry.index for entry in log.hand_out_committed()] == [4, 5]


def test_an_entry_above_the_limit_is_handed_out_alone() -> None:
    log = log_of((1, 1), apply_bytes_max=1)
    log.commit_to(2)
    assert [entry.index for entry in log.hand_out_committed()] == [1]
    log.applied_to(1, ENTRY_OVERHEAD_BYTES + 1)
    assert [entry.index for entry in log.hand_out_committed()] == [2]


def test_crumbs_do_not_follow_what_the_limit_cut_off() -> None:
    """Otherwise a Ready with one entry would follow each big one."""
    one = ENTRY_OVERHEAD_BYTES + 1
    log = log_of((1,) * 4, apply_bytes_max=3 * one - 1)
    log.commit_to(4)
    assert len(log.hand_out_committed()) == 2
    assert log.applying_bytes < 3 * one - 1
    assert not log.has_next_committed


@given(
    own=st.lists(st.integers(1, 4), max_size=8).map(sorted),
    other=st.lists(st.integers(1, 4), max_size=8).map(sorted),
    start=st.integers(0, 8),
)
def test_the_hint_never_skips_a_place_where_two_logs_agree(
    own: list[int], other: list[int], start: int
) -> None:
    """Both sides go back by the other's term; the last common entry stays reachable."""
    mine, theirs = log_of(tuple(own)), log_of(tuple(other))
    common = 0
    while common < min(len(own), len(other)) and own[common] == other[common]:
        common += 1
    probed = min(start, len(other))
    if common >= probed:
        return
    hint, hint_term = mine.find_agreement(min(probed, len(own)), theirs.term(probed))
    found, _ = theirs.find_agreement(hint, hint_term)
    assert found >= min(common, probed)
