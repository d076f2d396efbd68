"""A client program: from the command line to an exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence

import click

from kvorum.cli.shared.cobra import (
    Call,
    Command,
    Found,
    Group,
    command,
    find,
    flag_set_of,
    flags_of,
)
from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.cli.shared.pflag import FlagError
from kvorum.cli.shared.stdio import write_error, write_text

COMPLETE = "__complete"
"""The command that the scripts of `completion` run."""


def main_of(run: Callable[[Sequence[str]], int]) -> None:
    """Run the command that the process was started with."""
    # Ctrl-C ends the process as it ends any other: by the signal, and not by a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(run(sys.argv[1:]))


def run_program(root: Group, line: Sequence[str]) -> int:
    """Run a command line of the program whose commands `root` holds; the exit code."""
    try:
        return _run(root, line)
    except CommandError as error:
        if error.text is not None:
            write_error(f"Error: {error.text}\n")
        return error.code


def _run(root: Group, line: Sequence[str]) -> Exit:
    if line and line[0] == COMPLETE:
        from kvorum.cli.shared.completion import print_candidates  # noqa: PLC0415 - rarely needed

        print_candidates(root, line[1:])
        return Exit.SUCCESS
    found = find(root, line)
    if found.unknown is not None:
        return _unknown_command(root, found.unknown)
    context = context_of(root, found)
    flag_set = flag_set_of(found.command, flags_of(root))
    try:
        flag_set.parse(found.line)
        if flag_set.values["help"] or isinstance(found.command, Group):
            write_text(help_of(context))
            return Exit.SUCCESS
        if isinstance(found.command, Command):
            found.command.check_words(flag_set.arguments)
        flag_set.check_required()
    except FlagError as error:
        _show_usage(root, context, error)
        return Exit.ERROR
    context.obj = Call(flag_set, context)
    with context:
        found.command.invoke(context)
    return Exit.SUCCESS


def _show_usage(root: Group, context: click.Context, error: FlagError) -> None:
    """Say what is wrong with the flags, twice, as stock does."""
    usage = help_of(context)
    if root.usage_on_stderr:
        write_error(f"Error: {error}\n{usage}\nError: {error}\n")
        return
    write_text(usage)
    write_error(f"Error: {error}\n\nError: {error}\n")


def program_name(root: Group) -> str:
    """The name of the program."""
    assert root.name, root
    return root.name


def context_of(root: Group, found: Found) -> click.Context:
    """Click's context of a command, below those of the groups that it is in."""
    context = click.Context(root, info_name=program_name(root))
    for name in found.path:
        group = context.command
        assert isinstance(group, Group)
        context = click.Context(group.child(name), info_name=name, parent=context)
    return context


def help_of(context: click.Context) -> str:
    """The help of a command."""
    return context.command.get_help(context) + "\n"


def _unknown_command(root: Group, word: str) -> Exit:
    name = program_name(root)
    text = f'Error: unknown command "{word}" for "{name}"\n'
    names = root.suggestions(word)
    if names:
        text += "\nDid you mean this?\n" + "".join(f"\t{name}\n" for name in names) + "\n"
    write_error(f"{text}Run '{name} --help' for usage.\n{text}")
    return Exit.ERROR


@command("help", "[COMMAND]", "Show the help of a command")
def help_command(call: Call) -> None:
    """`help [COMMAND]` of any program."""
    root = call.root
    found = find(root, call.words)
    if found.unknown is not None:
        topics = " ".join(f"`{word}`" for word in call.words)
        write_error(f"Unknown help topic [{topics}]\n")
        found = Found((), root, [])
        if root.usage_on_stderr:
            write_error(help_of(context_of(root, found)))
            return
    write_text(help_of(context_of(root, found)))
