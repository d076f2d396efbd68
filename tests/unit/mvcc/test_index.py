from __future__ import annotations

from random import Random

import pytest

from kvorum.mvcc.index import KeyIndex
from kvorum.mvcc.revision import TOMBSTONE_MARK, row_key


class Filled:
    """An index with puts and deletions, and a plain list of them to compare with."""

    def __init__(self, *, keep_tombstone: bool = True) -> None:
        self.index = KeyIndex(keep_tombstone_at_compact=keep_tombstone)
        self.main = 1
        self.changes: list[tuple[bytes, bytes]] = []

    def put(self, key: bytes) -> tuple[int, int]:
        self.main += 1
        row = row_key(self.main)
        self.changes.append((key, row))
        return self.index.put(key, row, self.main)

    def delete(self, start: bytes, end: bytes | None) -> int:
        self.main += 1
        keys = self.index.live_keys(start, end)
        rows = [row_key(self.main, sub) + TOMBSTONE_MARK for sub in range(len(keys))]
        self.index.delete(keys, rows, self.main)
        self.index.end_revision(self.main)
        self.changes += zip(keys, rows, strict=True)
        return len(keys)

    def rows_at(self, start: bytes, end: bytes | None, main: int) -> list[bytes]:
        newest: dict[bytes, bytes] = {}
        for key, row in self.changes:
            if row < row_key(main + 1):
                newest[key] = row
        return [
            row
            for key, row in sorted(newest.items())
            if not row.endswith(TOMBSTONE_MARK)
            and (key == start if end is None else start <= key and (not end or key < end))
        ]


def check_invariants(index: KeyIndex) -> None:
    live, dead = set(index.live), set(index.dead)
    assert live.isdisjoint(dead)
    assert live | dead == set(index.records)
    rows = 0
    for key, (newest, _, version, older, own_key) in index.records.items():
        assert own_key is key
        assert (version == 0) == newest.endswith(TOMBSTONE_MARK) == (key in dead)
        rows += 1 + len(older) // 18
    assert index.drops_left(1 << 60) == rows - len(live)


def test_versions_count_within_a_generation() -> None:
    filled = Filled()
    assert filled.put(b"a") == (2, 1)
    assert filled.put(b"a") == (2, 2)
    assert filled.delete(b"a", None) == 1
    assert filled.delete(b"a", None) == 0
    assert filled.put(b"a") == (6, 1)
    check_invariants(filled.index)


@pytest.mark.parametrize("seed", range(4))
def test_reads_at_every_revision_find_what_was_newest_then(seed: int) -> None:
    random, filled = Random(seed), Filled()
    names = [b"k%03d" % n for n in range(300)]
    for _ in range(1500):
        if random.random() < 0.8:
            filled.put(random.choice(names))
        elif random.random() < 0.95:
            filled.delete(random.choice(names), None)
        else:
            filled.delete(random.choice(names), random.choice([*names, b""]))
    index = filled.index
    check_invariants(index)
    ranges = [(b"k100", b"k200"), (b"", b""), (b"k250", b""), (b"k2", b"k1"), (b"k007", None)]
    for start, end in ranges:
        newest = filled.rows_at(start, end, filled.main)
        assert index.newest_rows(start, end) == newest
        assert index.newest_rows(start, end, 3) == newest[:3]
        assert index.count(start, end) == len(newest) == len(index.live_keys(start, end))
        for main in random.sample(range(1, filled.main + 1), 40):
            wanted = filled.rows_at(start, end, main)
            assert index.rows_at(start, end, main) == wanted
            assert index.rows_at(start, end, main, 2) == wanted[:2]
            assert index.count_at(start, end, main) == len(wanted)


def test_a_walk_at_an_older_revision_passes_over_many_dead_keys() -> None:
    filled = Filled()
    for n in range(3000):
        filled.put(b"%05d" % n)
    before = filled.main
    assert filled.delete(b"00010", b"02990") == 2980
    check_invariants(filled.index)
    for n in range(100, 3000, 100):
        filled.put(b"%05d" % n)
    index = filled.index
    assert len(index.rows_at(b"", b"", before)) == 3000
    assert index.rows_at(b"", b"", before, 5) == [row_key(2 + n) for n in range(5)]
    assert index.rows_at(b"", b"", before + 1) == filled.rows_at(b"", b"", before + 1)
    assert index.rows_at(b"", b"", filled.main) == index.newest_rows(b"", b"")
    assert index.count_at(b"", b"", before + 1) == 20


def test_a_key_put_very_often_keeps_its_whole_history() -> None:
    filled = Filled()
    for _ in range(500):
        filled.put(b"hot")
    rows = [filled.index.row_at(b"hot", main) for main in range(2, filled.main + 1)]
    assert rows == [row_key(main) for main in range(2, filled.main + 1)]
    assert filled.index.drop(400, 1000) == [row_key(main) for main in range(2, 400)]
    assert filled.index.row_at(b"hot", 400) == row_key(400)
    assert filled.index.row_at(b"hot", 450) == row_key(450)
    check_invariants(filled.index)


def test_rows_are_dropped_a_few_at_a_time() -> None:
    filled = Filled()
    for _ in range(4):
        for key in (b"a", b"b"):
            filled.put(key)
    index, dropped = filled.index, []
    while rows := index.drop(filled.main, 2):
        assert len(rows) <= 2
        check_invariants(index)
        dropped += rows
    assert sorted(dropped) == [row_key(main) for main in range(2, 8)]
    assert index.newest_rows(b"", b"") == [row_key(8), row_key(9)]


@pytest.mark.parametrize(("keep", "left"), [(True, 1), (False, 0)])
def test_a_tombstone_at_the_compaction_revision_goes_by_the_rules(keep: bool, left: int) -> None:
    filled = Filled(keep_tombstone=keep)
    filled.put(b"a")
    filled.delete(b"a", None)
    filled.index.drop(3, 100)
    assert len(filled.index.records) == left
    filled.index.drop(4, 100)
    assert not filled.index.records
    assert not filled.index.dead
    check_invariants(filled.index)


def test_a_dead_key_put_again_loses_its_tombstone_before_that() -> None:
    filled = Filled()
    filled.put(b"a")  # 2
    filled.delete(b"a", None)  # 3
    filled.put(b"b")  # 4
    filled.put(b"a")  # 5
    assert filled.index.drop(4, 100) == [row_key(2), row_key(3) + TOMBSTONE_MARK]
    assert filled.index.row_at(b"a", 4) is None
    assert filled.index.row_at(b"a", 5) == row_key(5)
    check_invariants(filled.index)
