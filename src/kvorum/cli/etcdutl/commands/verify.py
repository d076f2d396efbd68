"""`etcdutl verify`."""

from __future__ import annotations

from pathlib import Path

from kvorum.cli.etcdutl.output import check_form, refuse_form
from kvorum.cli.etcdutl.work import working
from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.cli.shared.pflag import PATH
from kvorum.cli.shared.stdio import write_text


@command(
    "verify",
    "",
    "Check that the files of a stopped member are whole and fit each other",
    "Looks at the database, the log and the raft snapshots. Changes nothing. The exit code is 1"
    " when there is a problem.",
)
@flag("data-dir", PATH, "", "data directory of the stopped member", required=True)
@flag("wal-dir", PATH, "", "directory of the log, if the member has --wal-dir")
def verify(call: Call) -> None:
    from kvorum.ops.verify import verify_data_dir  # noqa: PLC0415 - help needs none of it

    form = call.text("write-out")
    check_form(form)
    if form not in {"simple", "json"}:
        raise refuse_form(form)
    data_dir, wal_dir = call.text("data-dir"), call.text("wal-dir")
    with working("Verifying"):
        problems = verify_data_dir(Path(data_dir), Path(wal_dir) if wal_dir else None)
    if form == "json":
        from kvorum.cli.shared.gojson import encode  # noqa: PLC0415

        write_text(encode({"dataDir": data_dir, "problems": problems}) + "\n")
    else:
        write_text("".join(f"{line}\n" for line in problems or [f"{data_dir}: no problems found"]))
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise CommandError(Exit.ERROR, f"{count} found in {data_dir}")
