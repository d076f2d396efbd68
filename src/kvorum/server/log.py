"""The log of a member: events with fields, in the order and with the keys that etcd's has.

    log.info("published local member to cluster through raft", local_member_id=hex_id(n))

writes `{"level":"info","ts":"…","caller":"server/member.py:120","msg":"published …",
"local-member-id":"…"}`: an underscore in a field's name comes out as a hyphen (none at its end).
Where the lines go and in which form is set up by `kvorum.embed.logging`; here is only what the
layers below need.

Of lines with the same level and message the first `SAMPLED_FIRST` of a second are written, then
each `SAMPLED_NEXT`th: when everything is slow, telling of each slow request makes it slower.
Source: etcd's zap configuration (sampling: initial 100, thereafter 100).

A call below the level costs some 170 ns (measured with one field, CPython 3.11), and its arguments
are made all the same: the path of a request does not log.

Values: str, bool, int, float and None as they are; lists, tuples and dicts of them; an exception
is its text; anything else its `str()`. Fields whose name says that they hold a secret are blanked,
whatever they hold.
"""

from __future__ import annotations

import sys
import time
import traceback
import weakref
from collections.abc import Callable, Mapping
from enum import IntEnum
from types import FrameType
from typing import Any, Final, NamedTuple

SAMPLED_FIRST: Final = 100
SAMPLED_NEXT: Final = 100


class Level(IntEnum):
    """Importance of an event, ordered."""

    DEBUG = 0
    INFO = 1
    WARN = 2
    ERROR = 3
    DPANIC = 4
    PANIC = 5
    FATAL = 6


class Event(NamedTuple):
    """One line before it is written. `logger` is the part that speaks, often empty."""

    level: Level
    logger: str
    caller: str
    message: str
    fields: Mapping[str, Any]
    stack: str
    """The stack, for errors and worse; else empty."""


Sink = Callable[[Event], None]
"""Writes an event. Must not raise: a full disk does not end the member."""

_SECRETS = frozenset({"password", "hashed-password", "token", "secret", "authorization", "key-pem"})
_BLANK = "<redacted>"


class _Sampler:
    """Which lines are written when there are too many alike; see the module."""

    __slots__ = ("_counts", "_until_s")

    def __init__(self) -> None:
        self._counts: dict[tuple[Level, str], int] = {}
        self._until_s = 0.0

    def takes(self, level: Level, message: str) -> bool:
        now_s = time.monotonic()
        if now_s >= self._until_s:
            self._until_s = now_s + 1
            self._counts.clear()
        count = self._counts[level, message] = self._counts.get((level, message), 0) + 1
        return count <= SAMPLED_FIRST or (count - SAMPLED_FIRST) % SAMPLED_NEXT == 0


class Logger:
    """Hands events of at least `level` to a sink, with fields common to all of them."""

    __slots__ = ("__weakref__", "_common", "_family", "_name", "_sampler", "_sink", "level")

    def __init__(
        self,
        sink: Sink,
        level: Level = Level.INFO,
        *,
        name: str = "",
        common: Mapping[str, Any] | None = None,
        family: weakref.WeakSet[Logger] | None = None,
        sampler: _Sampler | None = None,
    ) -> None:
        self._sink = sink
        self._name = name
        self._common = dict(common or {})
        self._sampler = sampler or _Sampler()
        self.level = level
        # Each has its level at hand, as that is asked for often and set never, or nearly.
        self._family: weakref.WeakSet[Logger] = weakref.WeakSet() if family is None else family
        self._family.add(self)

    def set_level(self, level: Level) -> None:
        """Another level, from now on: here, and in all loggers that come from the same one."""
        for logger in tuple(self._family):
            logger.level = level

    def named(self, name: str) -> Logger:
        """A logger of a part: its lines have `"logger":name`."""
        full = f"{self._name}.{name}" if self._name else name
        return self._related(full, self._common)

    def bound(self, **fields: Any) -> Logger:
        """A logger whose lines all have these fields."""
        return self._related(self._name, self._common | fields)

    def _related(self, name: str, common: Mapping[str, Any]) -> Logger:
        return Logger(
            self._sink,
            self.level,
            name=name,
            common=common,
            family=self._family,
            sampler=self._sampler,
        )

    def takes(self, level: Level, message: str) -> bool:
        """Whether a line would be written. Ask before making costly fields, then use `emit`."""
        return level >= self.level and self._sampler.takes(level, message)

    def debug(self, message: str, **fields: Any) -> None:
        if self.level <= Level.DEBUG and self._sampler.takes(Level.DEBUG, message):
            self.emit(Level.DEBUG, message, fields)

    def info(self, message: str, **fields: Any) -> None:
        if self.level <= Level.INFO and self._sampler.takes(Level.INFO, message):
            self.emit(Level.INFO, message, fields)

    def warn(self, message: str, **fields: Any) -> None:
        if self.level <= Level.WARN and self._sampler.takes(Level.WARN, message):
            self.emit(Level.WARN, message, fields)

    def error(self, message: str, **fields: Any) -> None:
        if self.level <= Level.ERROR and self._sampler.takes(Level.ERROR, message):
            self.emit(Level.ERROR, message, fields)

    def fatal(self, message: str, **fields: Any) -> None:
        """The last line before the caller ends the process; ending it is the caller's business."""
        self.emit(Level.FATAL, message, fields)

    def emit(
        self, level: Level, message: str, fields: Mapping[str, Any], *, caller: str = ""
    ) -> None:
        """Write one line that `takes` has let pass; `caller` is found on the stack unless given."""
        frame = sys._getframe(2)
        shown = {_key(name): value for name, value in {**self._common, **fields}.items()}
        for name in _SECRETS & shown.keys():
            shown[name] = _BLANK
        stack = _stack(frame, fields.get("error")) if level >= Level.ERROR else ""
        where = caller or f"{short_path(frame.f_code.co_filename)}:{frame.f_lineno}"
        self._sink(Event(level, self._name, where, message, shown, stack))


def _key(name: str) -> str:
    """`listen_client_urls` → `listen-client-urls`; `from_`, which Python needs so, → `from`."""
    return name.rstrip("_").replace("_", "-")


def short_path(path: str) -> str:
    """The last folder and the file name, as in etcd's `embed/etcd.go`."""
    return "/".join(path.rsplit("/", 2)[-2:])


def _stack(frame: FrameType, error: Any) -> str:
    """Where an exception came from, else who called; innermost first, as Go prints it."""
    if isinstance(error, BaseException) and error.__traceback__ is not None:
        frames = traceback.extract_tb(error.__traceback__)
    else:
        frames = traceback.extract_stack(frame)
    lines = (f"{f.name}\n\t{f.filename}:{f.lineno}" for f in reversed(frames))
    return "\n".join(lines)


def _drop(event: Event) -> None:
    return None


NO_LOG = Logger(_drop, Level.FATAL)
"""Writes nothing: for tools and tests."""
