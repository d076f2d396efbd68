"""`etcdctl snapshot save`.

Like stock it has no time limit unless --command-timeout is given (or its variable): then for all of
it. Its log and its texts are stock 3.5.1's; its exit code for whatever fails is 5.
"""

from __future__ import annotations

from contextlib import aclosing
from time import monotonic
from typing import Final

from kvorum.cli.etcdctl.session import Session, run
from kvorum.cli.etcdctl.snapshotfile import SnapshotFile
from kvorum.cli.shared.cobra import Call, command
from kvorum.cli.shared.exits import CommandError, Exit, bad_args
from kvorum.cli.shared.interrupts import cleaning_up
from kvorum.cli.shared.log import LogLine, Stamp
from kvorum.cli.shared.progress import ProgressBar
from kvorum.cli.shared.stdio import write_error, write_text
from kvorum.client import describe
from kvorum.errors import WireError
from kvorum.gotext import format_size

_CLIENT: Final = "client"
_UNITS: Final = ((3600, "hour"), (60, "minute"), (1, "second"))


@command("save", "FILE", "Save a snapshot of one member's database")
def save(call: Call) -> None:
    if len(call.words) != 1:
        raise bad_args("snapshot save expects one argument")

    async def body(session: Session) -> None:
        endpoints = session.settings.endpoints
        if len(endpoints) != 1:
            raise CommandError(
                Exit.INTERRUPTED,
                "snapshot must be requested to one selected node, not multiple"
                f" [{' '.join(endpoints)}]",
            )
        has_limit = "command-timeout" in call.flag_set.changed
        timeout_s = session.timeout_s if has_limit else None
        with SnapshotFile(call.words[0]) as file:
            await _save(session, file, timeout_s)
        write_text(f"Snapshot saved at {file.name}\n")

    with cleaning_up():
        run(call, body)


async def _save(session: Session, file: SnapshotFile, timeout_s: float | None) -> None:
    (endpoint,) = session.settings.endpoints
    _log(68, "created temporary db file", path=file.part_name)
    begin_s = monotonic()
    total_bytes = 0
    parts = session.client.maintenance.snapshot(timeout_s=timeout_s)
    try:
        with ProgressBar("Saving") as bar:
            async with aclosing(parts):
                async for part in parts:
                    if not total_bytes:
                        total_bytes = len(part.blob) + part.remaining_bytes
                        _log(211, "opened snapshot stream; downloading", logger=_CLIENT)
                        _log(76, "fetching snapshot", endpoint=endpoint)
                    file.write(part.blob)
                    bar.report(min(file.size_bytes, total_bytes), total_bytes)
    except WireError as error:
        raise CommandError(Exit.INTERRUPTED, describe(error)) from error
    _log(219, "completed snapshot read; closing", logger=_CLIENT)
    file.finish()
    _log(
        91,
        "fetched snapshot",
        endpoint=endpoint,
        size=format_size(file.size_bytes),
        took=_how_long(monotonic() - begin_s),
    )
    _log(100, "saved", path=file.name)


def _log(line_number: int, message: str, *, logger: str = "", **fields: str) -> None:
    place = "v3/maintenance.go" if logger else "snapshot/v3_snapshot.go"
    line = LogLine("info", Stamp.SECONDS, logger=logger, caller=f"{place}:{line_number}")
    line.add("msg", message)
    for name, value in fields.items():
        line.add(name, value)
    write_error(line.text())


def _how_long(seconds: float) -> str:
    """A time that has passed as stock tells it: `now`, `1 second ago`, `5 minutes ago`.

    Source: dustin/go-humanize, Time.
    """
    for size_s, name in _UNITS:
        count = int(seconds // size_s)
        if count:
            return f"1 {name} ago" if count == 1 else f"{count} {name}s ago"
    return "now"
