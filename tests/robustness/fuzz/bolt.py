"""The reader of bbolt files under test."""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random

from kvorum.errors import CorruptionError
from kvorum.storage.bbolt import BoltFile
from kvorum.storage.bbolt.format import (
    BRANCH,
    FREELIST,
    HEADER_BYTES,
    LEAF,
    META,
    META_BYTES,
    PAGE_HEADER,
    fnv1a_64,
)
from tests.robustness.fuzz.harness import damage_bytes, interesting, masked, must_name
from tests.unit.storage.bbolt.forge import SMALL_PAGE, add_freelist, add_pages, build, rows_of

# Offset in the meta and bits of: page size, root, freelist, high water, transaction.
_META_FIELDS = ((8, 32), (16, 64), (32, 64), (40, 64), (48, 64))
_HEADER_FIELDS = ((0, 64), (8, 16), (10, 16), (12, 32))
_CODES = {16: "<H", 32: "<I", 64: "<Q"}


class BoltTarget:
    """Every bucket read from end to end, single rows, and the check."""

    name = "bbolt"

    def seeds(self) -> list[bytes]:
        small = {b"alarm": [], b"key": rows_of(12), b"meta": [(b"consistent_index", bytes(8))]}
        deep = {b"key": rows_of(150, 60), b"lease": rows_of(3, 10), b"members": rows_of(40, 1)}
        large = {b"auth": rows_of(2, 2500), b"key": rows_of(5, 700), b"meta": rows_of(1, 5000)}
        long_keys = {b"authUsers": [(bytes([65 + n]) * 600, b"x") for n in range(12)]}
        listed = build(deep)
        free = add_pages(listed, 3)
        add_freelist(listed, [free, free + 1, free + 2])
        many = build(large)
        free = add_pages(many, 2)
        add_freelist(many, [free, free + 1], many=True)
        wide = build(small, 4096)
        made = [build(small), build(deep), build(large), build(long_keys), listed, many, wide]
        return [bytes(one) for one in made]

    def mutate(self, data: bytes, other: bytes, rng: Random) -> bytes:
        damaged = bytearray(data)
        page_size = 4096 if data[24:28] == b"\0\x10\0\0" else SMALL_PAGE
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))):
            _damage(damaged, other, page_size, rng)
        if rng.random() < 0.7:
            _fix_checksums(damaged, page_size)
        return bytes(damaged)

    def run(self, data: bytes, scratch: Path) -> str:
        path = scratch / "db"
        path.write_bytes(data)
        try:
            file = BoltFile.open(path, lock=False)
        except CorruptionError as error:
            must_name(error, path)
            return masked(str(error), path)
        with file:
            outcome = _read_all(file, len(data))
            problems = file.check()
        if outcome is None and not problems:
            return "sound"
        if outcome is not None:
            assert problems, f"the check finds nothing, but reading fails: {outcome}"
            must_name(outcome, path)
            return masked(str(outcome), path)
        return "only the check: " + masked(problems[0], path)


def _read_all(file: BoltFile, size: int) -> CorruptionError | None:
    """Read everything in every way; the first error."""
    first_error = None
    read_bytes = 0
    for name in file.bucket_names():
        rows = []
        try:
            for batch in file.rows(name):
                assert batch
                rows += batch
        except CorruptionError as error:
            first_error = first_error or error
        else:
            assert file.last(name) == (rows[-1] if rows else None)
            if rows:
                _read_some(file, name, rows)
        keys = [key for key, _ in rows]
        assert keys == sorted(set(keys))
        read_bytes += sum(len(key) + len(value) for key, value in rows)
        for read in (lambda: file.get(name, b"k00000005"), lambda: file.last(name)):  # noqa: B023
            try:
                read()
            except CorruptionError as error:
                first_error = first_error or error
    assert read_bytes <= size, (read_bytes, size)
    return first_error


def _read_some(file: BoltFile, name: bytes, rows: list[tuple[bytes, bytes]]) -> None:
    middle = len(rows) // 2
    key, value = rows[middle]
    assert file.get(name, key) == value
    assert next(file.rows(name, key))[0] == rows[middle]


def _damage(data: bytearray, other: bytes, page_size: int, rng: Random) -> None:
    pages = len(data) // page_size
    if pages < 3 or rng.random() < 0.15:
        damage_bytes(data, rng)
        return
    page_id = rng.randrange(pages)
    base = page_id * page_size
    _, flags, count, overflow = PAGE_HEADER.unpack_from(data, base)
    near = (page_id, pages, count, overflow, page_size, HEADER_BYTES * count, 2)
    match rng.randrange(8):
        case 0:
            at, bits = rng.choice(_HEADER_FIELDS)
            value = interesting(rng, (*near, BRANCH, LEAF, META, FREELIST), bits)
            struct.pack_into(_CODES[bits], data, base + at, value)
        case 1:
            at, bits = rng.choice(_META_FIELDS)
            start = rng.randrange(2) * page_size + HEADER_BYTES
            struct.pack_into(_CODES[bits], data, start + at, interesting(rng, near, bits))
        case 2:
            _move_page(data, other, page_id, page_size, rng)
        case _:
            _damage_element(data, base, flags, count, near, rng)


def _damage_element(
    data: bytearray, base: int, flags: int, count: int, near: tuple[int, ...], rng: Random
) -> None:
    """A field of an element, or a number in what follows the elements (inline buckets)."""
    index = rng.randrange(max(1, min(count, 60)))
    at = base + HEADER_BYTES + 16 * index
    if flags == BRANCH and rng.randrange(2):
        at, bits = at + 8, 64
    elif rng.randrange(4) == 0:
        at, bits = at + 4 * rng.randrange(200), rng.choice((16, 32, 64))
    else:
        at, bits = at + 4 * rng.randrange(4), 32
    if at + bits // 8 > len(data):
        return
    old = struct.unpack_from(_CODES[bits], data, at)[0]
    struct.pack_into(_CODES[bits], data, at, interesting(rng, (*near, old, old), bits))


def _move_page(data: bytearray, other: bytes, page_id: int, page_size: int, rng: Random) -> None:
    """A page from elsewhere in place of this one, often with an id that fits."""
    source = other if rng.randrange(3) == 0 and len(other) >= page_size else bytes(data)
    start = rng.randrange(max(1, len(source) // page_size)) * page_size
    base = page_id * page_size
    page = source[start : start + page_size].ljust(page_size, b"\0")
    data[base : base + page_size] = page
    if rng.randrange(4):
        struct.pack_into("<Q", data, base, page_id)


def _fix_checksums(data: bytearray, page_size: int) -> None:
    for number in range(2):
        start = number * page_size + HEADER_BYTES
        if len(data) >= start + META_BYTES:
            checksum = fnv1a_64(bytes(data[start : start + META_BYTES - 8]))
            struct.pack_into("<Q", data, start + META_BYTES - 8, checksum)
