"""Log lines of the tools, in the form that stock's have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from kvorum.cli.shared.console import line_of
from kvorum.server.log import Event, Level

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def event(message: str = "m", logger: str = "", **fields: object) -> Event:
    return Event(Level.INFO, logger, "ops/restore.py:1", message, fields, "")


def test_a_line_is_parted_by_tabs_with_the_fields_as_json() -> None:
    line = line_of(event("restoring snapshot", path=Path("s.db"), urls=["a", "b"], n=1), NOON)
    assert line == (
        "2026-11-21T12:00:00Z\tinfo\tops/restore.py:1\trestoring snapshot\t"
        '{"path": "s.db", "urls": ["a", "b"], "n": 1}\n'
    )


def test_a_line_without_fields_ends_with_its_message() -> None:
    assert line_of(event("Trimming"), NOON).endswith("\tTrimming\n")


def test_a_named_part_stands_before_the_place() -> None:
    assert "\tinfo\tadoption\tops/restore.py:1\t" in line_of(event(logger="adoption"), NOON)


def test_the_time_is_that_of_the_place() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=2)))
    assert line_of(event(), there).startswith("2026-11-21T14:00:00+02:00\t")
