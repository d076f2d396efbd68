"""Where HTTP/1.1 requests on one connection begin and end, for the proxy between members.

Members keep connections and use them for different requests, one after the other: stock posts raft
messages, probes and whole databases over the same ones, and opens its streams on one that it has
probed over before. So what a piece of bytes belongs to is told by its own request's head, not by
the connection's first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

HEAD_BYTES_MAX = 64 * 1024

_FROM = re.compile(rb"^x-server-from: *([0-9a-f]+)", re.IGNORECASE | re.MULTILINE)
_PATH = re.compile(rb"^[A-Z]+ (\S+) HTTP")
_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)
_CHUNKED = re.compile(rb"^transfer-encoding: *chunked", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Head:
    """What a request says of itself."""

    data: bytes
    path: str
    source: int | None
    """Id of the member that has sent it, if it says so."""


class _At(Enum):
    HEAD = auto()
    BODY = auto()
    CHUNK_SIZE = auto()
    CHUNK_END = auto()


class Requests:
    """Cuts what a client sends into heads, pieces of bodies, and the rest (of the framing).

    What is no HTTP/1.1 raises ValueError: a test that sends such a thing does not mean this proxy.
    """

    def __init__(self) -> None:
        self._at = _At.HEAD
        self._kept = b""
        self._left = 0
        self._is_chunked = False
        self._is_last = False

    def feed(self, data: bytes) -> Iterator[Head | bytes | bytearray]:
        """The parts of `data`, in order: Head; bytes of a body; framing as a bytearray."""
        data, self._kept = self._kept + data, b""
        while data:
            if self._at is _At.BODY:
                piece, data = data[: self._left], data[self._left :]
                self._left -= len(piece)
                if not self._left:
                    self._at = _At.CHUNK_END if self._is_chunked else _At.HEAD
                yield piece
                continue
            end = b"\r\n\r\n" if self._at is _At.HEAD else b"\r\n"
            line, found, rest = data.partition(end)
            if not found:
                if len(line) > HEAD_BYTES_MAX:
                    raise ValueError(f"no end of a line: {line[:100]!r}")
                self._kept = data
                return
            data = rest
            yield self._take(line, line + found)

    def _take(self, line: bytes, whole: bytes) -> Head | bytearray:
        if self._at is _At.HEAD:
            return self._begin(whole)
        if self._at is _At.CHUNK_END:
            self._at = _At.HEAD if self._is_last else _At.CHUNK_SIZE
        else:
            self._left = int(line.partition(b";")[0], 16)
            self._is_last = self._left == 0
            self._at = _At.CHUNK_END if self._is_last else _At.BODY
        return bytearray(whole)

    def _begin(self, head: bytes) -> Head:
        path, source, length = _PATH.search(head), _FROM.search(head), _LENGTH.search(head)
        self._is_chunked = _CHUNKED.search(head) is not None
        self._left = int(length[1]) if length else 0
        if self._is_chunked:
            self._at = _At.CHUNK_SIZE
        elif self._left:
            self._at = _At.BODY
        return Head(head, path[1].decode() if path else "", int(source[1], 16) if source else None)
