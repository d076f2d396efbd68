"""Base64 as Go's standard encoding takes it: padded, line breaks passed over, nothing else.

Source: Go's encoding/base64, as stock etcd 3.5.1 shows it.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

_ALPHABET: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_BREAKS: Final = "\r\n"
_WITHOUT_BREAKS: Final = dict.fromkeys(map(ord, _BREAKS))
_WHOLE_CHARS: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}")


def from_base64(text: str) -> bytes:
    """The bytes that `text` stands for.

    Raises:
        ValueError: it is no base64; the text is Go's.
    """
    plain = text.translate(_WITHOUT_BREAKS)
    if len(plain) % 4 == 0 and _WHOLE_CHARS.fullmatch(plain):
        return binascii.a2b_base64(plain)
    raise ValueError(f"illegal base64 data at input byte {_fault_at(text)}")


def _fault_at(text: str) -> int:
    """Where Go's decoder finds fault: a position in `text`, line breaks counted.

    It looks at groups of four, and points at the beginning of one that ends too early.
    """
    in_group = 0
    for at, char in enumerate(text):
        if char in _ALPHABET:
            in_group = (in_group + 1) % 4
        elif char == "=":
            return _padding_fault_at(text, at, in_group)
        elif char not in _BREAKS:
            return len(text[:at].encode("utf-8", "replace"))
    return len(text) - in_group


def _padding_fault_at(text: str, at: int, in_group: int) -> int:
    """As `_fault_at`, from the first padding character on, which stands at `at`."""
    if in_group < 2:
        return at
    end = _skip_breaks(text, at + 1)
    if in_group == 2:
        if end == len(text):
            return end
        if text[end] != "=":
            return end - 1
        end = _skip_breaks(text, end + 1)
    return end


def _skip_breaks(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BREAKS:
        at += 1
    return at
