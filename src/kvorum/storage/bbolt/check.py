"""Looks for every problem of a bbolt file, without giving up at the first.

The lines are worded as those of bbolt's own check, which `etcdutl snapshot status` prints. A file
with one damaged meta is sound, here as there: that is what a crash may leave, and what two are for.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from kvorum.storage.bbolt.format import (
    BRANCH,
    BUCKET_FLAG,
    COUNT_MANY,
    FREELIST,
    HEADER_BYTES,
    NO_FREELIST,
    PAGE_HEADER,
    Meta,
    type_name,
)
from kvorum.storage.bbolt.pages import (
    FIRST_DATA_PAGE,
    BadPage,
    Page,
    Pages,
    branch_children,
    bucket_of,
    check_range,
    leaf_rows,
)
from kvorum.storage.bbolt.tree import DEPTH_MAX

PROBLEMS_MAX: Final = 100_000
"""What is found beyond is not listed: a line takes more memory than the page it speaks of."""

_REACHABLE: Final = 1
_FREE: Final = 2
_ID = Struct("<Q")


def check_file(pages: Pages, meta: Meta) -> list[str]:
    """What is wrong; nothing if the file is sound."""
    check = _Check(pages)
    if meta.freelist != NO_FREELIST:
        check.freelist(meta.freelist)
    for name, value in check.tree(meta.root, BUCKET_FLAG):
        check.bucket(meta.root, name, value)
    if meta.freelist != NO_FREELIST:
        check.unreachable()
    return check.problems


class _Check:
    """State of each page below the high-water mark, and the problems found."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._states = bytearray(pages.high_water)
        self._states[:FIRST_DATA_PAGE] = bytes([_REACHABLE]) * FIRST_DATA_PAGE
        self.problems: list[str] = []

    def _report(self, page_id: int, reason: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(f"page {page_id}: {reason}")

    def freelist(self, page_id: int) -> None:
        """The list of free pages: each once, each below the high-water mark."""
        high_water = self._pages.high_water
        if not FIRST_DATA_PAGE <= page_id < high_water:
            self._report(page_id, f"out of bounds: {high_water}")
            return
        own_id, flags, count, overflow = PAGE_HEADER.unpack_from(self._pages.raw(page_id))
        if own_id != page_id or flags != FREELIST:
            self._report(page_id, f"invalid type: {type_name(flags)}")
            return
        if page_id + overflow >= high_water:
            self._report(page_id + overflow, f"out of bounds: {high_water}")
            return
        self._states[page_id : page_id + overflow + 1] = bytes([_REACHABLE]) * (overflow + 1)
        data, at = self._pages.raw(page_id, overflow + 1), HEADER_BYTES
        if count == COUNT_MANY:
            (count,) = _ID.unpack_from(data, at)
            at += _ID.size
        end = at + count * _ID.size
        if end > len(data):
            self._report(page_id, f"{count} free pages do not fit into {len(data)} bytes")
            return
        for (free,) in _ID.iter_unpack(data[at:end]):
            self._free(free)

    def _free(self, page_id: int) -> None:
        if not FIRST_DATA_PAGE <= page_id < self._pages.high_water:
            self._report(page_id, f"out of bounds: {self._pages.high_water}")
        elif self._states[page_id] == _FREE:
            self._report(page_id, "already freed")
        elif self._states[page_id] == _REACHABLE:
            self._report(page_id, "reachable freed")
        else:
            self._states[page_id] = _FREE

    def bucket(self, root: int, name: bytes, value: bytes) -> None:
        """A row of the root bucket, and the tree that it points at."""
        try:
            page_id, _ = bucket_of(root, name, value)
        except BadPage as bad:
            self._report(bad.page_id, bad.reason)
            return
        if page_id:
            self.tree(page_id, 0)

    def tree(self, root: int, element_flag: int) -> list[tuple[bytes, bytes]]:
        """Walk a tree; the rows of its leaves if they are buckets (there are few)."""
        found: list[tuple[bytes, bytes]] = []
        stack: list[tuple[int, bytes, bytes | None, int]] = [(root, b"", None, 0)]
        while stack:
            page_id, low, high, depth = stack.pop()
            try:
                kind, page = self._pages.read(page_id)
                if not self._reach(page_id, page):
                    continue
                if kind == BRANCH:
                    stack += self._branch(page_id, page, low, high, depth)
                    continue
                rows = leaf_rows(page_id, page, element_flag)
                if rows:
                    check_range(page_id, "leaf", rows[0][0], rows[-1][0], low, high)
                    if element_flag:
                        found += rows
            except BadPage as bad:
                self._report(bad.page_id, bad.reason)
                if page_id < self._pages.high_water:
                    self._states[page_id] = _REACHABLE
        return found

    def _reach(self, page_id: int, page: Page) -> bool:
        """Note that the run is in use. False when its content was seen before."""
        states = self._states
        if page[4] == 1 and not states[page_id]:  # nearly always
            states[page_id] = _REACHABLE
            return True
        is_new = True
        for one in range(page_id, page_id + page[4]):
            state = states[one]
            if state:
                self._report(
                    one, "multiple references" if state == _REACHABLE else "reachable freed"
                )
                is_new = is_new and state != _REACHABLE
            states[one] = _REACHABLE
        return is_new

    @staticmethod
    def _branch(
        page_id: int, page: Page, low: bytes, high: bytes | None, depth: int
    ) -> list[tuple[int, bytes, bytes | None, int]]:
        keys, children = branch_children(page_id, page)
        check_range(page_id, "branch", keys[0], keys[-1], low, high)
        if depth >= DEPTH_MAX:
            raise BadPage(page_id, f"more than {DEPTH_MAX} levels of branches")
        highs = [*keys[1:], high]
        found = [(c, k, h, depth + 1) for c, k, h in zip(children, keys, highs, strict=True)]
        found.reverse()
        return found

    def unreachable(self) -> None:
        """Pages that are neither in use nor free."""
        page_id = self._states.find(0)
        while page_id >= 0:
            self._report(page_id, "unreachable unfreed")
            page_id = self._states.find(0, page_id + 1)
