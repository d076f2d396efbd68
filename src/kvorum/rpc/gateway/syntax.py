"""What is wrong with a text that is not JSON, in the words of Go's decoder.

The parser of the standard library says in C whether a text is JSON; this walk finds the words when
it is not. So its cost (0.3 µs a character) matters only as far as `EXPLAINED_CHARS_MAX` goes.

Source: texts of Go's encoding/json, as stock etcd 3.5.1 shows them.
"""

from __future__ import annotations

from typing import Final

EXPLAINED_CHARS_MAX: Final = 64 * 1024
"""A longer text is refused without a word on where it goes wrong."""
UNEXPECTED_EOF: Final = "unexpected EOF"
"""Of a stream that ends inside of a value."""
UNEXPECTED_END: Final = "unexpected end of JSON input"
"""Of a text that should be one value."""

_SPACE: Final = " \t\r\n"
_DIGITS: Final = "0123456789"
_HEX: Final = "0123456789abcdefABCDEF"
_LITERALS: Final = {"t": "true", "f": "false", "n": "null"}


class _Fault(Exception):
    """The first fault; its text is the reason, empty for the end of the text."""


def fault(text: str) -> str:
    """Why the value at the beginning of `text`, which the JSON parser does not take, is none."""
    if len(text) > EXPLAINED_CHARS_MAX:
        return "invalid JSON"
    try:
        _Walk(text).value()
    except _Fault as found:
        return str(found) or UNEXPECTED_EOF
    return UNEXPECTED_EOF


def whole_fault(text: str) -> str:
    """Why `text`, which should be one value and nothing else, is not."""
    if len(text) > EXPLAINED_CHARS_MAX:
        return "invalid JSON"
    # Go's decoder asks at the end whether a space would be in order there.
    walk = _Walk(text + " ")
    try:
        walk.value()
        walk.end()
    except _Fault as found:
        return str(found) or UNEXPECTED_END
    return UNEXPECTED_END


class _Walk:
    """Goes through a text up to its first fault. No recursion: a text may be nested deeply."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def value(self) -> None:
        """One value with all that is in it."""
        inside: list[str] = []
        while True:
            char = self._token()
            if char == "{" and self._opened("}"):
                self._key(self._token())
                inside.append("{")
                continue
            if char == "[" and self._opened("]"):
                inside.append("[")
                continue
            if char not in "{[":
                self._scalar(char)
            while not self._goes_on(inside):
                pass
            if not inside:
                return

    def end(self) -> None:
        """Nothing but space up to the end."""
        raise _bad(self._token(), "after top-level value")

    def _opened(self, end: str) -> bool:
        """Behind an opening bracket; False: the closing one follows, and is taken."""
        if self._token() == end:
            return False
        self._at -= 1
        return True

    def _goes_on(self, inside: list[str]) -> bool:
        """Behind a value. True: another one follows, or all is done."""
        if not inside:
            return True
        char = self._token()
        if inside[-1] == "{":
            if char == ",":
                self._key(self._token())
                return True
            if char != "}":
                raise _bad(char, "after object key:value pair")
        else:
            if char == ",":
                return True
            if char != "]":
                raise _bad(char, "after array element")
        inside.pop()
        return not inside

    def _key(self, char: str) -> None:
        if char != '"':
            raise _bad(char, "looking for beginning of object key string")
        self._string()
        char = self._token()
        if char != ":":
            raise _bad(char, "after object key")

    def _scalar(self, char: str) -> None:
        if char == '"':
            self._string()
        elif char in _LITERALS:
            word = _LITERALS[char]
            for wanted in word[1:]:
                self._want(wanted, f"in literal {word} (expecting '{wanted}')")
        elif char == "-":
            self._number(self._want(_DIGITS, "in numeric literal"))
        elif char in _DIGITS:
            self._number(char)
        else:
            raise _bad(char, "looking for beginning of value")

    def _string(self) -> None:
        while (char := self._next()) != '"':
            if char == "\\":
                if self._want('bfnrt\\/"u', "in string escape code") == "u":
                    for _ in range(4):
                        self._want(_HEX, "in \\u hexadecimal character escape")
            elif char < " ":
                raise _bad(char, "in string literal")

    def _number(self, first: str) -> None:
        if first != "0":
            self._digits()
        if self._peek() == ".":
            self._at += 1
            self._want(_DIGITS, "after decimal point in numeric literal")
            self._digits()
        if self._peek() in {"e", "E"}:
            self._at += 1
            if self._peek() in {"+", "-"}:
                self._at += 1
            self._want(_DIGITS, "in exponent of numeric literal")
            self._digits()

    def _digits(self) -> None:
        while self._peek() in _DIGITS:
            self._at += 1

    def _peek(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else " "

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise _Fault
        self._at += 1
        return self._text[self._at - 1]

    def _token(self) -> str:
        while (char := self._next()) in _SPACE:
            pass
        return char

    def _want(self, chars: str, where: str) -> str:
        char = self._next()
        if char not in chars:
            raise _bad(char, where)
        return char


def _bad(char: str, where: str) -> _Fault:
    return _Fault(f"invalid character {_shown(char)} {where}")


def _shown(char: str) -> str:
    """A character as Go quotes it; it looks at bytes, so of several the first one is shown."""
    char = chr(char.encode("utf-8", "surrogateescape")[0])
    if char == "'":
        return "'\\''"
    if char == '"':
        return "'\"'"
    return f"'{go_quoted(char)[1:-1]}'"


_ESCAPES: Final = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def go_quoted(text: str) -> str:
    """`text` as Go's `%q` shows it."""
    return '"' + "".join(_quoted_char(char) for char in text) + '"'


def _quoted_char(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x20:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
