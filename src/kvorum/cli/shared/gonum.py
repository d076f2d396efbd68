"""Numbers, truth values and times as Go reads and writes them.

The programs' arguments are read by Go's strconv and time packages, and their error texts are what a
user sees. Source: Go 1.16 strconv (ParseInt, ParseBool) and time (ParseDuration, Duration.String).
"""

from __future__ import annotations

import re

from kvorum.cli.shared.goquote import quote

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
UINT64_MAX = 2**64 - 1

TRUE_TEXTS = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE_TEXTS = frozenset({"0", "f", "F", "FALSE", "false", "False"})

_PLAIN = {10: re.compile(r"[+-]?[0-9]+"), 16: re.compile(r"[+-]?[0-9a-fA-F]+")}
_LITERALS = (
    (re.compile(r"([+-]?)0[xX]((?:_?[0-9a-fA-F])+)"), 16),
    (re.compile(r"([+-]?)0[bB]((?:_?[01])+)"), 2),
    (re.compile(r"([+-]?)0[oO]((?:_?[0-7])+)"), 8),
    (re.compile(r"([+-]?)0((?:_?[0-7])+)"), 8),
    (re.compile(r"([+-]?)(0|[1-9](?:_?[0-9])*)"), 10),
)

_UNIT_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_NUMBER_AND_UNIT = re.compile(r"([0-9]*)(?:(\.)([0-9]*))?([^0-9.]*)")


class GoParseError(ValueError):
    """A text that Go would not read. The message is Go's."""


def parse_int(text: str, base: int) -> int:
    """Read a 64-bit integer; base 0 reads Go's literals (`0x1f`, `0b1`, `017`, `1_000`).

    Raises:
        GoParseError: `text` is no such number.
    """
    value = _literal(text) if base == 0 else _plain(text, base)
    if value is None:
        raise GoParseError(f"strconv.ParseInt: parsing {quote(text)}: invalid syntax")
    if not INT64_MIN <= value <= INT64_MAX:
        raise GoParseError(f"strconv.ParseInt: parsing {quote(text)}: value out of range")
    return value


def parse_uint(text: str, base: int) -> int:
    """Read a 64-bit integer that has no sign; bases as in `parse_int`.

    Raises:
        GoParseError: `text` is no such number.
    """
    signed = text[:1] in {"+", "-"}
    value = None if signed else _literal(text) if base == 0 else _plain(text, base)
    if value is None:
        raise GoParseError(f"strconv.ParseUint: parsing {quote(text)}: invalid syntax")
    if value > UINT64_MAX:
        raise GoParseError(f"strconv.ParseUint: parsing {quote(text)}: value out of range")
    return value


def _plain(text: str, base: int) -> int | None:
    return int(text, base) if _PLAIN[base].fullmatch(text) else None


def _literal(text: str) -> int | None:
    for pattern, base in _LITERALS:
        match = pattern.fullmatch(text)
        if match is not None:
            return int(match[1] + match[2].replace("_", ""), base)
    return None


def parse_bool(text: str) -> bool:
    """Read a truth value.

    Raises:
        GoParseError: `text` is none.
    """
    if text in TRUE_TEXTS:
        return True
    if text in FALSE_TEXTS:
        return False
    raise GoParseError(f"strconv.ParseBool: parsing {quote(text)}: invalid syntax")


def parse_duration_ns(text: str) -> int:
    """Read a duration (`1h2m`, `1.5s`, `-3ms`); in nanoseconds.

    Raises:
        GoParseError: `text` is none.
    """
    rest = text[1:] if text[:1] in {"-", "+"} else text
    if rest == "0":
        return 0
    total_ns = 0
    if not rest:
        raise GoParseError(f"time: invalid duration {quote(text)}")
    while rest:
        match = _NUMBER_AND_UNIT.match(rest)
        if match is None or not (match[1] or match[3]):
            raise GoParseError(f"time: invalid duration {quote(text)}")
        whole, fraction, unit = match[1] or "0", match[3] or "0", match[4]
        if not unit:
            raise GoParseError(f"time: missing unit in duration {quote(text)}")
        if unit not in _UNIT_NS:
            raise GoParseError(f"time: unknown unit {quote(unit)} in duration {quote(text)}")
        unit_ns = _UNIT_NS[unit]
        total_ns += int(whole) * unit_ns + int(fraction) * unit_ns // 10 ** len(fraction)
        rest = rest[match.end() :]
    if total_ns > INT64_MAX:
        raise GoParseError(f"time: invalid duration {quote(text)}")
    return -total_ns if text[0] == "-" else total_ns
