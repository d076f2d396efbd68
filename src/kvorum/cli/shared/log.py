"""Log lines as stock etcdctl writes them to standard error: one JSON object a line.

Programs read these lines, so they are stock's down to the field "caller", which names the place in
the Go source that would have written them.

Source: uber-go/zap's JSON encoder, as stock etcdctl 3.5.1 has it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import Enum


class Stamp(Enum):
    """How the time of a line is written."""

    SECONDS = "float seconds since 1970"
    ISO_8601 = "ISO 8601 with milliseconds"


class LogLine:
    """One line; fields are written in the order in which they are added."""

    __slots__ = ("_fields",)

    def __init__(self, level: str, stamp: Stamp, *, caller: str, logger: str = "") -> None:
        self._fields: list[tuple[str, str | int | float]] = [("level", level)]
        self.add("ts", _now(stamp))
        if logger:
            self.add("logger", logger)
        self.add("caller", caller)

    def add(self, name: str, value: str | int | float) -> None:
        self._fields.append((name, value))

    def text(self) -> str:
        """The line with its newline."""
        return json.dumps(dict(self._fields), ensure_ascii=False, separators=(",", ":")) + "\n"


def _now(stamp: Stamp) -> str | float:
    now = datetime.now(UTC)
    if stamp is Stamp.SECONDS:
        return now.timestamp()
    return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"
