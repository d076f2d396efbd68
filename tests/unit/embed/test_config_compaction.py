"""`--auto-compaction-mode` and `-retention`, value by value as 3.5.1 takes them."""

from __future__ import annotations

import pytest

from kvorum.embed.config import Config
from kvorum.embed.config_compaction import parse_retention
from kvorum.errors import ConfigError

MINUTE_NS = 60 * 10**9
HOUR_NS = 60 * MINUTE_NS
PARSING = "error parsing CompactionRetention: time: "
OUT_OF_RANGE = "--auto-compaction-retention must be from 0 to 292 years (set to {})"


@pytest.mark.parametrize("mode", ["periodic", "revision", ""])
@pytest.mark.parametrize("text", ["0", "0s", "0h", "", "-0", "00"])
def test_a_retention_of_nothing_switches_compaction_off(mode: str, text: str) -> None:
    assert parse_retention(mode, text) is None


@pytest.mark.parametrize(
    ("text", "period_ns"),
    [
        ("1", HOUR_NS),
        ("24", 24 * HOUR_NS),
        ("010", 10 * HOUR_NS),
        ("+5", 5 * HOUR_NS),
        ("2562047", 2562047 * HOUR_NS),
        ("24h", 24 * HOUR_NS),
        ("1h30m", 90 * MINUTE_NS),
        ("1.5h", 90 * MINUTE_NS),
        ("10m", 10 * MINUTE_NS),
        ("2s", 2 * 10**9),
        ("100ms", 10**8),
        ("10ms", 10**7),
    ],
)
def test_a_period_is_given_in_hours_or_as_a_duration(text: str, period_ns: int) -> None:
    retention = parse_retention("periodic", text)
    assert retention is not None
    assert (retention.mode, retention.amount) == ("periodic", period_ns)


@pytest.mark.parametrize(
    ("text", "revisions"),
    [
        ("1", 1),
        ("1000", 1000),
        ("010", 10),
        ("9223372036854775807", 2**63 - 1),
        ("1ns", 1),
        ("10m", 10 * MINUTE_NS),  # nanoseconds taken for revisions, as stock has it
    ],
)
def test_revisions_are_given_as_a_number(text: str, revisions: int) -> None:
    retention = parse_retention("revision", text)
    assert retention is not None
    assert (retention.mode, retention.amount) == ("revision", revisions)


@pytest.mark.parametrize("mode", ["periodic", "revision", ""])
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x", PARSING + 'invalid duration "x"'),
        (" 1", PARSING + 'invalid duration " 1"'),
        ("µ", PARSING + 'invalid duration "µ"'),
        ("-1", PARSING + 'missing unit in duration "-1"'),
        ("1.5", PARSING + 'missing unit in duration "1.5"'),
        ("1_000", PARSING + 'unknown unit "_" in duration "1_000"'),
        ("0x10", PARSING + 'unknown unit "x" in duration "0x10"'),
        ("2600000h", PARSING + 'invalid duration "2600000h"'),
        ("9223372036854775808", PARSING + 'invalid duration "9223372036854775808"'),
        ("9" * 5000, PARSING + 'invalid duration "' + "9" * 5000 + '"'),
    ],
)
def test_what_is_no_retention_is_refused_in_stocks_words(mode: str, text: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_retention(mode, text)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("mode", "text", "error"),
    [
        ("foo", "0", 'unknown auto-compaction-mode "foo"'),
        ("foo", "x", 'unknown auto-compaction-mode "foo"'),
        ("", "24h", "unsupported compaction mode "),
        ("", "24", "--auto-compaction-mode is undefined"),
        # Stock starts with these, and panics or compacts without pause.
        ("periodic", "-5m", OUT_OF_RANGE.format("-5m")),
        ("revision", "-5m", OUT_OF_RANGE.format("-5m")),
        ("periodic", "2562048", OUT_OF_RANGE.format("2562048")),
        ("periodic", "1ns", "--auto-compaction-retention must be at least 10ms (set to 1ns)"),
    ],
)
def test_what_cannot_be_kept_is_refused(mode: str, text: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_retention(mode, text)
    assert str(caught.value) == error


def test_a_configuration_with_a_bad_retention_cannot_be_made() -> None:
    with pytest.raises(ConfigError, match='missing unit in duration "-1"'):
        Config(auto_compaction_retention="-1")
    assert Config().retention is None
