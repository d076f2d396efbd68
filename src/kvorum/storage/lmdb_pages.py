"""The pages of an LMDB file, read without trust.

liblmdb believes what a page says: a page with a wrong length in it makes it read outside the map,
and that ends the process (SIGSEGV, SIGBUS). That is right for the file that a member itself keeps
and locks, and wrong for a file that somebody copied. So files are read here by the page: ids,
flags, counts, offsets, lengths and the order of keys are checked, and whatever is wrong is a
CorruptionError with its offset. The file is mapped and never written.

    file      pages 0 and 1 are meta pages; the one with the higher transaction id is valid
    page      id u64, pad u16, flags u16, lower u16, upper u16 (overflow: count u32); 16 bytes
    node      lo u16, hi u16, flags u16, key length u16; key; value
    branch    child = lo | hi << 16 | flags << 32; the first node's key is ignored
    leaf      value's length = lo | hi << 16; flag 1: the value is the id of its overflow pages,
              flag 2: the value is the root of a table (only in the main table)
    table     pad u32, flags u16, depth u16, branch, leaf and overflow pages, entries, root: 5 u64

Cost: 0.5 to 0.7 µs a row; liblmdb's cursor takes 0.3.

Source: LMDB 0.9 mdb.c (MDB_page, MDB_node, MDB_db, MDB_meta), 64-bit little-endian layout.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple, NoReturn

from kvorum.errors import CorruptionError

MAGIC: Final = b"\xde\xc0\xef\xbe"
MAGIC_OFFSET: Final = 16
PAGE_BYTES_MIN: Final = 512
PAGE_BYTES_MAX: Final = 64 * 1024
DEPTH_MAX: Final = 32  # CURSOR_STACK of liblmdb
VALUE_BYTES_MAX: Final = (1 << 32) - 1

BRANCH: Final = 0x01
LEAF: Final = 0x02
OVERFLOW: Final = 0x04
META: Final = 0x08
KIND_BITS: Final = 0x6F
"""Branch, leaf, overflow, meta, and two kinds that tables like ours never have."""
BIG_VALUE: Final = 0x01
SUB_TABLE: Final = 0x02
EMPTY_ROOT: Final = (1 << 64) - 1
META_PAGES: Final = 2
DATA_VERSION: Final = 1

_HEAD = Struct("<QHHHH")
_OVERFLOW_HEAD = Struct("<QHHI")
_META = Struct("<IIQQ48s48sQQ")
_TABLE = Struct("<IHH5Q")
_NODE = Struct("<HHHH")
_U64 = Struct("<Q")
HEAD_BYTES: Final = _HEAD.size
NODE_BYTES: Final = _NODE.size
TABLE_BYTES: Final = _TABLE.size
assert HEAD_BYTES == _OVERFLOW_HEAD.size == 16
assert TABLE_BYTES == 48

ADVICE: Final = "the file is damaged or was cut off; take another copy or another backup"

_pointers_of = lru_cache(maxsize=4096)(lambda count: Struct(f"<{count}H").unpack_from)


class Table(NamedTuple):
    """Where a table is, and what it says of itself."""

    root: int
    depth: int
    entries: int


class Pages:
    """The pages of one file at one transaction.

    Args:
        path: the file.
        transaction: the id of the transaction to see; None: the newest. A caller that names one
            holds a reader of it, so that its pages stay as they are.

    Raises:
        CorruptionError: no valid meta page.
        LookupError: the file has no meta page of `transaction` any more.
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, transaction: int | None = None) -> None:
        self.path = path
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._length = os.fstat(fd).st_size
            if self._length < META_PAGES * PAGE_BYTES_MIN:
                self.damaged(0, f"only {self._length} bytes long")
            self._map = mmap.mmap(fd, self._length, prot=mmap.PROT_READ)
        finally:
            os.close(fd)
        try:
            self._read_metas(transaction)
        except BaseException:
            self._map.close()
            raise

    def close(self) -> None:
        self._map.close()

    def damaged(self, offset: int, reason: str) -> NoReturn:
        raise CorruptionError(self.path, offset, reason, ADVICE)

    # Meta pages.

    def _read_metas(self, wanted: int | None) -> None:
        size, table, pages_count, transaction = self._meta(0, 0)
        if size & (size - 1) or not PAGE_BYTES_MIN <= size <= PAGE_BYTES_MAX:
            self.damaged(HEAD_BYTES, f"pages of {size} bytes")
        other = self._meta(1, size)
        if other[0] != size:
            self.damaged(size, f"pages of {other[0]} bytes, but page 0 says {size}")
        if wanted is None:
            if other[3] > transaction:
                _, table, pages_count, transaction = other
        elif other[3] == wanted:
            _, table, pages_count, transaction = other
        elif transaction != wanted:
            raise LookupError(f"no meta page of transaction {wanted}")
        self.page_bytes = size
        self.transaction = transaction
        self.pages_count = pages_count
        self.size_bytes = pages_count * size
        if pages_count < META_PAGES:
            self.damaged(HEAD_BYTES, f"{pages_count} pages")
        self._present = min(pages_count, self._length // size)
        self.main = self.table(table, 0, META_PAGES)

    def is_intact(self) -> bool:
        """Whether the meta page still says what it said, so that it was read as a whole."""
        at = self.transaction % META_PAGES
        try:
            size, raw, count, transaction = self._meta(at, at * self.page_bytes)
            return (size, self.table(raw, 0, META_PAGES), count, transaction) == (
                self.page_bytes,
                self.main,
                self.pages_count,
                self.transaction,
            )
        except CorruptionError:
            return False

    def _meta(self, number: int, offset: int) -> tuple[int, bytes, int, int]:
        """Page size, main table, number of pages, transaction."""
        if offset + HEAD_BYTES + _META.size > self._length:
            self.damaged(offset, f"meta page {number} is missing")
        page_id, _, flags, _, _ = _HEAD.unpack_from(self._map, offset)
        magic, version, _, _, free, main, last, transaction = _META.unpack_from(
            self._map, offset + HEAD_BYTES
        )
        if page_id != number or flags & KIND_BITS != META or magic.to_bytes(4, "little") != MAGIC:
            self.damaged(offset, f"page {number} is no meta page")
        if version != DATA_VERSION:
            self.damaged(offset, f"version {version} of the format; this program knows 1")
        return int.from_bytes(free[:4], "little"), main, last + 1, transaction

    def table(self, raw: bytes, page: int, offset: int) -> Table:
        """The table that `raw`, found at `offset` of page number `page`, describes."""
        if len(raw) != TABLE_BYTES:
            self.damaged(page * self.page_bytes + offset, f"a table's root of {len(raw)} bytes")
        _, flags, depth, _, _, _, entries, root = _TABLE.unpack(raw)
        if flags:
            self.damaged(page * self.page_bytes + offset, f"a table with flags {flags:#x}")
        if depth > DEPTH_MAX or (root == EMPTY_ROOT) != (depth == 0):
            self.damaged(page * self.page_bytes + offset, f"a table of depth {depth}")
        return Table(root, depth, entries)

    # Pages.

    def page(self, number: int, kind: int) -> tuple[bytes, tuple[int, ...]]:
        """The page and the offsets of its nodes; `kind` is BRANCH or LEAF."""
        size = self.page_bytes
        base = number * size
        if not META_PAGES <= number < self._present:
            self._missing(number)
        page = self._map[base : base + size]
        page_id, _, flags, lower, upper = _HEAD.unpack_from(page)
        if page_id != number or flags & KIND_BITS != kind:
            self.damaged(base, f"page {number} says it is page {page_id} with flags {flags:#x}")
        if not HEAD_BYTES < lower <= upper <= size or lower & 1:
            self.damaged(base, f"page {number} says {lower} and {upper} are its bounds")
        pointers: tuple[int, ...] = _pointers_of((lower - HEAD_BYTES) >> 1)(page, HEAD_BYTES)
        if min(pointers) < upper or max(pointers) > size - NODE_BYTES:
            self.damaged(base, f"page {number} points outside itself")
        return page, pointers

    def _missing(self, number: int) -> NoReturn:
        if number < META_PAGES or number >= self.pages_count:
            self.damaged(0, f"page {number} is referred to, of {self.pages_count}")
        self.damaged(
            number * self.page_bytes,
            f"the file ends here, at {self._length} bytes, but page {number} is in use",
        )

    def _big_value(self, raw: bytes, length: int, holder: int) -> bytes:
        if len(raw) != _U64.size:
            self.damaged(holder * self.page_bytes, f"page {holder} has a broken reference")
        (number,) = _U64.unpack(raw)
        base = number * self.page_bytes
        count = (HEAD_BYTES + length + self.page_bytes - 1) // self.page_bytes
        if number < META_PAGES or number + count > self._present:
            self._missing(number + count - 1)
        page_id, _, flags, found = _OVERFLOW_HEAD.unpack_from(self._map, base)
        if page_id != number or flags & KIND_BITS != OVERFLOW or found < count:
            self.damaged(base, f"page {number} should begin a value of {length} bytes")
        return self._map[base + HEAD_BYTES : base + HEAD_BYTES + length]

    def children(self, number: int) -> tuple[list[bytes], list[int]]:
        """Keys (the first is empty) and pages of a branch page's nodes."""
        page, pointers = self.page(number, BRANCH)
        keys, pages = [], []
        for pointer in pointers:
            low, high, top, key_bytes = _NODE.unpack_from(page, pointer)
            start = pointer + NODE_BYTES
            if start + key_bytes > len(page):
                self.damaged(number * self.page_bytes, f"page {number} has a key that is too long")
            keys.append(page[start : start + key_bytes])
            pages.append(low | high << 16 | top << 32)
        keys[0] = b""
        if any(keys[at] >= keys[at + 1] for at in range(len(keys) - 1)):
            self.damaged(number * self.page_bytes, f"page {number} has keys out of order")
        return keys, pages

    def leaf(self, number: int, previous: bytes, node_flag: int = 0) -> list[tuple[bytes, bytes]]:
        """Keys and values of a leaf page. `node_flag` is what nodes must have, besides BIG_VALUE.

        Raises:
            CorruptionError: the page is damaged, or its first key is not behind `previous`.
        """
        page, pointers = self.page(number, LEAF)
        size = len(page)
        rows = []
        for pointer in pointers:
            low, high, flags, key_bytes = _NODE.unpack_from(page, pointer)
            start = pointer + NODE_BYTES
            value_at = start + key_bytes
            key = page[start:value_at]
            if flags == node_flag:
                end = value_at + low + (high << 16)
                if end > size:
                    self.damaged(number * size, f"page {number} has a value that is too long")
                value = page[value_at:end]
            elif flags == BIG_VALUE and not node_flag:
                value = self._big_value(page[value_at : value_at + 8], low | high << 16, number)
            else:
                self.damaged(number * size, f"page {number} has a row with flags {flags:#x}")
            if key <= previous:
                self.damaged(number * size, f"page {number} has keys out of order")
            previous = key
            rows.append((key, value))
        return rows

    # Trees.

    def leaves(self, table: Table, start: bytes = b"") -> Iterator[int]:
        """Numbers of the leaf pages in order, from the one that could hold `start` on."""
        if table.depth:
            yield from self._leaves(table.root, table.depth, start)

    def _leaves(self, number: int, depth: int, start: bytes) -> Iterator[int]:
        if depth == 1:
            yield number
            return
        keys, pages = self.children(number)
        first = 0
        while first + 1 < len(keys) and keys[first + 1] <= start:
            first += 1
        for at in range(first, len(pages)):
            yield from self._leaves(pages[at], depth - 1, start if at == first else b"")

    def last_leaf(self, table: Table) -> int | None:
        """Number of the last leaf page."""
        if not table.depth:
            return None
        number = table.root
        for _ in range(table.depth - 1):
            number = self.children(number)[1][-1]
        return number
