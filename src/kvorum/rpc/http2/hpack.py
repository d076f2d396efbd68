"""Header blocks: a decoder that is quick for the blocks that gRPC clients repeat.

A client sends the same few header blocks again and again: after the first request every field is
one byte, an index into the table. So whole blocks are remembered, for as long as the table does
not change, and a block that does change it costs a look-up per field.

The static table and the Huffman code are those of the library `hpack`; its own decoder takes 15 to
20 µs a block, which would be a third of a put.

Source: RFC 7541; the numbers in comments are its sections.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from hpack.exceptions import HPACKDecodingError
from hpack.table import HeaderTable

from kvorum.rpc.http2.errors import ErrorCode, Http2Error
from kvorum.rpc.http2.huffman import decode_huffman

Headers = Sequence[tuple[bytes, bytes]]

TABLE_BYTES_MAX: Final = 4096
"""SETTINGS_HEADER_TABLE_SIZE, left at its default."""

BLOCKS_REMEMBERED_MAX: Final = 64
BLOCK_REMEMBERED_BYTES_MAX: Final = 1024
HUFFMAN_REMEMBERED_BYTES_MAX: Final = 128
"""Longer blocks and strings are decoded each time: a client must not fill our memory with them."""
HEADER_LIST_BYTES_MAX: Final = 64 * 1024
ENTRY_OVERHEAD_BYTES: Final = 32  # 4.1
UNCOUNTED_FIELDS: Final = 12
"""So few fields cannot exceed HEADER_LIST_BYTES_MAX: each is of the table, or in a short block."""
INTEGER_BYTES_MAX: Final = 5

_STATIC: Final = tuple(HeaderTable.STATIC_TABLE)
_STATIC_COUNT: Final = len(_STATIC)


@lru_cache(maxsize=4096)
def _huffman_remembered(data: bytes) -> bytes:
    return decode_huffman(data)


def _huffman(data: bytes) -> bytes:
    if len(data) <= HUFFMAN_REMEMBERED_BYTES_MAX:
        return _huffman_remembered(data)
    return decode_huffman(data)


def _bad(reason: str) -> Http2Error:
    return Http2Error(ErrorCode.COMPRESSION_ERROR, reason)


class HeaderDecoder:
    """Decodes the header blocks of one connection, in the order in which they came."""

    __slots__ = ("_blocks", "_dynamic", "_size", "_size_max")

    def __init__(self) -> None:
        self._dynamic: deque[tuple[bytes, bytes]] = deque()
        self._size = 0
        self._size_max = TABLE_BYTES_MAX
        self._blocks: dict[bytes, Headers] = {}

    def decode(self, block: bytes) -> Headers:
        """The fields of a block, in order. The same object may come for equal blocks.

        Raises:
            Http2Error: the block is malformed, or its fields are too many.
        """
        known = self._blocks.get(block)
        if known is not None:
            return known
        try:
            headers, changed = self._decode(block)
        except IndexError:
            raise _bad("a header block ends too early") from None
        except HPACKDecodingError as error:
            raise _bad(f"bad Huffman code: {error}") from error
        if changed:
            self._blocks.clear()
        elif len(self._blocks) < BLOCKS_REMEMBERED_MAX and len(block) <= BLOCK_REMEMBERED_BYTES_MAX:
            self._blocks[block] = headers
        return headers

    def _decode(self, block: bytes) -> tuple[Headers, bool]:
        headers: list[tuple[bytes, bytes]] = []
        offset, end, changed = 0, len(block), False
        while offset < end:
            first = block[offset]
            if first & 0x80:  # 6.1: indexed field
                if first < 0xFF:  # the index is in this byte: nearly always
                    index, offset = first & 0x7F, offset + 1
                else:
                    index, offset = _integer(block, offset, 0x7F)
                field = self._entry(index)
            elif first & 0xC0 == 0x40:  # 6.2.1: literal, goes into the table
                field, offset = self._literal(block, offset, 0x3F)
                self._insert(field)
                changed = True
            elif first & 0xE0 == 0x20:  # 6.3: table size update
                size, offset = _integer(block, offset, 0x1F)
                if size > TABLE_BYTES_MAX or headers:
                    raise _bad("a table size update that is too large, or too late")
                self._size_max = size
                self._evict(0)
                changed = True
                continue
            else:  # 6.2.2, 6.2.3: literal, stays out of the table
                field, offset = self._literal(block, offset, 0x0F)
            headers.append(field)
        if len(headers) > UNCOUNTED_FIELDS or end > TABLE_BYTES_MAX:
            # A field of the table may be named again and again; nothing of it is copied by that.
            total = sum(len(name) + len(value) for name, value in headers)
            if total + len(headers) * ENTRY_OVERHEAD_BYTES > HEADER_LIST_BYTES_MAX:
                raise Http2Error(ErrorCode.ENHANCE_YOUR_CALM, "the header list is too large")
        return headers, changed

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        if 0 < index <= _STATIC_COUNT:
            return _STATIC[index - 1]
        index -= _STATIC_COUNT + 1
        if 0 <= index < len(self._dynamic):
            return self._dynamic[index]
        raise _bad("an index outside of the header table")

    def _literal(self, block: bytes, offset: int, mask: int) -> tuple[tuple[bytes, bytes], int]:
        index, offset = _integer(block, offset, mask)
        if index:
            name = self._entry(index)[0]
        else:
            name, offset = _string(block, offset)
        value, offset = _string(block, offset)
        return (name, value), offset

    def _insert(self, field: tuple[bytes, bytes]) -> None:
        size = len(field[0]) + len(field[1]) + ENTRY_OVERHEAD_BYTES
        self._evict(size)
        if size <= self._size_max:  # 4.4: a larger one empties the table and is not added
            self._dynamic.appendleft(field)
            self._size += size

    def _evict(self, room: int) -> None:
        while self._dynamic and self._size + room > self._size_max:
            name, value = self._dynamic.pop()
            self._size -= len(name) + len(value) + ENTRY_OVERHEAD_BYTES


def _integer(block: bytes, offset: int, mask: int) -> tuple[int, int]:
    """5.1: an integer whose first bits share a byte with something else."""
    value = block[offset] & mask
    offset += 1
    if value < mask:
        return value, offset
    shift = 0
    for _ in range(INTEGER_BYTES_MAX):
        byte = block[offset]
        offset += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, offset
        shift += 7
    raise _bad("an integer in a header block is too long")


def _string(block: bytes, offset: int) -> tuple[bytes, int]:
    """5.2: a string, perhaps Huffman-coded."""
    coded = block[offset] & 0x80
    size, offset = _integer(block, offset, 0x7F)
    end = offset + size
    if end > len(block):
        raise _bad("a string in a header block is cut short")
    data = block[offset:end]
    return (_huffman(data) if coded else data), end


def literal(name: bytes, value: bytes) -> bytes:
    """A field that leaves the peer's table alone."""
    return b"\0" + _length(name) + name + _length(value) + value


def indexed_literal(name: bytes, value: bytes) -> bytes:
    """A field that goes to the front of the peer's table."""
    return b"\x40" + _length(name) + name + _length(value) + value


def _length(data: bytes) -> bytes:
    size = len(data)
    if size < 0x7F:
        return bytes((size,))
    out = bytearray((0x7F,))
    size -= 0x7F
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)
