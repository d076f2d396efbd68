"""Expected texts are those of Go 1.16, seen in stock etcdctl's errors and outputs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.cli.shared.gonum import (
    GoParseError,
    parse_bool,
    parse_duration_ns,
    parse_int,
    parse_uint,
)
from kvorum.gotext import format_duration, format_size


@pytest.mark.parametrize(
    ("text", "base", "value"),
    [
        ("5", 10, 5),
        ("+5", 10, 5),
        ("-5", 10, -5),
        ("010", 10, 10),
        ("ff", 16, 255),
        ("FF", 16, 255),
        ("0x1F", 0, 31),
        ("0b11", 0, 3),
        ("0o17", 0, 15),
        ("017", 0, 15),
        ("1_000", 0, 1000),
        ("0x_f", 0, 15),
        ("0", 0, 0),
        ("-0x10", 0, -16),
        ("9223372036854775807", 10, 2**63 - 1),
        ("-9223372036854775808", 0, -(2**63)),
    ],
)
def test_numbers_are_read_as_go_reads_them(text: str, base: int, value: int) -> None:
    assert parse_int(text, base) == value


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("", 10),
        ("x", 10),
        ("1_0", 10),
        ("0x5", 16),
        (" 5", 10),
        ("5 ", 10),
        ("1__0", 0),
        ("_1", 0),
        ("08", 0),
        ("0x", 0),
        ("--5", 0),
        ("\u0665", 10),
        ("1.5", 0),
    ],
)
def test_what_go_does_not_read_is_invalid_syntax(text: str, base: int) -> None:
    with pytest.raises(GoParseError, match="invalid syntax"):
        parse_int(text, base)


def test_a_number_of_more_than_64_bits_is_out_of_range() -> None:
    with pytest.raises(GoParseError) as caught:
        parse_int("9223372036854775808", 10)
    assert str(caught.value) == (
        'strconv.ParseInt: parsing "9223372036854775808": value out of range'
    )


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_every_word_for_true(text: str) -> None:
    assert parse_bool(text) is True
    with pytest.raises(GoParseError):
        parse_bool(text + "x")


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
def test_every_word_for_false(text: str) -> None:
    assert parse_bool(text) is False


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("5s", 5_000_000_000),
        ("1h2m3s4ms5us6ns", 3_723_004_005_006),
        ("1.5s", 1_500_000_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("-1s", -1_000_000_000),
        ("+1s", 1_000_000_000),
        ("0", 0),
        ("1µs", 1_000),
    ],
)
def test_durations_are_read(text: str, nanoseconds: int) -> None:
    assert parse_duration_ns(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x", 'time: invalid duration "x"'),
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        (".s", 'time: invalid duration ".s"'),
        ("5", 'time: missing unit in duration "5"'),
        ("5parsecs", 'time: unknown unit "parsecs" in duration "5parsecs"'),
        ("9999999h", 'time: invalid duration "9999999h"'),
    ],
)
def test_what_is_no_duration_has_gos_text(text: str, error: str) -> None:
    with pytest.raises(GoParseError) as caught:
        parse_duration_ns(text)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (649_956, "649.956µs"),
        (4_090_322, "4.090322ms"),
        (1_000_000, "1ms"),
        (5_000_786_219, "5.000786219s"),
        (5_000_000_000, "5s"),
        (60_000_000_000, "1m0s"),
        (3_600_500_000_000, "1h0m0.5s"),
        (-1_500_000, "-1.5ms"),
    ],
)
def test_durations_are_written(nanoseconds: int, text: str) -> None:
    assert format_duration(nanoseconds) == text


@given(st.integers(-(2**62), 2**62))
def test_what_is_written_reads_as_the_same_duration(nanoseconds: int) -> None:
    assert parse_duration_ns(format_duration(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (9, "9 B"),
        (10, "10 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (20_480, "20 kB"),
        (24_576, "25 kB"),
        (9_949, "9.9 kB"),
        (9_950, "10 kB"),
        (2_097_152, "2.1 MB"),
        (999_999, "1000 kB"),
        (10**12, "1.0 TB"),
    ],
)
def test_sizes_are_written(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


@pytest.mark.parametrize(
    ("text", "base", "value"),
    [("5", 10, 5), ("0x1F", 0, 31), ("18446744073709551615", 0, 2**64 - 1)],
)
def test_numbers_without_a_sign_are_read(text: str, base: int, value: int) -> None:
    assert parse_uint(text, base) == value


@pytest.mark.parametrize("text", ["-1", "+1", "", "x"])
@pytest.mark.parametrize("base", [0, 10])
def test_a_sign_is_invalid_syntax_where_there_is_none(text: str, base: int) -> None:
    with pytest.raises(GoParseError) as caught:
        parse_uint(text, base)
    assert str(caught.value) == f'strconv.ParseUint: parsing "{text}": invalid syntax'


def test_a_number_without_a_sign_has_64_bits() -> None:
    with pytest.raises(GoParseError, match="value out of range"):
        parse_uint("18446744073709551616", 10)
