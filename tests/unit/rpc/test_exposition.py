"""The text of metrics: read back by prometheus-client's parser, numbers as Go writes them."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kvorum.histogram import Histogram
from kvorum.rpc.metrics.exposition import number, render
from kvorum.rpc.metrics.families import FAMILIES
from kvorum.server.metrics.family import Family, Kind, Summary, counter, gauge, histogram


def test_what_is_written_can_be_read() -> None:
    seen = Histogram((0.5, 1.0))
    for value in (0.25, 0.75, 3.0):
        seen.observe(value)
    families = (
        counter("a_failures", "Without _total."),
        gauge("b_total", 'A "gauge"\nof two lines \\.', "x", "y"),
        histogram("c_seconds", (0.5, 1.0), "Times.", "op"),
        Family("d_seconds", Kind.SUMMARY, "Pauses."),
        gauge("e", "Has no values."),
        gauge("f", "Has no rows.", "x"),
    )
    text = render(
        families,
        {
            "a_failures": 3,
            "b_total": {("1", 'q"\\\n'): 2.5, ("0", ""): 1},
            "c_seconds": {("Put",): seen},
            "d_seconds": Summary(((0.0, 0.125), (1.0, 0.25)), 0.375, 2),
            "f": {},
        },
    ).decode()
    assert text.startswith("# HELP a_failures Without _total.\n# TYPE a_failures counter\n")
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples == {
        ("a_failures_total", ()): 3,  # the parser adds it, though the text has it not
        ("b_total", (("x", "0"), ("y", ""))): 1,
        ("b_total", (("x", "1"), ("y", 'q"\\\n'))): 2.5,
        ("c_seconds_bucket", (("le", "0.5"), ("op", "Put"))): 1,
        ("c_seconds_bucket", (("le", "1"), ("op", "Put"))): 2,
        ("c_seconds_bucket", (("le", "+Inf"), ("op", "Put"))): 3,
        ("c_seconds_sum", (("op", "Put"),)): 4,
        ("c_seconds_count", (("op", "Put"),)): 3,
        ("d_seconds", (("quantile", "0"),)): 0.125,
        ("d_seconds", (("quantile", "1"),)): 0.25,
        ("d_seconds_sum", ()): 0.375,
        ("d_seconds_count", ()): 2,
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (17.0, "17"),
        (999_999, "999999"),
        (1_000_000, "1e+06"),
        (2147483648, "2.147483648e+09"),
        (0.001, "0.001"),
        (8.192, "8.192"),
        (819200.0, "819200"),
        (2.0**64, "1.8446744073709552e+19"),
        (-1, "-1"),
        (0.00001, "1e-05"),
    ],
)
def test_numbers_are_written_as_go_writes_them(value: float, text: str) -> None:
    assert number(value) == text


def test_no_name_stands_for_two_metrics() -> None:
    names = [family.name for family in FAMILIES]
    assert names == sorted(set(names))
