"""`etcdctl defrag`."""

from __future__ import annotations

from kvorum.cli.etcdctl.endpoints import endpoints_of
from kvorum.cli.etcdctl.session import Session, run
from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.cli.shared.pflag import BOOL, STRING
from kvorum.cli.shared.stdio import write_error, write_text
from kvorum.client import describe
from kvorum.errors import KvorumError, WireError


@command(
    "defrag",
    "",
    "Have each endpoint write its database anew, without free space",
    "With --data-dir the database of a member that does not run is written anew here.",
)
@flag("cluster", BOOL, False, "every member of the cluster, not only --endpoints")
@flag("data-dir", STRING, "", "data directory of a member that does not run")
def defrag(call: Call) -> None:
    if call.text("data-dir"):
        _defrag_stopped(call.text("data-dir"))
        return

    async def body(session: Session) -> None:
        failed = False
        for endpoint in await endpoints_of(call, session):
            try:
                await session.client.maintenance.defragment(endpoint, timeout_s=session.timeout_s)
            except WireError as error:
                failed = True
                write_error(f"Failed to defragment etcd member[{endpoint}] ({describe(error)})\n")
            else:
                write_text(f"Finished defragmenting etcd member[{endpoint}]\n")
        if failed:
            raise CommandError(Exit.ERROR, None)

    run(call, body)


def _defrag_stopped(data_dir: str) -> None:
    from pathlib import Path  # noqa: PLC0415 - what follows reads files, and is not always there

    from kvorum.ops.defrag import defrag as defragment  # noqa: PLC0415

    write_error(
        "Use `etcdutl defrag` instead. The --data-dir is going to be decomissioned in v3.6.\n\n"
    )
    try:
        defragment(Path(data_dir))
    except (KvorumError, OSError) as error:
        reason = f"Failed to defragment etcd data[{data_dir}] ({error})"
        raise CommandError(Exit.ERROR, reason) from error
