"""The bytes of a bbolt file. All numbers are little-endian.

A file is an array of pages; a page's id is its place in it. Pages 0 and 1 hold a meta each; the
valid one with the higher transaction id counts. A page that is too small for what it holds is
followed by `overflow` more pages without headers of their own (a *run*).

    page     id u64, flags u16, count u16, overflow u32; then `count` elements, then their bytes
    branch   pos u32, key size u32, child page id u64
    leaf     flags u32 (1: a bucket), pos u32, key size u32, value size u32
    bucket   (a leaf's value) root page id u64, sequence u64; root 0: a leaf page follows inline
    meta     see `Meta`

`pos` counts from the start of its own element.

Source: shared facts, disk.md section 4; checked against files of 3.4.23 and 3.5.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

MAGIC: Final = 0xED0CDAED
VERSION: Final = 2
_MAGIC_BYTES: Final = MAGIC.to_bytes(4, "little")

BRANCH: Final = 0x01
LEAF: Final = 0x02
META: Final = 0x04
FREELIST: Final = 0x10

BUCKET_FLAG: Final = 0x01
"""In a leaf element: the value is a bucket."""

NO_FREELIST: Final = 0xFFFF_FFFF_FFFF_FFFF
"""In a meta: the free pages are not listed; they are what cannot be reached."""

COUNT_MANY: Final = 0xFFFF
"""Count of a freelist page whose true count is its first number."""

PAGE_BYTES_MIN: Final = 1 << 10
PAGE_BYTES_MAX: Final = 1 << 16
PAGE_BYTES_DEFAULT: Final = 4096

KEY_BYTES_MAX: Final = 32768
VALUE_BYTES_MAX: Final = (1 << 31) - 2

INLINE_SHARE: Final = 4
"""A bucket of at most a page's size divided by this is kept inside its parent's leaf."""

FILL_SHARE: Final = 0.9
"""How full pages are made where rows come in order, as etcd asks bbolt for."""

KEYS_PER_PAGE_MIN: Final = 2

PAGE_HEADER = Struct("<QHHI")
BRANCH_ELEMENT = Struct("<IIQ")
LEAF_ELEMENT = Struct("<IIII")
BUCKET_HEADER = Struct("<QQ")
_META = Struct("<IIIIQQQQQQ")

HEADER_BYTES: Final = 16
ELEMENT_BYTES: Final = 16
BUCKET_BYTES: Final = 16
META_BYTES: Final = 64
_CHECKSUM_BYTES: Final = 8

assert PAGE_HEADER.size == HEADER_BYTES
assert BRANCH_ELEMENT.size == LEAF_ELEMENT.size == ELEMENT_BYTES
assert BUCKET_HEADER.size == BUCKET_BYTES
assert _META.size == META_BYTES
# The smallest page has room for its header, a meta, and more than one element.
assert PAGE_BYTES_MIN >= 4 * (HEADER_BYTES + META_BYTES)

_FNV_OFFSET: Final = 0xCBF2_9CE4_8422_2325
_FNV_PRIME: Final = 0x100_0000_01B3
_MASK_64: Final = 0xFFFF_FFFF_FFFF_FFFF

_TYPE_NAMES: Final = ((BRANCH, "branch"), (LEAF, "leaf"), (META, "meta"), (FREELIST, "freelist"))


def fnv1a_64(data: bytes) -> int:
    """Checksum of a meta. Meant for its 56 bytes: 4 µs."""
    value = _FNV_OFFSET
    for byte in data:
        value = (value ^ byte) * _FNV_PRIME & _MASK_64
    return value


def type_name(flags: int) -> str:
    """A page's type in bbolt's words."""
    for flag, name in _TYPE_NAMES:
        if flags & flag:
            return name
    return f"unknown<{flags:02x}>"


def is_page_size(size: int) -> bool:
    """Whether a bbolt file may have pages of `size` bytes."""
    return PAGE_BYTES_MIN <= size <= PAGE_BYTES_MAX and size & (size - 1) == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """One of the two metas: where the tree of buckets begins, as of one transaction."""

    page_size: int
    root: int
    """Page id of the root bucket: a tree whose values are the top-level buckets."""
    freelist: int
    """Page id of the list of free pages, or `NO_FREELIST`."""
    high_water: int
    """Number of pages in use, free ones counted: no page id is as high as this."""
    txid: int
    sequence: int = 0
    flags: int = 0

    def pack(self) -> bytes:
        """The 64 bytes, with their checksum."""
        body = _META.pack(
            MAGIC, VERSION, self.page_size, self.flags, self.root, self.sequence,
            self.freelist, self.high_water, self.txid, 0,
        )[:-_CHECKSUM_BYTES]  # fmt: skip
        return body + fnv1a_64(body).to_bytes(_CHECKSUM_BYTES, "little")


def has_magic(data: bytes) -> bool:
    """Whether `data` begins as a meta does."""
    return data[: len(_MAGIC_BYTES)] == _MAGIC_BYTES


def unpack_meta(data: bytes) -> Meta | str:
    """The meta in `data`, or what is wrong with it."""
    if len(data) < META_BYTES:
        return "the file ends within it"
    magic, version, page_size, flags, root, sequence, freelist, high_water, txid, checksum = (
        _META.unpack_from(data)
    )
    if magic != MAGIC:
        return f"its magic number is {magic:#010x} and not {MAGIC:#010x}"
    if version != VERSION:
        return f"its version is {version} and not {VERSION}"
    expected = fnv1a_64(data[: META_BYTES - _CHECKSUM_BYTES])
    if checksum != expected:
        return f"its checksum is {checksum:#018x} and not {expected:#018x}"
    if not is_page_size(page_size):
        return f"its page size of {page_size} is no power of two from 1024 to 65536"
    return Meta(
        page_size=page_size, root=root, freelist=freelist, high_water=high_water, txid=txid,
        sequence=sequence, flags=flags,
    )  # fmt: skip
