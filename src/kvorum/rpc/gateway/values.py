"""Cuts the body of a streaming request into JSON values as it comes.

Only brackets and strings are looked at: what is wrong inside of a value is found when it is read.
"""

from __future__ import annotations

import re
from typing import Final

from kvorum.rpc.gateway.decode import JsonError

_SPACE: Final = b" \t\r\n"
_STRUCTURE: Final = re.compile(rb'["{}\[\]]')
_STRING_END: Final = re.compile(rb'["\\]')
_SCALAR_END: Final = re.compile(rb"[ \t\r\n{}\[\]\",:]")
_OPENING: Final = b"{["
_QUOTE: Final = 0x22


class ValueReader:
    """See the module.

    Args:
        size_max: bytes of one value, at most.
    """

    __slots__ = ("_at", "_buffer", "_depth", "_in_string", "_size_max", "_start")

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._buffer = bytearray()
        self._start = 0
        """Where the value that is next begins."""
        self._at = 0
        """How far it has been looked at."""
        self._depth = 0
        self._in_string = False

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return len(self._buffer)

    def feed(self, chunk: bytes) -> None:
        if self._start:
            del self._buffer[: self._start]
            self._at -= self._start
            self._start = 0
        self._buffer += chunk

    def take(self, *, ended: bool = False) -> str | None:
        """The next value; None: it is not whole yet.

        Args:
            ended: nothing more will come, so that what there is, if anything, is taken as it is.

        Raises:
            JsonError: the value is too long.
        """
        buffer = self._buffer
        if self._at == self._start:
            self._skip_space()
        end = self._end() if self._at < len(buffer) or self._depth else None
        if end is None:
            if len(buffer) - self._start > self._size_max:
                raise JsonError("http: request body too large")
            if not ended or self._start == len(buffer):
                return None
            end = len(buffer)
        text = buffer[self._start : end].decode("utf-8", "surrogateescape")
        self._start = self._at = end
        self._depth = 0
        self._in_string = False
        return text

    def _skip_space(self) -> None:
        buffer, at = self._buffer, self._start
        while at < len(buffer) and buffer[at] in _SPACE:
            at += 1
        self._start = self._at = at

    def _end(self) -> int | None:
        """Where the value ends; None: not here."""
        buffer = self._buffer
        if not self._depth and not self._in_string:
            first = buffer[self._start]
            if first not in _OPENING and first != _QUOTE:
                return self._scalar_end()
        while True:
            pattern = _STRING_END if self._in_string else _STRUCTURE
            match = pattern.search(buffer, self._at)
            if match is None:
                self._at = len(buffer)
                return None
            at = self._at = match.end()
            found = buffer[at - 1]
            if self._in_string:
                if found != _QUOTE:
                    if at == len(buffer):
                        self._at -= 1  # what is escaped has not come
                        return None
                    self._at += 1
                    continue
                self._in_string = False
            elif found == _QUOTE:
                self._in_string = True
                continue
            else:
                self._depth += 1 if found in _OPENING else -1
            if self._depth <= 0:
                return self._at

    def _scalar_end(self) -> int | None:
        match = _SCALAR_END.search(self._buffer, self._start + 1)
        return None if match is None else match.start()
