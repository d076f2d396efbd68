from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvorum.mvcc.intervals import IntervalSet

KEYS = st.sampled_from([b"a", b"a\0", b"b", b"c", b"d", b"e", b"f"])
PROBES = [*(b"%c" % c for c in b"abcdefg"), b"a\0", b"a\0\0", b"b\0", b"c\0", b"", b"\xff"]
ADD = st.tuples(st.just("add"), KEYS, st.one_of(st.none(), KEYS))
REMOVE = st.tuples(st.just("remove"), KEYS)


def test_an_empty_set_holds_nothing() -> None:
    empty = IntervalSet()
    assert not empty
    assert b"a" not in empty


def test_an_inverted_interval_holds_nothing() -> None:
    intervals = IntervalSet()
    intervals.add(b"d", b"b")
    assert not intervals
    assert b"c" not in intervals


@given(changes=st.lists(st.one_of(ADD, ADD, REMOVE), max_size=12))
def test_a_key_is_in_the_set_when_the_last_change_that_touched_it_added_it(
    changes: list[tuple],
) -> None:
    intervals = IntervalSet()
    wanted = set()
    for change in changes:
        if change[0] == "add":
            _, start, end = change
            intervals.add(start, end)
            wanted |= {key for key in PROBES if start <= key and (end is None or key < end)}
        else:
            intervals.remove(change[1])
            wanted.discard(change[1])
    assert {key for key in PROBES if key in intervals} == wanted
    assert bool(intervals) >= bool(wanted)


@given(
    first=st.lists(st.tuples(KEYS, st.one_of(st.none(), KEYS)), max_size=5),
    second=st.lists(st.tuples(KEYS, st.one_of(st.none(), KEYS)), max_size=5),
)
def test_a_union_holds_what_either_holds(
    first: list[tuple[bytes, bytes | None]], second: list[tuple[bytes, bytes | None]]
) -> None:
    one, other = IntervalSet(), IntervalSet()
    for intervals, pairs in ((one, first), (other, second)):
        for start, end in pairs:
            intervals.add(start, end)
    wanted = {key for key in PROBES if key in one or key in other}
    one.add_all(other)
    assert {key for key in PROBES if key in one} == wanted
