"""etcdctl: from the command line to an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

import click

from kvorum.cli.etcdctl.cobra import Call, Found, Group, find, flag_set_of, flags_of
from kvorum.cli.etcdctl.exits import CommandError, Exit
from kvorum.cli.etcdctl.pflag import FlagError
from kvorum.cli.etcdctl.root import NAME, ROOT
from kvorum.cli.etcdctl.stdio import write_error, write_text


def main() -> None:
    """Run the command that the process was started with."""
    # Ctrl-C ends the process as it ends any other: by the signal, and not by a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(run(sys.argv[1:]))


def run(line: Sequence[str]) -> int:
    """Run a command line; the exit code."""
    try:
        return _run(line)
    except CommandError as error:
        if error.text is not None:
            write_error(f"Error: {error.text}\n")
        return error.code


def _run(line: Sequence[str]) -> Exit:
    version = os.environ.get("ETCDCTL_API", "")
    if version not in {"", "3"}:
        write_error(f"unsupported API version: {version}\n")
        return Exit.ERROR
    found = find(ROOT, line)
    if found.unknown is not None:
        return _unknown_command(found.unknown)
    context = context_of(found)
    flag_set = flag_set_of(found.command, flags_of(ROOT))
    try:
        flag_set.parse(found.line)
    except FlagError as error:
        write_text(help_of(context))
        write_error(f"Error: {error}\n\nError: {error}\n")
        return Exit.ERROR
    if flag_set.values["help"] or isinstance(found.command, Group):
        write_text(help_of(context))
        return Exit.SUCCESS
    context.obj = Call(flag_set, context)
    with context:
        found.command.invoke(context)
    return Exit.SUCCESS


def context_of(found: Found) -> click.Context:
    """Click's context of a command, below those of the groups that it is in."""
    command: click.Command = ROOT
    context = click.Context(command, info_name=NAME)
    for name in found.path:
        assert isinstance(command, Group)
        command = command.child(name)
        context = click.Context(command, info_name=name, parent=context)
    return context


def help_of(context: click.Context) -> str:
    """The help of a command."""
    return context.command.get_help(context) + "\n"


def _unknown_command(word: str) -> Exit:
    text = f'Error: unknown command "{word}" for "{NAME}"\n'
    names = ROOT.suggestions(word)
    if names:
        text += "\nDid you mean this?\n" + "".join(f"\t{name}\n" for name in names) + "\n"
    write_error(f"{text}Run '{NAME} --help' for usage.\n{text}")
    return Exit.ERROR
