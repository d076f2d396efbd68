"""The chunked coding of HTTP/1.1, read: what a stream of another member comes in.

h11 reads it too, at twice the price; a stream under load has thousands of chunks a second.

Source: RFC 9112, section 7.1. Extensions and trailers are passed over.
"""

from __future__ import annotations

import string
from typing import Final

from kvorum.errors import DecodeError

LINE_BYTES_MAX: Final = 1024
"""Of a chunk's head: 16 digits and extensions, which nobody sends."""
DIGITS_MAX: Final = 16
_HEX_DIGITS: Final = frozenset(string.hexdigits.encode())
_END: Final = b"\r\n"


class ChunkDecoder:
    """Takes a body's bytes as they come, gives back what is in the chunks."""

    __slots__ = ("_left", "_line", "ended")

    def __init__(self) -> None:
        self._line = b""
        """The beginning of a chunk's head."""
        self._left = 0
        """Bytes of the chunk that have not come yet, with the line's end behind it; 0: its head is
        what comes next."""
        self.ended = False
        """The last chunk has come."""

    def feed(self, data: bytes) -> bytes:
        """What `data` adds to the body.

        Raises:
            DecodeError: it is not coded so.
        """
        if self._line:
            data, self._line = self._line + data, b""
        parts: list[bytes] = []
        at, end = 0, len(data)
        while at < end and not self.ended:
            left = self._left
            if left > len(_END):
                part = data[at : at + left - len(_END)]
                parts.append(part)
                at += len(part)
                self._left = left - len(part)
            elif left:
                self._check_end(data[at : at + left])
                at += min(left, end - at)
            else:
                at = self._read_line(data, at)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _check_end(self, found: bytes) -> None:
        if not _END[len(_END) - self._left :].startswith(found):
            raise DecodeError("a chunk is longer than it says")
        self._left -= len(found)

    def _read_line(self, data: bytes, at: int) -> int:
        """Read a chunk's head; where it ends."""
        stop = data.find(_END, at)
        if stop - at > LINE_BYTES_MAX or (stop < 0 and len(data) - at > LINE_BYTES_MAX):
            raise DecodeError("the head of a chunk is too long")
        if stop < 0:
            self._line = data[at:]
            return len(data)
        digits = data[at:stop].partition(b";")[0].strip()
        if not digits or len(digits) > DIGITS_MAX or not _HEX_DIGITS.issuperset(digits):
            raise DecodeError("the head of a chunk is no number")
        size = int(digits, 16)
        self.ended = size == 0
        self._left = size + len(_END) if size else 0
        return stop + len(_END)
