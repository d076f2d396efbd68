"""`etcdctl help [COMMAND]`."""

from __future__ import annotations

from kvorum.cli.etcdctl.cobra import Call, Found, command, find
from kvorum.cli.etcdctl.stdio import write_error, write_text


@command("help", "[COMMAND]", "Show the help of a command")
def help_command(call: Call) -> None:
    from kvorum.cli.etcdctl.program import context_of, help_of  # noqa: PLC0415 - it imports us
    from kvorum.cli.etcdctl.root import ROOT  # noqa: PLC0415

    found = find(ROOT, call.words)
    if found.unknown is not None:
        topics = " ".join(f"`{word}`" for word in call.words)
        write_error(f"Unknown help topic [{topics}]\n")
        found = Found((), ROOT, [])
    write_text(help_of(context_of(found)))
