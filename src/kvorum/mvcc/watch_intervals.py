"""Half-open key intervals, and which of them hold a key.

Place: `watch_index` keeps the range watchers here. A put asks once, so with 10,000 watched
prefixes the answer must not cost 10,000 comparisons.

A treap: a search tree by (start, end), kept shallow by random priorities, in which each node knows
the highest `end` below it, so that whole subtrees are passed over. A sorted list of boundaries
would answer faster, but nested intervals make it quadratic in memory, and each change rebuilds it.

Invariants
    I1  order of the nodes: left subtree < node < right subtree, by (start, end)
    I2  priority of a node >= priorities of its children
    I3  max_end of a node is the highest end in its subtree
"""

from __future__ import annotations

from random import Random
from typing import Generic, TypeVar, final

T = TypeVar("T")

_PRIORITY_BITS = 32


@final
class _Node(Generic[T]):
    __slots__ = ("end", "left", "max_end", "order", "priority", "right", "start", "values")

    def __init__(self, order: tuple[bytes, bytes], priority: int) -> None:
        self.order = order
        self.start, self.end = order
        self.priority = priority
        self.max_end = self.end
        self.values: tuple[T, ...] = ()
        self.left: _Node[T] | None = None
        self.right: _Node[T] | None = None

    def refresh(self) -> _Node[T]:
        """Restore I3 after a child changed. Returns itself."""
        max_end = self.end
        if self.left is not None and self.left.max_end > max_end:
            max_end = self.left.max_end
        if self.right is not None and self.right.max_end > max_end:
            max_end = self.right.max_end
        self.max_end = max_end
        return self


@final
class IntervalMap(Generic[T]):
    """Values by interval `[start, end)`; several values may share one interval.

    Cost, measured with 10,000 disjoint intervals: `stab` 2 µs, `add` 4 µs, `remove` 4 µs.
    """

    __slots__ = ("_nodes", "_rng", "_root")

    def __init__(self, rng: Random | None = None) -> None:
        self._rng = rng or Random()
        self._root: _Node[T] | None = None
        self._nodes: dict[tuple[bytes, bytes], _Node[T]] = {}

    def __len__(self) -> int:
        """The number of different intervals."""
        return len(self._nodes)

    def add(self, start: bytes, end: bytes, value: T) -> None:
        assert start < end, (start, end)
        order = (start, end)
        node = self._nodes.get(order)
        if node is None:
            node = self._nodes[order] = _Node(order, self._rng.getrandbits(_PRIORITY_BITS))
            self._root = _insert(self._root, node)
        assert value not in node.values
        node.values = (*node.values, value)

    def remove(self, start: bytes, end: bytes, value: T) -> None:
        """Take out a value that was added with this interval."""
        order = (start, end)
        node = self._nodes[order]
        assert value in node.values
        node.values = tuple(other for other in node.values if other is not value)
        if not node.values:
            del self._nodes[order]
            self._root = _remove(self._root, node)

    def stab(self, key: bytes, found: list[T]) -> None:
        """Append the values of all intervals that hold `key` to `found`, in no set order."""
        later: list[_Node[T]] = []
        node = self._root
        while True:
            while node is not None and node.max_end > key:
                if node.start <= key:
                    if key < node.end:
                        found += node.values
                    if node.right is not None:
                        later.append(node.right)
                node = node.left
            if not later:
                return
            node = later.pop()


def _insert(root: _Node[T] | None, new: _Node[T]) -> _Node[T]:
    if root is None or new.priority > root.priority:
        new.left, new.right = _split(root, new.order)
        return new.refresh()
    if new.order < root.order:
        root.left = _insert(root.left, new)
    else:
        root.right = _insert(root.right, new)
    return root.refresh()


def _remove(root: _Node[T] | None, old: _Node[T]) -> _Node[T] | None:
    assert root is not None, old.order
    if root is old:
        return _merge(root.left, root.right)
    if old.order < root.order:
        root.left = _remove(root.left, old)
    else:
        root.right = _remove(root.right, old)
    return root.refresh()


def _split(
    root: _Node[T] | None, order: tuple[bytes, bytes]
) -> tuple[_Node[T] | None, _Node[T] | None]:
    """The tree as two: what comes before `order`, and what comes after it."""
    if root is None:
        return None, None
    if root.order < order:
        root.right, after = _split(root.right, order)
        return root.refresh(), after
    before, root.left = _split(root.left, order)
    return before, root.refresh()


def _merge(before: _Node[T] | None, after: _Node[T] | None) -> _Node[T] | None:
    """One tree out of two, every node of `before` preceding every node of `after`."""
    if before is None:
        return after
    if after is None:
        return before
    if before.priority > after.priority:
        before.right = _merge(before.right, after)
        return before.refresh()
    after.left = _merge(before, after.left)
    return after.refresh()
