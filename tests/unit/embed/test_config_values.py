from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.embed.config_values import (
    parse_bool,
    parse_duration_ns,
    parse_int,
    parse_uint,
)
from kvorum.errors import ConfigError
from kvorum.gotext import format_duration


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("10", 10), ("0x1F", 31), ("0b101", 5), ("0o17", 15), ("010", 8), ("1_000", 1000)],
)
def test_numbers_are_read_in_gos_bases(text: str, number: int) -> None:
    assert parse_uint(text) == number
    assert parse_int(f"-{text}") == -number


@pytest.mark.parametrize("text", ["", "x", "-1", "+1", " 1", "1 ", "1.5", "1__0", "_1", "08", "٣"])
def test_what_is_no_unsigned_number_is_a_parse_error(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_uint(text)
    assert str(caught.value) == "parse error"


def test_the_bounds_of_64_bits_are_kept() -> None:
    assert parse_uint(str(2**64 - 1)) == 2**64 - 1
    assert parse_int(str(-(2**63))) == -(2**63)
    for parse, text in ((parse_uint, 2**64), (parse_int, 2**63), (parse_int, -(2**63) - 1)):
        with pytest.raises(ConfigError, match="value out of range"):
            parse(str(text))


def test_booleans_are_gos() -> None:
    assert [parse_bool(text) for text in ("1", "t", "T", "true", "True", "TRUE")] == [True] * 6
    assert [parse_bool(text) for text in ("0", "f", "F", "false", "False", "FALSE")] == [False] * 6
    for text in ("", "yes", "tRUE", "2"):
        with pytest.raises(ConfigError):
            parse_bool(text)


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [
        ("0", 0),
        ("10s", 10_000_000_000),
        ("1h15m30.918273645s", 4_530_918_273_645),
        ("100ms", 100_000_000),
        ("1.5us", 1_500),
        ("2µs", 2_000),
        (".5s", 500_000_000),
        ("5.s", 5_000_000_000),
        ("-1m", -60_000_000_000),
        ("9223372036854775807ns", 2**63 - 1),
    ],
)
def test_durations_are_read(text: str, duration_ns: int) -> None:
    assert parse_duration_ns(text) == duration_ns


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "invalid"),
        ("s", "invalid"),
        (".s", "invalid"),
        ("-", "invalid"),
        ("9223372036854775808ns", "invalid"),
        ("9223372036854775808", "invalid"),
        ("2600000h", "invalid"),
        ("5", "missing unit in"),
        ("1.5", "missing unit in"),
        ("1h30", "missing unit in"),
        ("5x", 'unknown unit "x" in'),
        ("1 s", 'unknown unit " s" in'),
        ("1h-5m", 'unknown unit "h-" in'),
        ("1_000", 'unknown unit "_" in'),
    ],
)
def test_what_is_no_duration_is_refused_in_gos_words(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_duration_ns(text)
    assert str(caught.value) == f'time: {reason} duration "{text}"'


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (901_026, "901.026µs"),
        (6_600_684, "6.600684ms"),
        (100_000_000, "100ms"),
        (90_000_000_000, "1m30s"),
        (7_200_000_000_000, "2h0m0s"),
        (1_500_000_000, "1.5s"),
        (-60_000_000_000, "-1m0s"),
    ],
)
def test_durations_are_printed_as_go_prints_them(duration_ns: int, text: str) -> None:
    assert format_duration(duration_ns) == text


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_a_printed_duration_reads_back(duration_ns: int) -> None:
    assert parse_duration_ns(format_duration(duration_ns)) == duration_ns
