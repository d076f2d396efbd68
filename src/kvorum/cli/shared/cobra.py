"""Commands with the habits of Go's cobra, declared with click.

What scripts rely on: global flags may stand before or after the command; the beginning of a
command's name is enough when no other begins so; errors read as stock's.

click holds the declarations and writes the help. Finding the command and reading its flags is done
here and in `kvorum.cli.shared.pflag`.

Source: spf13/cobra 1.1.3, as stock etcdctl 3.5.1 has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

import click

from kvorum.cli.shared.pflag import BOOL, Flag, FlagError, FlagSet, Kind
from kvorum.cli.shared.suggest import distance

DecoratedT = TypeVar("DecoratedT", bound=Callable[..., Any])

SUGGESTION_DISTANCE_MAX = 2
HELP_FLAG = Flag(name="help", kind=BOOL, default=False, shorthand="h")


@dataclass(frozen=True, slots=True)
class Call:
    """One run of a command: its arguments and flags, and the global flags among them."""

    flag_set: FlagSet
    context: click.Context

    @property
    def words(self) -> list[str]:
        """The arguments."""
        return self.flag_set.arguments

    @property
    def root(self) -> Group:
        """The commands of the whole program."""
        root = self.context.find_root().command
        assert isinstance(root, Group), root
        return root

    def on(self, flag: str) -> bool:
        """Whether a bool flag is on."""
        return bool(self.flag_set.values[flag])

    def text(self, flag: str) -> str:
        return str(self.flag_set.values[flag])

    def number(self, flag: str) -> int:
        return int(self.flag_set.values[flag])

    def strings(self, flag: str) -> list[str]:
        return [str(value) for value in self.flag_set.values[flag]]


class FlagOption(click.Option):
    """A click option that stands for a flag."""

    def __init__(self, *declarations: Any, flag: Flag, **attributes: Any) -> None:
        super().__init__(*declarations, **attributes)
        self.flag = flag


def flag(
    name: str,
    kind: Kind,
    default: object,
    text: str,
    *,
    shorthand: str = "",
    required: bool = False,
    choices: tuple[str, ...] = (),
) -> Callable[[DecoratedT], DecoratedT]:
    """Decorator that gives a command a flag; `text` is what its help says of it."""
    declared = Flag(
        name=name,
        kind=kind,
        default=default,
        shorthand=shorthand,
        required=required,
        choices=choices,
    )
    declarations = [f"-{shorthand}"] if shorthand else []
    return click.option(
        *declarations,
        f"--{name}",
        name.replace("-", "_"),
        cls=FlagOption,
        flag=declared,
        is_flag=kind.is_bool,
        metavar=None if kind.is_bool else kind.name.upper(),
        help=text,
    )


def flags_of(command: click.Command) -> list[Flag]:
    """The flags that a command declares."""
    return [option.flag for option in command.params if isinstance(option, FlagOption)]


def flag_set_of(command: click.Command, inherited: Iterable[Flag]) -> FlagSet:
    """What reads the flags of `command`."""
    return FlagSet.of([HELP_FLAG, *inherited, *flags_of(command)])


class Command(click.Command):
    """A command that runs. Its function takes a `Call`."""

    def __init__(
        self, *args: Any, usage: str = "", words_count: int | None = None, **attributes: Any
    ) -> None:
        attributes["add_help_option"] = False
        super().__init__(*args, **attributes)
        self.usage = usage
        self._words_count = words_count

    def check_words(self, words: Sequence[str]) -> None:
        """Refuse a wrong number of arguments, where the command leaves that to us.

        Raises:
            FlagError: there are more or fewer than there should be.
        """
        if self._words_count is not None and len(words) != self._words_count:
            raise FlagError(f"accepts {self._words_count} arg(s), received {len(words)}")

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [piece for piece in ("[flags]", self.usage) if piece]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_options(self, ctx, formatter)


def command(
    name: str,
    usage: str,
    summary: str,
    text: str = "",
    *,
    words_count: int | None = None,
    hidden: bool = False,
) -> Callable[[Callable[..., None]], Command]:
    """Decorator that makes a function a command.

    Args:
        name: what it is called.
        usage: its arguments. Shells offer files for `FILE` and `DIR`, and words for `one|other`.
        summary: half a sentence for lists of commands.
        text: more, for its help.
        words_count: how many arguments it takes; None: it checks that itself.
        hidden: it is in no list.
    """

    def decorate(function: Callable[..., None]) -> Command:
        decorator = click.command(
            name,
            cls=Command,
            usage=usage,
            words_count=words_count,
            hidden=hidden,
            short_help=summary,
            help=f"{summary}.\n\n{text}",
        )
        return decorator(click.pass_obj(function))

    return decorate


class Group(click.Group):
    """A command with others below it. Each of those is imported when it is needed."""

    def __init__(
        self,
        name: str,
        summary: str,
        modules: Mapping[str, str],
        *,
        in_full: frozenset[str] = frozenset(),
        usage_on_stderr: bool = False,
    ) -> None:
        super().__init__(name, help=f"{summary}.", short_help=summary, add_help_option=False)
        self._modules = modules
        self._in_full = in_full
        """Commands that a beginning does not name, so that it goes on naming another."""
        self.usage_on_stderr = usage_on_stderr
        """Of a program: where usage goes that was not asked for; else to standard output."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self.child(cmd_name) if cmd_name in self._modules else None

    def child(self, name: str) -> click.Command:
        """The command called `name`."""
        module, _, attribute = self._modules[name].partition(":")
        found = getattr(import_module(module), attribute)
        assert isinstance(found, click.Command), found
        return found

    def named(self, word: str) -> str | None:
        """The command that `word` names: in full, or by a beginning that no other shares."""
        if word in self._modules:
            return word
        names = [name for name in self._modules.keys() - self._in_full if name.startswith(word)]
        return names[0] if len(names) == 1 else None

    def suggestions(self, word: str) -> list[str]:
        """Names that may have been meant by `word`."""
        return [
            name
            for name in self._modules
            if distance(word.lower(), name.lower()) <= SUGGESTION_DISTANCE_MAX
            or name.lower().startswith(word.lower())
        ]

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[flags]", "COMMAND"]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        write_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = sorted(_leaves(self, ""))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _leaves(group: Group, path: str) -> Iterable[tuple[str, str]]:
    for name in group.list_commands(click.Context(group)):
        below = group.child(name)
        if isinstance(below, Group):
            yield from _leaves(below, f"{path}{name} ")
        elif not below.hidden:
            yield f"{path}{name}", below.get_short_help_str(limit=200)


