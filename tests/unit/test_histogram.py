"""Histograms: bounds belong to their buckets, nothing is lost behind the last one."""

from __future__ import annotations

from kvorum.histogram import SECONDS, SHORT_SECONDS, Histogram, doubling


def test_a_bound_belongs_to_its_bucket() -> None:
    histogram = Histogram((1.0, 2.0, 4.0))
    for value in (0.5, 1.0, 1.5, 2.0, 4.0, 4.5, 100.0):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1, 2]
    assert histogram.cumulative() == [2, 4, 5, 7]
    assert histogram.sum == 113.5


def test_the_bounds_are_those_of_etcd() -> None:
    assert doubling(0.5, 3) == (0.5, 1.0, 2.0)
    assert SECONDS[0] == 0.001
    assert SECONDS[-1] == 8.192
    assert SHORT_SECONDS[0] == 0.0001
    assert SHORT_SECONDS[-1] == 52.4288
