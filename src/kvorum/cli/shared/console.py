"""The log of a tool on standard error, as stock's tools write it: a line an event, parted by tabs.

    2026-11-21T14:20:54Z	info	ops/restore.py:91	restoring snapshot	{"path": "s.db"}

What differs: `caller` names a place in our source, and there is no field `stack`.

Source: what stock etcdutl 3.5.1 prints (uber-go/zap's console encoder with RFC 3339 times).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

from kvorum.cli.shared.stdio import write_error
from kvorum.server.log import Event, Level, Logger


def console_logger(before_line: Callable[[], None] | None = None) -> Logger:
    """A logger for a tool; `before_line` is called before each line, to clear the terminal's."""

    def sink(event: Event) -> None:
        if before_line is not None:
            before_line()
        write_error(line_of(event, datetime.now().astimezone()))

    return Logger(sink, Level.INFO)


def line_of(event: Event, now: datetime) -> str:
    """The line of an event, with its newline."""
    stamp = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    parts = [stamp, event.level.name.lower()]
    if event.logger:
        parts.append(event.logger)
    parts += [event.caller, event.message]
    if event.fields:
        parts.append(json.dumps(dict(event.fields), ensure_ascii=False, default=str))
    return "\t".join(parts) + "\n"
