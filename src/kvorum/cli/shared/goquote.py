r"""Strings as Go quotes and unquotes them.

    quote(b'a"\xff')    "a\"\xff"

Values of etcd are bytes; Go's strings are too. A `str` here is how Python hands out such bytes (in
arguments and variables): UTF-8, with each byte that is none as a lone surrogate.

Source: Go 1.16 strconv (Quote, Unquote, IsPrint).
"""

from __future__ import annotations

import re
import unicodedata

_SHORT = {
    "\a": r"\a",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
    "\\": r"\\",
    '"': r"\"",
}
_PRINTABLE_CATEGORIES = frozenset("LMNPS")

_PLAIN_ASCII = re.compile(rb"[ !#-\[\]-~]*")


def to_text(value: bytes) -> str:
    """Bytes as Python's arguments hold them."""
    return value.decode("utf-8", "surrogateescape")


def to_bytes(value: str) -> bytes:
    """The bytes of an argument."""
    return value.encode("utf-8", "surrogateescape")


def quote(value: bytes | str) -> str:
    """Write `value` between double quotes, with everything that cannot be printed escaped."""
    if isinstance(value, bytes):
        if _PLAIN_ASCII.fullmatch(value):
            return f'"{value.decode("ascii")}"'
        value = to_text(value)
    return f'"{"".join(map(_escape, value))}"'


def quote_first_byte(text: str) -> str:
    """Write the first byte of `text` as a character between single quotes.

    That is how pflag, which goes through short flags byte by byte, names one that it does not know.
    """
    character = chr(to_bytes(text[0])[0])
    if character == "'":
        return r"'\''"
    return "'\"'" if character == '"' else f"'{_escape(character)}'"


def _escape(character: str) -> str:
    short = _SHORT.get(character)
    if short is not None:
        return short
    if is_print(character):
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def is_print(character: str) -> bool:
    """Whether Go counts a character as printable: letters, marks, numbers, signs, ASCII space."""
    return character == " " or unicodedata.category(character)[0] in _PRINTABLE_CATEGORIES


class UnquoteError(ValueError):
    """A text that is no Go string literal."""

    def __init__(self) -> None:
        super().__init__("invalid syntax")


_ESCAPES = {
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
    b"\\": b"\\",
    b'"': b'"',
}
_ESCAPE = re.compile(
    rb"\\(?:([abfnrtv\\\"])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))"
)
_LITERAL_PART = re.compile(rb'[^"\\\n]+')


def unquote(literal: bytes) -> bytes:
    """Read a string literal between double quotes.

    Raises:
        UnquoteError: it is none.
    """
    if len(literal) < 2 or literal[:1] != b'"' or literal[-1:] != b'"':
        raise UnquoteError
    body, position, parts = literal[1:-1], 0, []
    while position < len(body):
        plain = _LITERAL_PART.match(body, position)
        if plain is not None:
            parts.append(_valid(plain[0]))
            position = plain.end()
            continue
        escape = _ESCAPE.match(body, position)
        if escape is None:
            raise UnquoteError
        parts.append(_unescape(escape))
        position = escape.end()
    return b"".join(parts)


def _valid(part: bytes) -> bytes:
    """Go replaces each byte that is not UTF-8 when it unquotes."""
    text = to_text(part)
    if text.isascii():
        return part
    return re.sub("[\udc80-\udcff]", "\ufffd", text).encode("utf-8")


def _unescape(escape: re.Match[bytes]) -> bytes:
    short, hexadecimal, octal, four, eight = escape.groups()
    if short is not None:
        return _ESCAPES[short]
    if hexadecimal is not None:
        return bytes([int(hexadecimal, 16)])
    if octal is not None:
        if int(octal, 8) > 255:
            raise UnquoteError
        return bytes([int(octal, 8)])
    code = int(four or eight, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise UnquoteError
    return chr(code).encode("utf-8")
