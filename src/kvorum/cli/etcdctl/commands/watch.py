"""`etcdctl watch`."""

from __future__ import annotations

from kvorum.cli.etcdctl.session import Session, run
from kvorum.cli.etcdctl.watchargs import WATCH_VARIABLES, watch_arguments
from kvorum.cli.etcdctl.watching import WatchEndedError, begin, follow
from kvorum.cli.etcdctl.watchshell import WatchShell
from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.exits import CommandError, Exit, bad_args
from kvorum.cli.shared.pflag import BOOL, INT64


@command(
    "watch",
    "[KEY [RANGE_END]] [-- COMMAND ...]",
    "Print what happens to keys, as it happens",
    "COMMAND is run for each event, with ETCD_WATCH_REVISION, ETCD_WATCH_EVENT_TYPE, "
    "ETCD_WATCH_KEY and ETCD_WATCH_VALUE in its environment; the last three are quoted.\n\n"
    "ETCDCTL_WATCH_KEY and ETCDCTL_WATCH_RANGE_END may stand for the arguments.\n\n"
    "With --interactive, lines `watch [flags] KEY [RANGE_END] [-- COMMAND ...]` and `progress` "
    "are read from standard input.",
)
@flag("interactive", BOOL, False, "read watch commands from standard input", shorthand="i")
@flag("prefix", BOOL, False, "watch every key that begins with KEY")
@flag("prev-kv", BOOL, False, "print what each key was before")
@flag("progress-notify", BOOL, False, "print how far the member is when nothing happens")
@flag("rev", INT64, 0, "begin with this revision; 0: now")
def watch(call: Call) -> None:
    if call.on("interactive"):
        run(call, _interactive, known_variables=WATCH_VARIABLES)
        return
    arguments = watch_arguments(call.flag_set)

    async def body(session: Session) -> None:
        if arguments.problem:
            raise bad_args(arguments.problem)
        try:
            await follow(session, begin(session, arguments), arguments.command)
        except WatchEndedError:
            raise CommandError(Exit.INTERRUPTED, "watch is canceled by the server") from None

    run(call, body, known_variables=WATCH_VARIABLES)


async def _interactive(session: Session) -> None:
    await WatchShell(session).run()