def write_options(
    command: click.Command, ctx: click.Context, formatter: click.HelpFormatter
) -> None:
    """Write the flags of a command and those that every command has."""
    root = ctx.find_root().command
    own = [] if command is root else _help_rows(command, ctx)
    with formatter.section("Options"):
        formatter.write_dl([*own, ("-h, --help", "show this help")])
    if everywhere := _help_rows(root, ctx):
        with formatter.section("Global options"):
            formatter.write_dl(everywhere)


def _help_rows(command: click.Command, ctx: click.Context) -> list[tuple[str, str]]:
    records = (parameter.get_help_record(ctx) for parameter in command.get_params(ctx))
    return sorted((r for r in records if r is not None), key=lambda row: row[0].split("--")[-1])


@dataclass(frozen=True, slots=True)
class Found:
    """A command, how it was named, and what is left of the command line."""

    path: tuple[str, ...]
    command: click.Command
    line: list[str]
    unknown: str | None = None
    """A word that should have named a command and does not."""


def find(root: Group, line: Sequence[str]) -> Found:
    """Which command of `root` a command line names."""
    path: list[str] = []
    command: click.Command = root
    known = flags_of(root)
    rest = list(line)
    while isinstance(command, Group):
        words = _word_positions(rest, [HELP_FLAG, *known, *flags_of(command)])
        if not words:
            break
        name = command.named(rest[words[0]])
        if name is None:
            if command is root:
                return Found(tuple(path), command, rest, unknown=rest[words[0]])
            break  # a group shows its help, whatever follows it
        del rest[words[0]]
        path.append(name)
        command = command.child(name)
    return Found(tuple(path), command, rest)


def _word_positions(line: Sequence[str], flags: Iterable[Flag]) -> list[int]:
    """Where the words of a command line stand that are neither flags nor values of flags.

    A flag that is not known here is taken to have a value: `--prefix get k` names the command `k`.
    """
    without_value = set()
    for known in flags:
        if known.kind.is_bool:
            without_value |= {f"--{known.name}", f"-{known.shorthand}"}
    positions, position = [], 0
    while position < len(line):
        word = line[position]
        if word == "--":
            break
        takes_next = (
            "=" not in word
            and word not in without_value
            and (word.startswith("--") or (word.startswith("-") and len(word) == 2))
        )
        if takes_next:
            if position + 2 >= len(line):
                break  # it would take the last word; then nothing names a command
            position += 1
        elif word and not word.startswith("-"):
            positions.append(position)
        position += 1
    return positions
