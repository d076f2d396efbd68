"""What a metric is: its name, type, labels and buckets, and how its values are handed over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from kvorum.histogram import Histogram


class Kind(Enum):
    """The types of Prometheus, by their names in its text format."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. Types are etcd's, also where they are odd (gauges named `_total`)."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    """In alphabetical order, as they are written."""
    bounds: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets."""


class Summary(NamedTuple):
    """Quantiles of some values, their sum and number."""

    quantiles: tuple[tuple[float, float], ...]
    sum: float
    number: int


Value = float | Histogram | Summary
Labelled = Mapping[tuple[str, ...], Value]
"""Values by those of the family's labels. Empty: the metric is not shown."""
Values = Mapping[str, Value | Labelled]
"""By the name of the family."""


def counter(name: str, text: str, *labels: str) -> Family:
    return Family(name, Kind.COUNTER, text, labels)


def gauge(name: str, text: str, *labels: str) -> Family:
    return Family(name, Kind.GAUGE, text, labels)


def histogram(name: str, bounds: tuple[float, ...], text: str, *labels: str) -> Family:
    return Family(name, Kind.HISTOGRAM, text, labels, bounds)
