"""Where a member's log goes and how its lines look.

    log = open_log(config)          # outputs, format and level from the configuration
    log.logger.info("…")
    log.close()

Two forms, as in etcd: `json` (one object a line; keys level, ts, logger, caller, msg, fields,
stacktrace) and `console` (the same, parted by tabs, fields as JSON). Times are UTC with
microseconds. Outputs: `default` and `stderr`, `stdout`, `systemd/journal`, or paths of files, which
are appended to, and one of which may be rotated (`log_rotation`).

A line that cannot be written (full disk, closed pipe) is dropped: a member does not die of its log.

Source: shared facts, flags.md section 6; texts of refused outputs and levels checked against 3.5.1.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TextIO

from kvorum.embed.log_journal import Journal
from kvorum.embed.log_rotation import RotatedFile, parse_rotation
from kvorum.errors import ConfigError
from kvorum.server.log import Event, Level, Logger, short_path

DEFAULT_OUTPUT = "default"
JOURNAL_OUTPUT = "systemd/journal"
_STREAMS = (DEFAULT_OUTPUT, "stdout", "stderr")
_FORMATS = ("json", "console")
_LIBRARIES = ("h2corn", "asyncio", "kvorum", "opentelemetry")
"""Standard-library loggers whose lines are wanted in the member's log."""

_PLAIN = (str, bool, int, float, type(None))
Encode = Callable[[Event], str]


class LogSettings(Protocol):
    """The part of `Config` that decides on the log."""

    @property
    def log_level(self) -> str: ...
    @property
    def log_format(self) -> str: ...
    @property
    def log_outputs(self) -> Sequence[str]: ...
    @property
    def enable_log_rotation(self) -> bool: ...
    @property
    def log_rotation_config_json(self) -> str: ...


class Output(Protocol):
    """Where lines go."""

    def write(self, line: str, event: Event) -> None:
        """Write a line, which ends with a newline.

        Raises:
            OSError, ValueError: it cannot be written.
        """
        ...

    def close(self) -> None: ...


class _Stream:
    """A text stream; closed only when it has been opened for the log."""

    def __init__(self, stream: TextIO, *, opened: bool = False) -> None:
        self._stream, self._opened = stream, opened

    def write(self, line: str, _: Event) -> None:
        self._stream.write(line)
        self._stream.flush()

    def close(self) -> None:
        if self._opened:
            self._stream.close()


class _Rotated:
    def __init__(self, file: RotatedFile) -> None:
        self._file = file

    def write(self, line: str, _: Event) -> None:
        self._file.write(line)

    def close(self) -> None:
        self._file.close()


class Log:
    """An open log: its logger, and what must be closed and put back at the end."""

    def __init__(self, logger: Logger, outputs: Iterable[Output] = ()) -> None:
        self.logger = logger
        self._outputs = list(outputs)
        self._routed: list[tuple[logging.Logger, logging.Handler, bool]] = []

    def route_libraries(self, names: Iterable[str] = _LIBRARIES) -> None:
        """Bring what libraries log through Python's `logging` into this log.

        For the `etcd` program, which owns its process. An embedded member leaves the loggers of the
        program it is part of alone.
        """
        handler = _LibraryHandler(self.logger)
        for name in names:
            library = logging.getLogger(name)
            self._routed.append((library, handler, library.propagate))
            library.addHandler(handler)
            library.propagate = False

    def close(self) -> None:
        """Undo `route_libraries` and close the files that were opened."""
        for library, handler, propagate in self._routed:
            library.removeHandler(handler)
            library.propagate = propagate
        for output in self._outputs:
            with contextlib.suppress(OSError):
                output.close()
        self._routed.clear()
        self._outputs.clear()


def open_log(settings: LogSettings) -> Log:
    """Open the outputs that the configuration names.

    Raises:
        ConfigError: unknown level, format or output, or a file that cannot be opened.
    """
    level = parse_level(settings.log_level)
    encode = _encoder(settings.log_format)
    outputs: list[Output] = []
    try:
        for name in _outputs(settings):
            outputs.append(_open(name, settings))
    except ConfigError:
        for output in outputs:
            output.close()
        raise
    return Log(Logger(_sink(encode, outputs), level), outputs)


def early_logger() -> Logger:
    """For what is said before the configuration is known: JSON on stderr, from `info` on."""
    return Logger(_sink(encode_json, [_Stream(sys.stderr)]))


def stdlib_logger(name: str = "kvorum", level: Level = Level.INFO) -> Logger:
    """A logger that hands its lines to Python's `logging`: for members inside a program."""
    target = logging.getLogger(name)

    def sink(event: Event) -> None:
        text = event.message if not event.fields else f"{event.message} {_fields_json(event)}"
        target.log(_STDLIB_LEVELS[event.level], "%s", text)

    return Logger(sink, level)


def parse_level(text: str) -> Level:
    """Read `--log-level`.

    Raises:
        ConfigError: not the name of a level.
    """
    try:
        return Level[text.upper() or "INFO"]
    except KeyError:
        raise ConfigError(f'unrecognized level: "{text}"') from None


