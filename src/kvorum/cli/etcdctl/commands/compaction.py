"""`etcdctl compaction`."""

from __future__ import annotations

from kvorum.cli.etcdctl.session import Session, run
from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.exits import CommandError, Exit, bad_args
from kvorum.cli.shared.gonum import GoParseError, parse_int
from kvorum.cli.shared.pflag import BOOL
from kvorum.cli.shared.stdio import write_text


@command("compaction", "REVISION", "Forget the history before a revision")
@flag("physical", BOOL, False, "wait until the old revisions are removed from the database")
def compaction(call: Call) -> None:
    if len(call.words) != 1:
        raise bad_args("compaction command needs 1 argument")
    try:
        revision = parse_int(call.words[0], 10)
    except GoParseError as error:
        raise CommandError(Exit.ERROR, str(error)) from None

    async def body(session: Session) -> None:
        # With --physical it takes as long as it takes.
        timeout_s = None if call.on("physical") else session.timeout_s
        await session.client.kv.compact(revision, physical=call.on("physical"), timeout_s=timeout_s)
        write_text(f"compacted revision {revision}\n")

    run(call, body)
