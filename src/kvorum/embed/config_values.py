"""Values of flags, read as Go reads them: numbers, booleans and durations.

Source: Go strconv (base 0), time.ParseDuration and package flag; checked against etcd 3.5.1.
"""

from __future__ import annotations

import re
from fractions import Fraction

from kvorum.errors import ConfigError

NS_PER_S = 1_000_000_000
_INT64_MAX = 2**63 - 1

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})

# Base 0 of strconv: a prefix chooses the base, and only then may digits be parted by underscores.
_DIGITS = re.compile(
    r"(?:0[xX](?P<hex>_?[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*)"
    r"|0[bB](?P<bin>_?[01]+(?:_[01]+)*)"
    r"|0[oO]?(?P<oct>_?[0-7]+(?:_[0-7]+)*)"
    r"|(?P<dec>0|[1-9][0-9]*(?:_[0-9]+)*))",
    re.ASCII,
)
_BASES = {"hex": 16, "bin": 2, "oct": 8, "dec": 10}

_UNIT_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3600 * NS_PER_S,
}
_DURATION_PART = re.compile(r"(\d+\.?\d*|\.\d+)([^\d.]*)", re.ASCII)
_DIGITS_MAX = 1000
"""Of a number, point included: Python refuses to read numbers of very many digits."""

PARSE_ERROR = "parse error"
RANGE_ERROR = "value out of range"


def parse_bool(text: str) -> bool:
    """Read a boolean.

    Raises:
        ConfigError: `parse error`.
    """
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ConfigError(PARSE_ERROR)


def parse_uint(text: str, bits: int = 64) -> int:
    """Read an unsigned number; a sign is not allowed.

    Raises:
        ConfigError: `parse error` or `value out of range`.
    """
    match = _DIGITS.fullmatch(text)
    if match is None:
        raise ConfigError(PARSE_ERROR)
    base = match.lastgroup
    assert base is not None
    number = int(match[base].replace("_", ""), _BASES[base])
    if number >= 1 << bits:
        raise ConfigError(RANGE_ERROR)
    return number


def parse_int(text: str, bits: int = 64) -> int:
    """Read a signed number.

    Raises:
        ConfigError: `parse error` or `value out of range`.
    """
    negative = text.startswith("-")
    number = parse_uint(text[1:] if text[:1] in {"-", "+"} else text, 128)
    if number > (1 << (bits - 1)) - (0 if negative else 1):
        raise ConfigError(RANGE_ERROR)
    return -number if negative else number


def parse_duration_ns(text: str) -> int:
    """Read a duration such as `1h15m30.5s` as nanoseconds.

    Raises:
        ConfigError: `time: invalid duration "…"`, or what else Go says.
    """
    body = text[1:] if text[:1] in {"-", "+"} else text
    if body == "0":
        return 0
    total, offset = 0, 0
    while offset < len(body):
        match = _DURATION_PART.match(body, offset)
        if match is None or len(match[1]) > _DIGITS_MAX:
            raise ConfigError(f'time: invalid duration "{text}"')
        number, unit = match[1].rstrip("."), match[2]
        if int(number.partition(".")[0] or "0") > _INT64_MAX:
            raise ConfigError(f'time: invalid duration "{text}"')
        if not unit:
            raise ConfigError(f'time: missing unit in duration "{text}"')
        if unit not in _UNIT_NS:
            raise ConfigError(f'time: unknown unit "{unit}" in duration "{text}"')
        total += int(Fraction(number) * _UNIT_NS[unit])
        offset = match.end()
    if not body or total > _INT64_MAX:
        raise ConfigError(f'time: invalid duration "{text}"')
    return -total if text.startswith("-") else total