def check_log_settings(settings: LogSettings) -> None:
    """Refuse what `open_log` would refuse, without opening anything.

    Raises:
        ConfigError: unknown level, format or output.
    """
    parse_level(settings.log_level)
    _encoder(settings.log_format)
    _outputs(settings)


def _encoder(name: str) -> Encode:
    if name not in _FORMATS:
        raise ConfigError(f"unknown log format: {name}, supported values json, console")
    return encode_json if name == "json" else encode_console


def _outputs(settings: LogSettings) -> Sequence[str]:
    names = sorted(set(settings.log_outputs))
    if DEFAULT_OUTPUT in names and len(names) > 1:
        raise ConfigError(f'multi logoutput for "{DEFAULT_OUTPUT}" is not supported yet')
    if settings.enable_log_rotation:
        files = [name for name in names if name not in _STREAMS]
        if len(files) != 1 or files == [JOURNAL_OUTPUT]:
            raise ConfigError(
                "--log-outputs requires a single file path when --log-rotate-config-json is defined"
            )
        parse_rotation(settings.log_rotation_config_json)
    if JOURNAL_OUTPUT in names and len(names) > 1:
        shown = " ".join(f'"{name}"' for name in names)
        raise ConfigError(
            f"running with systemd/journal but other '--log-outputs' values ([{shown}]) are "
            "configured with 'default'; override 'default' value with something else"
        )
    return names


def _open(output: str, settings: LogSettings) -> Output:
    if output in {DEFAULT_OUTPUT, "stderr"}:
        return _Stream(sys.stderr)
    if output == "stdout":
        return _Stream(sys.stdout)
    if output == JOURNAL_OUTPUT:
        return Journal()
    try:
        if settings.enable_log_rotation:
            rotation = parse_rotation(settings.log_rotation_config_json)
            return _Rotated(RotatedFile(output, rotation))
        return _Stream(open_append(output), opened=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f'couldn\'t open sink "{output}": open {output}: {reason}') from None


def open_append(path: str) -> TextIO:
    """Open a log file; an empty path is refused as the system call would refuse it."""
    if not path:
        raise FileNotFoundError(2, "No such file or directory")
    return Path(path).open("a", encoding="utf-8")


def _sink(encode: Encode, outputs: Sequence[Output]) -> Callable[[Event], None]:
    def write(event: Event) -> None:
        line = encode(event) + "\n"
        for output in outputs:
            with contextlib.suppress(OSError, ValueError):  # ValueError: the stream was closed
                output.write(line, event)

    return write


def _timestamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _plain(value: Any) -> Any:
    """A value that `json` can write."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)


def _dumps(value: dict[str, Any]) -> str:
    plain = {key: _plain(item) for key, item in value.items()}
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace").decode()


def encode_json(event: Event) -> str:
    """One JSON object, keys in etcd's order."""
    head: dict[str, Any] = {"level": event.level.name.lower(), "ts": _timestamp()}
    if event.logger:
        head["logger"] = event.logger
    head |= {"caller": event.caller, "msg": event.message}
    # A field may not hide one of the above.
    fields = {f"{key}_" if key in head else key: value for key, value in event.fields.items()}
    tail = {"stacktrace": event.stack} if event.stack else {}
    return _dumps(head | fields | tail)


def encode_console(event: Event) -> str:
    """The same for people: parted by tabs, fields as one JSON object, the stack below."""
    parts = [_timestamp(), event.level.name.lower()]
    if event.logger:
        parts.append(event.logger)
    parts += [event.caller, event.message]
    if event.fields:
        parts.append(_fields_json(event))
    line = "\t".join(parts)
    return f"{line}\n{event.stack}" if event.stack else line


def _fields_json(event: Event) -> str:
    return _dumps(dict(event.fields))


_STDLIB_LEVELS = {
    Level.DEBUG: logging.DEBUG,
    Level.INFO: logging.INFO,
    Level.WARN: logging.WARNING,
    Level.ERROR: logging.ERROR,
    Level.DPANIC: logging.CRITICAL,
    Level.PANIC: logging.CRITICAL,
    Level.FATAL: logging.CRITICAL,
}


class _LibraryHandler(logging.Handler):
    """Passes records of libraries on as events of `logger`."""

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        level = _level_of(record.levelno)
        if not self._logger.takes(level, str(record.msg)):
            return
        try:
            message = record.getMessage()
        except Exception as error:  # a library's bad format string is no reason to die
            message = f"{record.msg} ({error})"
        fields = {"error": record.exc_info[1]} if record.exc_info else {}
        caller = f"{short_path(record.pathname)}:{record.lineno}"
        self._logger.named(record.name).emit(level, message, fields, caller=caller)


def _level_of(number: int) -> Level:
    if number >= logging.ERROR:
        return Level.ERROR
    if number >= logging.WARNING:
        return Level.WARN
    return Level.INFO if number >= logging.INFO else Level.DEBUG
