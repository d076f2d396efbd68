"""Flags as etcdctl and etcdutl read them: Go's pflag, with its forms and its error texts.

    --limit 5   --limit=5   --prefix   --prefix=false   -w json   -wjson   -w=json   -i
    a `--` ends the flags; flags and arguments may be mixed

Flags are declared as click options (see `kvorum.cli.shared.cobra`); click's own parser is not
used, because scripts see its texts, and because it takes `--prefix=false` for an error.

Source: spf13/pflag 1.0.5, as stock etcdctl 3.5.1 has it.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kvorum.cli.shared.gonum import (
    GoParseError,
    parse_bool,
    parse_duration_ns,
    parse_int,
    parse_uint,
)
from kvorum.cli.shared.goquote import quote, quote_first_byte
from kvorum.gotext import format_duration


class FlagError(Exception):
    """Flags that cannot be read. The message is pflag's."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What the value of a flag is, and how it is read and shown."""

    name: str
    read: Callable[[str], Any]
    show: Callable[[Any], str] = str
    is_bool: bool = False
    adds_up: bool = False
    """Given again, its values are added to those before."""


def _strings(text: str) -> list[str]:
    if not text:
        return []
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise GoParseError(f"parse error on line 1, column 1: {error}") from None


STRING = Kind("string", str)
PATH = Kind("path", str)
BOOL = Kind("bool", parse_bool, lambda value: str(value).lower(), is_bool=True)
INT64 = Kind("int", lambda text: parse_int(text, 0))
UINT64 = Kind("uint", lambda text: parse_uint(text, 0))
DURATION = Kind("duration", parse_duration_ns, format_duration)
STRINGS = Kind("strings", _strings, lambda values: f"[{','.join(values)}]", adds_up=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag of a command."""

    name: str
    kind: Kind
    default: Any
    shorthand: str = ""
    required: bool = False
    choices: tuple[str, ...] = ()
    """What a shell offers as its value."""

    @property
    def label(self) -> str:
        """How an error names it."""
        return f"-{self.shorthand}, --{self.name}" if self.shorthand else f"--{self.name}"


@dataclass(slots=True)
class FlagSet:
    """The flags of one command line, and then their values."""

    flags: Mapping[str, Flag]
    values: dict[str, Any]
    changed: set[str] = field(default_factory=set)
    """Names of the flags that were given."""
    arguments: list[str] = field(default_factory=list)
    arguments_count_at_dash: int | None = None
    """How many arguments stood before `--`; None: there was no `--`."""

    @classmethod
    def of(cls, flags: Iterable[Flag]) -> FlagSet:
        by_name = {flag.name: flag for flag in flags}
        return cls(by_name, {flag.name: flag.default for flag in by_name.values()})

    def set(self, name: str, text: str) -> None:
        """Give a flag a value.

        Raises:
            FlagError: the flag cannot have it.
        """
        flag = self.flags[name]
        try:
            value = flag.kind.read(text)
        except GoParseError as error:
            raise FlagError(
                f"invalid argument {quote(text)} for {quote(flag.label)} flag: {error}"
            ) from None
        if flag.kind.adds_up and name in self.changed:
            value = self.values[name] + value
        self.values[name] = value
        self.changed.add(name)

    def parse(self, line: Sequence[str]) -> None:
        """Read a command line.

        Raises:
            FlagError: it cannot be read.
        """
        rest = list(line)
        while rest:
            word = rest.pop(0)
            if word == "--":
                self.arguments_count_at_dash = len(self.arguments)
                self.arguments += rest
                return
            if word.startswith("--"):
                self._long(word, rest)
            elif word.startswith("-") and word != "-":
                self._short(word[1:], rest)
            else:
                self.arguments.append(word)

    def check_required(self) -> None:
        """Refuse a command line without the flags that must be given.

        Raises:
            FlagError: they are missing.
        """
        missing = sorted(
            name for name, flag in self.flags.items() if flag.required and name not in self.changed
        )
        if missing:
            names = ", ".join(f'"{name}"' for name in missing)
            raise FlagError(f"required flag(s) {names} not set")

    def _long(self, word: str, rest: list[str]) -> None:
        name, has_value, value = word[2:].partition("=")
        if not name or name.startswith("-"):
            raise FlagError(f"bad flag syntax: {word}")
        flag = self.flags.get(name)
        if flag is None:
            raise FlagError(f"unknown flag: --{name}")
        if not has_value:
            if flag.kind.is_bool:
                value = "true"
            elif rest:
                value = rest.pop(0)
            else:
                raise FlagError(f"flag needs an argument: {word}")
        self.set(name, value)

    def _short(self, letters: str, rest: list[str]) -> None:
        """Read `-abc`: each letter a flag, until one takes what follows as its value."""
        shorthands = {flag.shorthand: flag for flag in self.flags.values() if flag.shorthand}
        left = letters
        while left:
            letter, after = left[0], left[1:]
            flag = shorthands.get(letter)
            if flag is None:
                raise FlagError(f"unknown shorthand flag: {quote_first_byte(left)} in -{left}")
            if len(after) > 1 and after[0] == "=":
                value, left = after[1:], ""
            elif flag.kind.is_bool:
                value, left = "true", after
            elif after:
                value, left = after, ""
            elif rest:
                value, left = rest.pop(0), ""
            else:
                raise FlagError(f"flag needs an argument: {quote_first_byte(left)} in -{left}")
            self.set(flag.name, value)
