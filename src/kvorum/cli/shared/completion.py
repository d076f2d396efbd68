"""Completion in shells: scripts that ask the program itself what could come next.

    etcdutl __complete "etcdutl snapshot st"      answers  `status<TAB>Show hash, ...`

and last a line `:none` or `:files`: whether names of files could stand there as well. So a script
knows nothing of commands and flags and never grows old; a press of TAB costs one start of the
program (measured: some 0.1 s).

Source: the idea is that of cobra's second completion; the protocol and the scripts are ours.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import click

from kvorum.cli.shared.cobra import HELP_FLAG, Call, Command, Group, command, find, flags_of
from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.cli.shared.pflag import PATH, Flag
from kvorum.cli.shared.program import COMPLETE, program_name
from kvorum.cli.shared.stdio import write_text

_FILE_WORDS: Final = frozenset({"FILE", "DIR"})


@dataclass(slots=True)
class Offer:
    """What could come next."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    """Words, and what they mean."""
    files: bool = False


def candidates(root: Group, line: str) -> Offer:
    """What could stand at the end of a command line.

    Args:
        root: the commands of the program.
        line: the line up to the cursor, with the program's name.
    """
    before, last = _split(line)
    words = before[1:]
    if words[:1] == ["help"]:
        words = words[1:]
    found = find(root, words)
    if found.unknown is not None or "--" in words:
        return Offer()
    known = {one.name: one for one in (HELP_FLAG, *flags_of(root), *flags_of(found.command))}
    awaited = _awaiting_value(words, known)
    if awaited is not None:
        return _values(awaited, "", last)
    if isinstance(found.command, Group) and _is_unknown(words, last, known):
        # A flag of a command that is still to come, as in `etcdutl --data-dir d snapshot restore`.
        return Offer(files=True)
    if last.startswith("--") and "=" in last:
        name, _, value = last.partition("=")
        flag = known.get(name[2:])
        return Offer() if flag is None else _values(flag, f"{name}=", value)
    if last.startswith("-"):
        return _flags(found.command, root, last)
    if isinstance(found.command, Group):
        return _commands(found.command, last)
    return _arguments(found.command, len(_arguments_in(found.line, known)), last)


def _split(line: str) -> tuple[list[str], str]:
    """The words before the cursor, and the beginning of the one at it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:
        words.append(lexer.token)  # a quote that is still open
        return words[:-1], words[-1]
    if not words or line[-1].isspace():
        return words, ""
    return words[:-1], words[-1]


def _awaiting_value(words: Sequence[str], known: dict[str, Flag]) -> Flag | None:
    """The flag at the end of the line that still needs its value."""
    if not words:
        return None
    flag = None
    if words[-1].startswith("--"):
        flag = known.get(words[-1][2:])
    elif words[-1].startswith("-"):
        flag = next((one for one in known.values() if one.shorthand == words[-1][1:]), None)
    return None if flag is None or flag.kind.is_bool else flag


def _is_unknown(words: Sequence[str], last: str, known: dict[str, Flag]) -> bool:
    """Whether the value of a flag that we do not know is to come next."""
    if last.startswith("--") and "=" in last:
        return last.partition("=")[0][2:] not in known
    if not words or not words[-1].startswith("--") or "=" in words[-1]:
        return False
    return words[-1][2:] not in known


def _values(flag: Flag, prefix: str, value: str) -> Offer:
    choices = ("true", "false") if flag.kind.is_bool else flag.choices
    rows = [(f"{prefix}{choice}", "") for choice in choices if choice.startswith(value)]
    return Offer(rows, files=flag.kind is PATH)


def _flags(command: click.Command, root: Group, beginning: str) -> Offer:
    context = click.Context(command)
    helps = {
        option.name: option.get_help_record(context)
        for owner in (command, root)
        for option in owner.params
    }
    names = {one.name for one in (HELP_FLAG, *flags_of(command), *flags_of(root))}
    rows = []
    for name in sorted(names):
        if f"--{name}".startswith(beginning):
            record = helps.get(name.replace("-", "_"))
            text = "show this help" if name == HELP_FLAG.name else record[1] if record else ""
            rows.append((f"--{name}", text))
    return Offer(rows)


def _commands(group: Group, beginning: str) -> Offer:
    context = click.Context(group)
    rows = []
    for name in group.list_commands(context):
        if name.startswith(beginning):
            below = group.child(name)
            if not below.hidden:
                rows.append((name, below.get_short_help_str(limit=200)))
    return Offer(rows)


def _arguments_in(line: Sequence[str], known: dict[str, Flag]) -> list[str]:
    """The words of a line that are neither flags nor values of flags."""
    arguments: list[str] = []
    awaited = False
    for word in line:
        if awaited:
            awaited = False
        elif word.startswith("-") and word != "-":
            awaited = "=" not in word and _awaiting_value([word], known) is not None
        else:
            arguments.append(word)
    return arguments


def _arguments(command: click.Command, given: int, beginning: str) -> Offer:
    usage = command.usage.split() if isinstance(command, Command) else []
    if given >= len(usage):
        return Offer()
    wanted = usage[given]
    if wanted in _FILE_WORDS:
        return Offer(files=True)
    if "|" in wanted:
        return Offer([(word, "") for word in wanted.split("|") if word.startswith(beginning)])
    return Offer()


def print_candidates(root: Group, words: Sequence[str]) -> None:
    """Answer a script: `words` holds the line up to the cursor."""
    offer = candidates(root, words[0] if words else "")
    write_text("".join(f"{line}\n" for line in _answer(offer)))


def _answer(offer: Offer) -> Iterator[str]:
    for word, meaning in offer.rows:
        yield f"{word}\t{' '.join(meaning.split())}".rstrip("\t")
    yield ":files" if offer.files else ":none"


@command(
    "completion",
    "bash|zsh|fish|powershell",
    "Print a script that completes commands and flags in a shell",
    "bash: source <(PROGRAM completion bash); zsh: the same with zsh, after compinit; fish:"
    " PROGRAM completion fish | source; PowerShell: PROGRAM completion powershell | Out-String |"
    " Invoke-Expression.",
    words_count=1,
)
def completion(call: Call) -> None:
    from kvorum.cli.shared.shells import SCRIPTS  # noqa: PLC0415 - only this command has them

    shell = call.words[0]
    script = SCRIPTS.get(shell)
    if script is None:
        raise CommandError(
            Exit.ERROR, f'unknown shell "{shell}", expected one of: {", ".join(SCRIPTS)}'
        )
    write_text(script.replace("PROGRAM", program_name(call.root)).replace("COMPLETE", COMPLETE))
