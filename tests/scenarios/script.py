"""Scenario scripts: commands with the output that they must have.

    # a comment
    command argument key=value list=(1,2)
    lines of input
    ----
    lines of expected output

A blank line ends the output. Lines of the form `INFO …`, `DEBUG …` (a log line of the core that a
script was recorded with) are not compared, everything else is, line by line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_SEPARATOR = "----"
_NOTHING = "ok"
_LOG_LINE = re.compile(r"\s*(DEBUG|INFO|WARN|ERROR) ")
_ARGUMENT = re.compile(r"[^\s=]+=\([^)]*\)|\S+")


@dataclass(slots=True)
class Command:
    """One command of a script."""

    line: int
    name: str
    arguments: list[str]
    options: dict[str, str]
    input: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def option(self, key: str, default: str = "") -> str:
        return self.options.get(key, default)

    def flag(self, key: str) -> bool:
        return self.options.get(key) == "true"

    def ids(self, key: str) -> list[int]:
        return [int(item) for item in self.items(key)]

    def items(self, key: str) -> list[str]:
        text = self.options.get(key, "").strip("()")
        return [item.strip() for item in text.split(",")] if text.strip() else []

    @property
    def nodes(self) -> list[int]:
        return [int(argument) for argument in self.arguments]


def parse(text: str) -> Iterator[Command]:
    """The commands of a script."""
    lines = text.splitlines()
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if not line.strip() or line.startswith("#"):
            continue
        command = _parse_head(line, position)
        while lines[position] != _SEPARATOR:
            command.input.append(lines[position])
            position += 1
        position += 1
        while position < len(lines) and lines[position].strip():
            command.expected.append(lines[position])
            position += 1
        yield command


def _parse_head(line: str, number: int) -> Command:
    name, *rest = _ARGUMENT.findall(line)
    arguments = [item for item in rest if "=" not in item]
    options = dict(item.split("=", 1) for item in rest if "=" in item)
    return Command(number, name, arguments, options)


def comparable(lines: list[str]) -> list[str]:
    """What of an output is compared."""
    kept = [line.rstrip() for line in lines if not _LOG_LINE.match(line)]
    return kept or [_NOTHING]


def check(path: Path, run: Callable[[Command], str]) -> int:
    """Run a script, compare every output; the number of commands is returned."""
    count = 0
    for command in parse(path.read_text()):
        got = comparable(run(command).splitlines())
        where = f"{path.name}:{command.line}: {command.name} {' '.join(command.arguments)}"
        assert got == comparable(command.expected), where
        count += 1
    return count


def rewrite(path: Path, run: Callable[[Command], str]) -> None:
    """Put what comes out now in the place of what was expected, for a look at the difference."""
    text = path.read_text().splitlines()
    outputs = {command.line: run(command) for command in parse(path.read_text())}
    written, position = [], 0
    while position < len(text):
        line = text[position]
        position += 1
        written.append(line)
        if position not in outputs:
            continue
        output = outputs[position]
        while text[position] != _SEPARATOR:
            written.append(text[position])
            position += 1
        written += [_SEPARATOR, *comparable(output.splitlines())]
        position += 1
        while position < len(text) and text[position].strip():
            position += 1
    path.write_text("\n".join(written) + "\n")
