"""Durations and sizes as programs in Go write them: what log lines, flags and tables show.

Source: Go time (Duration.String); dustin/go-humanize (Bytes).
"""

from __future__ import annotations

import math
from typing import Final

_NS_PER_S: Final = 1_000_000_000
_BELOW_A_SECOND: Final = ((1_000, "ns"), (1_000_000, "µs"), (_NS_PER_S, "ms"))
_SIZE_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def format_duration(duration_ns: int) -> str:
    """A duration in nanoseconds: `0s`, `901.026µs`, `100ms`, `1m30s`, `1h0m0.5s`."""
    if duration_ns == 0:
        return "0s"
    sign, left = ("-", -duration_ns) if duration_ns < 0 else ("", duration_ns)
    for limit_ns, unit in _BELOW_A_SECOND:
        if left < limit_ns:
            return f"{sign}{_decimal(left, limit_ns // 1_000)}{unit}"
    minutes, left = divmod(left, 60 * _NS_PER_S)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{head}{_decimal(left, _NS_PER_S)}s"


def duration_text(duration_s: float) -> str:
    """As `format_duration`, of a duration in seconds."""
    return format_duration(round(duration_s * _NS_PER_S))


def _decimal(value: int, unit: int) -> str:
    """`value / unit` exactly, without trailing zeros; `unit` is a power of ten."""
    whole, below = divmod(value, unit)
    if not below:
        return str(whole)
    return f"{whole}.{below:0{len(str(unit)) - 1}d}".rstrip("0")


def format_size(size_bytes: int) -> str:
    """A size with two digits of precision: `20 kB`, `2.1 MB`, `8.6 GB`."""
    if size_bytes < 10:
        return f"{size_bytes} B"
    # In floating point, as there: so 10**9 is "1000 MB", for its logarithm falls short of 3.
    power = math.floor(math.log(size_bytes) / math.log(1000))
    value = math.floor(size_bytes / 1000**power * 10 + 0.5) / 10
    return f"{value:.{1 if value < 10 else 0}f} {_SIZE_UNITS[power]}"
