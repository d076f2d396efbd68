"""`etcdutl migrate`."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from kvorum.cli.etcdutl.work import working
from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.exits import CommandError, Exit, bad_args
from kvorum.cli.shared.pflag import BOOL, PATH, STRING
from kvorum.errors import ConfigError

FORMATS = ("kvorum", "stock")


@command(
    "migrate",
    "",
    "Take the data directory of a stopped member to another version, or to stock's format",
    "With --format=stock a stock member of --target-version (when that is missing, of the"
    " cluster's version) starts on the directory afterwards; with --format=kvorum one of ours"
    " does. Without --format the directory keeps its format, and --target-version is needed.",
)
@flag("data-dir", PATH, "", "data directory of the stopped member", required=True)
@flag("force", BOOL, False, "go on where the log or the cluster's version speak against it")
@flag("format", STRING, "", "format to convert to: kvorum or stock", choices=FORMATS)
@flag("skip-v2-check", BOOL, False, "convert to kvorum although there is version-2 data")
@flag("target-version", STRING, "", "version to take the directory to, as X.Y")
@flag("wal-dir", PATH, "", "directory of the log, if the member has --wal-dir")
def migrate(call: Call) -> None:
    from kvorum.ops import migrate as ops  # noqa: PLC0415 - help needs none of it
    from kvorum.ops.log_version import V3_4, V3_5  # noqa: PLC0415

    wanted, wal_dir, version = (call.text(name) for name in ("format", "wal-dir", "target-version"))
    if wanted and wanted not in FORMATS:
        raise CommandError(
            Exit.ERROR, f'unknown format "{wanted}", expected one of: {", ".join(FORMATS)}'
        )
    lowest = V3_4 if wanted == "stock" else V3_5
    try:
        target = ops.parse_target_version(version, lowest=lowest) if version else None
    except ConfigError as error:
        raise bad_args(str(error)) from None
    with working("Migrating") as work:
        ops.migrate(
            Path(call.text("data-dir")),
            log=work.log,
            target_version=target,
            force=call.on("force"),
            format=cast("ops.Format", wanted) if wanted else None,
            wal_dir=Path(wal_dir) if wal_dir else None,
            skip_v2_check=call.on("skip-v2-check"),
            progress=work.bar.report,
        )
