from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.proto.raftpb import ConfState, Entry, HardState
from kvorum.raft import (
    NO_LIMIT,
    CompactedLogError,
    MemoryStorage,
    SnapshotOutOfDateError,
    UnavailableLogError,
)
from kvorum.raft.sizes import ENTRY_OVERHEAD_BYTES, encoded_bytes, limit_bytes, payload_bytes
from tests.unit.raft.group import entries_of, snapshot_at


def filled(*terms: int, first: int = 1) -> MemoryStorage:
    storage = MemoryStorage()
    if first > 1:
        storage.apply_snapshot(snapshot_at(first - 1, 1, [1]))
    storage.append(entries_of(*terms, first=first))
    return storage


def test_an_empty_storage_stands_before_the_first_entry() -> None:
    storage = MemoryStorage(ConfState(voters=[1]))
    assert (storage.first_index(), storage.last_index(), storage.term(0)) == (1, 0, 0)
    assert storage.initial_state() == (HardState(), ConfState(voters=[1]))
    assert storage.entries(1, 1, NO_LIMIT) == []


def test_entries_are_read_by_index() -> None:
    storage = filled(3, 4, 5, first=5)
    assert [entry.index for entry in storage.entries(5, 7, NO_LIMIT)] == [5, 6]
    assert [storage.term(index) for index in (4, 5, 7)] == [1, 3, 5]


@pytest.mark.parametrize(("lo", "hi"), [(3, 6), (4, 5)])
def test_what_is_compacted_cannot_be_read(lo: int, hi: int) -> None:
    storage = filled(3, 4, 5, first=5)
    with pytest.raises(CompactedLogError):
        storage.entries(lo, hi, NO_LIMIT)
    with pytest.raises(CompactedLogError):
        storage.term(3)


def test_what_is_not_there_yet_cannot_be_read() -> None:
    storage = filled(3, 4, 5, first=5)
    with pytest.raises(UnavailableLogError):
        storage.entries(6, 9, NO_LIMIT)
    with pytest.raises(UnavailableLogError):
        storage.term(8)


@pytest.mark.parametrize(
    ("first", "terms", "expected"),
    [
        (8, (6, 6), [(3, 5), (4, 6), (5, 7), (6, 8), (6, 9)]),
        (6, (6,), [(3, 5), (6, 6)]),
        (5, (6, 6), [(6, 5), (6, 6)]),
        (4, (6, 6, 6), [(6, 5), (6, 6)]),
        (2, (6, 6), [(3, 5), (4, 6), (5, 7)]),
    ],
)
def test_appended_entries_replace_what_follows_and_skip_what_is_compacted(
    first: int, terms: tuple[int, ...], expected: list[tuple[int, int]]
) -> None:
    storage = filled(3, 4, 5, first=5)
    storage.append(entries_of(*terms, first=first))
    last = storage.last_index()
    assert [(e.term, e.index) for e in storage.entries(5, last + 1, NO_LIMIT)] == expected


def test_a_gap_is_refused() -> None:
    with pytest.raises(UnavailableLogError):
        filled(3, 4, 5, first=5).append(entries_of(9, first=9))


def test_the_callers_list_is_not_kept() -> None:
    storage, batch = MemoryStorage(), entries_of(1, 1)
    storage.append(batch)
    batch.clear()
    assert storage.last_index() == 2
    read = storage.entries(1, 3, NO_LIMIT)
    read.clear()
    assert storage.last_index() == 2


def test_compaction_keeps_the_term_below_the_first_entry() -> None:
    storage = filled(3, 4, 5, first=5)
    storage.compact(6)
    assert (storage.first_index(), storage.last_index(), storage.term(6)) == (7, 7, 4)
    with pytest.raises(CompactedLogError):
        storage.compact(6)
    with pytest.raises(UnavailableLogError):
        storage.compact(8)
    storage.compact(7)
    assert (storage.first_index(), storage.last_index(), storage.term(7)) == (8, 7, 5)


def test_a_snapshot_from_the_leader_replaces_the_log() -> None:
    storage = filled(3, 4, 5, first=5)
    storage.apply_snapshot(snapshot_at(20, 6, [1, 2]))
    assert (storage.first_index(), storage.last_index(), storage.term(20)) == (21, 20, 6)
    assert storage.initial_state()[1].voters == [1, 2]
    with pytest.raises(SnapshotOutOfDateError):
        storage.apply_snapshot(snapshot_at(20, 6, [1, 2]))


def test_an_own_snapshot_leaves_the_log_until_it_is_compacted() -> None:
    storage = filled(3, 4, 5, first=5)
    made = storage.create_snapshot(6, ConfState(voters=[7]), b"data")
    assert (made.metadata.index, made.metadata.term) == (6, 4)
    assert storage.snapshot() == made
    assert storage.first_index() == 5
    again = storage.create_snapshot(7, None, b"data")
    assert again.metadata.conf_state.voters == [7]
    with pytest.raises(SnapshotOutOfDateError):
        storage.create_snapshot(7, None, b"")
    with pytest.raises(UnavailableLogError):
        storage.create_snapshot(8, None, b"")


@given(sizes=st.lists(st.integers(0, 300), min_size=1, max_size=20), bytes_max=st.integers(0, 2000))
def test_a_run_is_cut_to_the_longest_prefix_that_fits(sizes: list[int], bytes_max: int) -> None:
    entries = [Entry(0, 1, index, b"x" * size) for index, size in enumerate(sizes, 1)]
    cut = limit_bytes(entries, bytes_max)
    assert cut == entries[: len(cut)]
    assert len(cut) == 1 or encoded_bytes(cut) <= bytes_max
    if len(cut) < len(entries):
        assert encoded_bytes(entries[: len(cut) + 1]) > bytes_max


def test_entries_without_data_weigh_only_what_is_around_it() -> None:
    entries = [Entry(0, 1, 1), Entry(0, 1, 2, b""), Entry(0, 1, 3, b"abc")]
    assert payload_bytes(entries) == 3
    assert encoded_bytes(entries) == 3 + 3 * ENTRY_OVERHEAD_BYTES


def test_the_allowance_covers_what_an_entry_really_takes() -> None:
    """Up to a term of five bytes and an index of six: beyond that by a few bytes an entry."""
    entry = Entry(2, 2**32, 2**40, b"x" * 5000)
    assert len(entry.encode()) + 4 <= 5000 + ENTRY_OVERHEAD_BYTES
