"""`etcdutl defrag`."""

from __future__ import annotations

from pathlib import Path

from kvorum.cli.etcdutl.work import describe, working
from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.cli.shared.pflag import PATH
from kvorum.cli.shared.stdio import write_error
from kvorum.errors import KvorumError
from kvorum.gotext import format_size


@command(
    "defrag",
    "",
    "Write the database of a stopped member anew, without free pages",
    "Needs room for a second copy beside the first.",
)
@flag("data-dir", PATH, "", "data directory of the stopped member", required=True)
def defrag(call: Call) -> None:
    from kvorum.ops.defrag import defrag as defrag_files  # noqa: PLC0415 - help needs none of it

    data_dir = Path(call.text("data-dir"))
    path = data_dir / "member" / "snap" / "db"
    with working("Defragmenting") as work:
        work.log.info("defragmenting", path=path)
        try:
            sizes = defrag_files(data_dir, work.bar.report)
        except (KvorumError, OSError) as error:
            work.bar.clear()
            write_error(f"Failed to defragment etcd data[{data_dir}] ({describe(error)})\n")
            raise CommandError(Exit.ERROR, None) from error
        work.log.info(
            "finished defragmenting directory",
            path=path,
            current_db_size_bytes_diff=sizes.after_bytes - sizes.before_bytes,
            current_db_size_bytes=sizes.after_bytes,
            current_db_size=format_size(sizes.after_bytes),
        )
