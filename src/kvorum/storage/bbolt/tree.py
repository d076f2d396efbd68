"""Walks over the pages of one bucket. Each page is met at most once, or the file is damaged."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from operator import itemgetter
from typing import Final

from kvorum.storage.bbolt.format import BRANCH
from kvorum.storage.bbolt.pages import (
    BadPage,
    Pages,
    Row,
    branch_children,
    check_range,
    leaf_rows,
)

DEPTH_MAX: Final = 64
"""Branches above a leaf. A tree of 2 children a branch over 2^32 pages has 32."""

BATCH_BYTES: Final = 1 << 20
"""A list of rows ends with the leaf that brings it to so many bytes of pages."""

_first = itemgetter(0)


class Owners:
    """Which bucket each page was met in: none may be met by two."""

    __slots__ = ("_of_page",)

    def __init__(self, page_count: int) -> None:
        self._of_page = array("I", bytes(4 * page_count))

    def claim(self, page_id: int, run: int, owner: int) -> None:
        """Note that `owner` (above 0) has these pages."""
        of_page = self._of_page
        if run == 1 and not of_page[page_id]:  # nearly always
            of_page[page_id] = owner
            return
        for one in range(page_id, page_id + run):
            if of_page[one] not in {0, owner}:
                raise BadPage(one, "multiple references")
            of_page[one] = owner


def walk(
    pages: Pages, root: int, start: bytes, owners: Owners, owner: int, element_flag: int = 0
) -> Iterator[list[Row]]:
    """The rows from key `start` on, ascending, in lists of about `BATCH_BYTES`.

    Raises:
        BadPage: the tree is damaged.
    """
    met = bytearray(pages.high_water)
    batch: list[Row] = []
    batch_pages, batch_pages_max = 0, BATCH_BYTES // pages.page_size
    stack: list[tuple[int, bytes, bytes | None, int]] = [(root, b"", None, 0)]
    while stack:
        page_id, low, high, depth = stack.pop()
        kind, page = pages.read(page_id)
        run = page[4]
        if met[page_id] or (run > 1 and any(met[page_id : page_id + run])):
            raise BadPage(page_id, "multiple references")
        met[page_id : page_id + run] = b"\1" * run
        owners.claim(page_id, run, owner)
        if kind == BRANCH:
            stack += _children(page_id, branch_children(page_id, page), low, high, start, depth)
            continue
        rows = leaf_rows(page_id, page, element_flag)
        if not rows:
            continue
        check_range(page_id, "leaf", rows[0][0], rows[-1][0], low, high)
        if rows[0][0] < start:
            del rows[: bisect_left(rows, start, key=_first)]
        batch += rows
        batch_pages += run
        if batch_pages >= batch_pages_max and batch:
            yield batch
            batch, batch_pages = [], 0
    if batch:
        yield batch


def _children(
    page_id: int,
    branch: tuple[list[bytes], list[int]],
    low: bytes,
    high: bytes | None,
    start: bytes,
    depth: int,
) -> list[tuple[int, bytes, bytes | None, int]]:
    """What to walk next, last first, without what ends before `start`."""
    keys, children = branch
    if depth >= DEPTH_MAX:
        raise BadPage(page_id, f"more than {DEPTH_MAX} levels of branches")
    check_range(page_id, "branch", keys[0], keys[-1], low, high)
    skipped = max(0, bisect_right(keys, start) - 1) if start else 0
    highs = [*keys[skipped + 1 :], high]
    found = [
        (child, key, key_after, depth + 1)
        for child, key, key_after in zip(children[skipped:], keys[skipped:], highs, strict=True)
    ]
    found.reverse()
    return found


def find(pages: Pages, root: int, key: bytes) -> bytes | None:
    """The value of one key."""
    page_id, low, high = root, b"", None
    for _ in range(DEPTH_MAX + 1):
        kind, page = pages.read(page_id)
        if kind != BRANCH:
            return find_in(leaf_rows(page_id, page, 0), key)
        keys, children = branch_children(page_id, page)
        check_range(page_id, "branch", keys[0], keys[-1], low, high)
        place = bisect_right(keys, key) - 1
        if place < 0:
            return None
        page_id, low = children[place], keys[place]
        high = keys[place + 1] if place + 1 < len(keys) else high
    raise BadPage(page_id, f"more than {DEPTH_MAX} levels of branches")


def find_in(rows: list[Row], key: bytes) -> bytes | None:
    """The value of `key` among ascending rows."""
    place = bisect_left(rows, key, key=_first)
    return rows[place][1] if place < len(rows) and rows[place][0] == key else None


def last_row(pages: Pages, root: int) -> Row | None:
    """The row with the highest key."""
    met = bytearray(pages.high_water)
    stack: list[tuple[int, bytes, bytes | None, int]] = [(root, b"", None, 0)]
    while stack:
        page_id, low, high, depth = stack.pop()
        kind, page = pages.read(page_id)
        if met[page_id]:
            raise BadPage(page_id, "multiple references")
        met[page_id] = 1
        if kind == BRANCH:
            found = _children(page_id, branch_children(page_id, page), low, high, b"", depth)
            stack += reversed(found)  # the rightmost child next; another one only if it is empty
            continue
        rows = leaf_rows(page_id, page, 0)
        if rows:
            check_range(page_id, "leaf", rows[0][0], rows[-1][0], low, high)
            return rows[-1]
    return None
