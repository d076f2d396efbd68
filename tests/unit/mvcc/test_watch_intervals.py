from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from kvorum.mvcc.watch_intervals import IntervalMap, _Node

keys = st.binary(max_size=3)
intervals = st.tuples(keys, keys).filter(lambda pair: pair[0] < pair[1])


def check_node(node: _Node[int] | None) -> list[tuple[bytes, bytes]]:
    """The orders of a subtree from left to right; its invariants are asserted on the way."""
    if node is None:
        return []
    before, after = check_node(node.left), check_node(node.right)
    orders = [*before, node.order, *after]
    assert node.max_end == max(end for _, end in orders)
    for child in (node.left, node.right):
        assert child is None or child.priority <= node.priority
    return orders


@given(
    seed=st.integers(0, 2**32),
    changes=st.lists(st.tuples(st.booleans(), intervals, st.integers(0, 3)), max_size=60),
    probes=st.lists(keys, max_size=10),
)
def test_the_intervals_that_hold_a_key_are_found(
    seed: int, changes: list[tuple[bool, tuple[bytes, bytes], int]], probes: list[bytes]
) -> None:
    tree: IntervalMap[int] = IntervalMap(Random(seed))
    model: set[tuple[bytes, bytes, int]] = set()
    for wanted, (start, end), value in changes:
        entry = (start, end, value)
        if wanted and entry not in model:
            model.add(entry)
            tree.add(*entry)
        elif not wanted and entry in model:
            model.remove(entry)
            tree.remove(*entry)
        orders = check_node(tree._root)
        assert orders == sorted({(start, end) for start, end, _ in model})
        assert len(tree) == len(orders)
    for key in probes + [start for start, _, _ in model] + [end for _, end, _ in model]:
        found: list[int] = []
        tree.stab(key, found)
        assert sorted(found) == sorted(v for start, end, v in model if start <= key < end)


class CountingKey(bytes):
    """Counts the comparisons it takes part in."""

    comparisons = 0

    def __lt__(self, other: bytes) -> bool:
        CountingKey.comparisons += 1
        return bytes.__lt__(self, other)

    def __ge__(self, other: bytes) -> bool:
        CountingKey.comparisons += 1
        return bytes.__ge__(self, other)


def test_one_of_ten_thousand_prefixes_is_found_without_looking_at_all() -> None:
    tree: IntervalMap[int] = IntervalMap(Random(1))
    order = list(range(10_000))
    Random(2).shuffle(order)
    for number in order:
        tree.add(b"/%05d/" % number, b"/%05d0" % number, number)
    worst = 0
    for number in range(0, 10_000, 97):
        CountingKey.comparisons = 0
        found: list[int] = []
        tree.stab(CountingKey(b"/%05d/pod" % number), found)
        assert found == [number]
        worst = max(worst, CountingKey.comparisons)
    assert 0 < worst < 150  # 30 levels with up to three comparisons, and some of siblings
