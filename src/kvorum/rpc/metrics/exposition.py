"""The text form of metrics, version 0.0.4.

Not prometheus-client's own writer: it appends `_total` to the name of every counter, and etcd has
counters without (`etcd_server_health_failures`).

Source: Prometheus, "Exposition formats"; number forms as Go's client writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from prometheus_client.utils import floatToGoString

from kvorum.histogram import Histogram
from kvorum.server.metrics.family import Family, Labelled, Summary, Value, Values

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SMALL_MAX: Final = 1_000_000
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
_HELP_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n"})


def render(families: Iterable[Family], values: Values) -> bytes:
    """The families that have values, in the order given."""
    lines: list[str] = []
    for family in families:
        value = values.get(family.name)
        if value is None:
            continue
        rows: Labelled = value if isinstance(value, Mapping) else {(): value}
        if not rows:
            continue
        name = family.name
        lines.append(f"# HELP {name} {family.help.translate(_HELP_ESCAPES)}")
        lines.append(f"# TYPE {name} {family.kind.value}")
        for given in sorted(rows):
            _append(lines, name, _labels(family.labels, given), rows[given])
    lines.append("")
    return "\n".join(lines).encode()


def _append(lines: list[str], name: str, labels: str, value: Value) -> None:
    if isinstance(value, Histogram):
        _append_histogram(lines, name, labels, value)
    elif isinstance(value, Summary):
        comma = "," if labels else ""
        for quantile, at in value.quantiles:
            pair = f'{labels}{comma}quantile="{number(quantile)}"'
            lines.append(f"{name}{{{pair}}} {number(at)}")
        _append_sum(lines, name, labels, value.sum, value.number)
    else:
        braces = f"{{{labels}}}" if labels else ""
        lines.append(f"{name}{braces} {number(value)}")


def _append_histogram(lines: list[str], name: str, labels: str, value: Histogram) -> None:
    counts = value.cumulative()
    head = f"{name}_bucket{{{labels}{',' if labels else ''}"
    lines += [
        f'{head}le="{bound}"}} {number(count)}'
        for bound, count in zip(_bound_texts(value.bounds), counts, strict=True)
    ]
    _append_sum(lines, name, labels, value.sum, counts[-1])


def _append_sum(lines: list[str], name: str, labels: str, total: float, count: int) -> None:
    braces = f"{{{labels}}}" if labels else ""
    lines.append(f"{name}_sum{braces} {number(total)}")
    lines.append(f"{name}_count{braces} {number(count)}")


@lru_cache(maxsize=64)
def _bound_texts(bounds: tuple[float, ...]) -> tuple[str, ...]:
    return (*map(number, bounds), "+Inf")


@lru_cache(maxsize=4096)
def _labels(names: tuple[str, ...], values: Sequence[str]) -> str:
    pairs = zip(names, values, strict=True)
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in pairs)


def number(value: float) -> str:
    """A number as Go writes it: `17`, `0.001`, `2.147483648e+09`."""
    if 0 <= value < _SMALL_MAX and value == int(value):
        return str(int(value))
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text.removesuffix(".0")
