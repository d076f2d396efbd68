"""bbolt files made for tests, and ways to damage them that a checksum does not notice."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kvorum.storage.bbolt import BoltLayout
from kvorum.storage.bbolt.format import (
    COUNT_MANY,
    FREELIST,
    HEADER_BYTES,
    META_BYTES,
    PAGE_HEADER,
    Meta,
    unpack_meta,
)

Row = tuple[bytes, bytes]
SMALL_PAGE = 1024

_NUMBERS = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}
_HEADER_FIELDS = {"id": (0, 8), "flags": (8, 2), "count": (10, 2), "overflow": (12, 4)}
_LEAF_FIELDS = {"flags": 0, "pos": 4, "key_size": 8, "value_size": 12}


def build(buckets: Mapping[bytes, Sequence[Row]], page_size: int = SMALL_PAGE) -> bytearray:
    """The bytes of a sound file."""
    sources = [(name, lambda rows=rows: iter([rows])) for name, rows in sorted(buckets.items())]
    return bytearray(b"".join(BoltLayout(sources, page_size=page_size).chunks()))


def rows_of(count: int, value_size: int = 40, prefix: bytes = b"k") -> list[Row]:
    return [(prefix + b"%08d" % n, bytes([n & 0xFF]) * value_size) for n in range(count)]


def meta_of(data: bytes | bytearray, number: int = 0) -> Meta:
    page_size = SMALL_PAGE
    if number:
        page_size = meta_of(data).page_size
    start = number * page_size + HEADER_BYTES
    meta = unpack_meta(bytes(data[start : start + META_BYTES]))
    assert isinstance(meta, Meta), meta
    return meta


def put_meta(data: bytearray, meta: Meta, number: int) -> None:
    start = number * meta.page_size + HEADER_BYTES
    data[start : start + META_BYTES] = meta.pack()


def change_metas(data: bytearray, **changes: int) -> None:
    """Set fields of both metas, with the right checksums."""
    metas = meta_of(data, 0), meta_of(data, 1)
    for number, meta in enumerate(metas):
        put_meta(data, replace(meta, **changes), number)


def set_number(data: bytearray, offset: int, value: int, size: int) -> None:
    struct.pack_into(_NUMBERS[size], data, offset, value)


def set_header(
    data: bytearray, page_id: int, field: str, value: int, page_size: int = SMALL_PAGE
) -> None:
    offset, size = _HEADER_FIELDS[field]
    set_number(data, page_id * page_size + offset, value, size)


def set_leaf_element(
    data: bytearray, page_id: int, index: int, field: str, value: int, page_size: int = SMALL_PAGE
) -> None:
    at = page_id * page_size + HEADER_BYTES + 16 * index + _LEAF_FIELDS[field]
    set_number(data, at, value, 4)


def branch_element_at(page_id: int, index: int, page_size: int = SMALL_PAGE) -> int:
    """Offset of a branch's element: pos u32, key size u32, child u64."""
    return page_id * page_size + HEADER_BYTES + 16 * index


def pages_of_type(data: bytes | bytearray, flags: int, page_size: int = SMALL_PAGE) -> list[int]:
    """Ids of the pages whose header says so."""
    found = []
    for page_id in range(len(data) // page_size):
        own_id, own_flags, _, _ = PAGE_HEADER.unpack_from(data, page_id * page_size)
        if own_flags == flags and own_id == page_id:
            found.append(page_id)
    return found


def bucket_root(data: bytes | bytearray, name: bytes) -> int:
    """Page id of a bucket's root; the root bucket is one leaf."""
    meta = meta_of(data)
    base = meta.root * meta.page_size
    _, _, count, _ = PAGE_HEADER.unpack_from(data, base)
    for index in range(count):
        at = base + HEADER_BYTES + 16 * index
        _, pos, key_size, _ = struct.unpack_from("<IIII", data, at)
        if data[at + pos : at + pos + key_size] == name:
            return int(struct.unpack_from("<Q", data, at + pos + key_size)[0])
    raise KeyError(name)


def add_pages(data: bytearray, count: int) -> int:
    """Add pages of zeros at the end; the first one's id. Nothing refers to them."""
    meta = meta_of(data)
    data += bytes(count * meta.page_size)
    change_metas(data, high_water=meta.high_water + count)
    return meta.high_water


def add_freelist(data: bytearray, ids: Sequence[int], *, many: bool = False) -> int:
    """Add a page that lists free pages, in the short form or in that for many; its id."""
    meta = meta_of(data)
    numbers = ([len(ids)] if many else []) + list(ids)
    size = HEADER_BYTES + 8 * len(numbers)
    run = -(-size // meta.page_size)
    page_id = add_pages(data, run)
    start = page_id * meta.page_size
    count = COUNT_MANY if many else len(ids)
    PAGE_HEADER.pack_into(data, start, page_id, FREELIST, count, run - 1)
    struct.pack_into(f"<{len(numbers)}Q", data, start + HEADER_BYTES, *numbers)
    change_metas(data, freelist=page_id)
    return page_id
