"""`etcdutl inspect ...`: what is in a log or a database file, for people and for programs.

Source: the idea is that of etcd's tools etcd-dump-logs and etcd-dump-db; the forms are ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from kvorum.cli.etcdutl.lines import quoted, readable, write_lines
from kvorum.cli.etcdutl.output import check_form, refuse_form
from kvorum.cli.etcdutl.work import working
from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.cli.shared.goquote import to_bytes
from kvorum.cli.shared.pflag import BOOL, STRING, STRINGS, UINT64
from kvorum.cli.shared.stdio import write_text

if TYPE_CHECKING:
    from kvorum.ops.dump import BucketInfo, BucketRow, LogLine

RECORD_TYPES = ("metadata", "entry", "state", "crc", "snapshot")
BUCKET_HEADINGS = ("bucket", "rows", "key bytes", "value bytes")


@command(
    "log",
    "DIR",
    "Show the records of a log",
    "DIR is a data directory, or a directory of *.wal files. A line holds file, offset, type of"
    " record, term, index, what the entry asks for, and the size of its data; with --decode also"
    " the data. Passwords and tokens are never shown.",
    words_count=1,
)
@flag("decode", BOOL, False, "show the data of records, field by field")
@flag("end-index", UINT64, 0, "no entries after this index; 0: to the end")
@flag(
    "entry-type",
    STRINGS,
    [],
    "only entries that ask for this: put, txn, delete_range, lease_grant, conf_change, ...",
)
@flag(
    "record-type",
    STRINGS,
    [],
    f"only records of this type: {', '.join(RECORD_TYPES)}  [default: all but crc]",
    choices=RECORD_TYPES,
)
@flag("start-index", UINT64, 0, "no entries before this index")
def log(call: Call) -> None:
    from kvorum.ops.dump import LogFilter, dump_log  # noqa: PLC0415 - help needs none of it

    form = _form(call)
    kinds, methods = call.strings("record-type"), call.strings("entry-type")
    for kind in kinds:
        if kind not in RECORD_TYPES:
            raise CommandError(
                Exit.ERROR,
                f'unknown record type "{kind}", expected one of: {", ".join(RECORD_TYPES)}',
            )
    wanted = LogFilter(
        first_index=call.number("start-index"),
        last_index=call.number("end-index") or None,
        # Who asks for some entries does not ask for records that are none.
        kinds=frozenset(kinds or (["entry"] if methods else [])),
        methods=frozenset(methods),
    )
    with working("Reading"):
        lines = dump_log(Path(call.words[0]), wanted)
        write_lines(_log_lines(lines, is_json=form == "json", decode=call.on("decode")))


def _log_lines(lines: Iterable[LogLine], *, is_json: bool, decode: bool) -> Iterator[str]:
    from kvorum.cli.shared.gojson import encode  # noqa: PLC0415 - it loads protobuf

    for line in lines:
        if is_json:
            shown = {
                "segment": line.segment,
                "offset": line.offset,
                "record": line.kind,
                "term": line.term,
                "index": line.index,
                "type": line.method,
                "size": line.size_bytes,
            }
            yield encode(shown | ({"data": line.fields} if decode else {}))
            continue
        data = f"  {readable(line.fields)}" if decode and line.fields else ""
        yield (
            f"{line.segment}  {line.offset:>9}  {line.kind:<8}  {line.term:>4}  {line.index:>9}"
            f"  {line.method or '-':<12}  {line.size_bytes:>7}{data}"
        )


@command(
    "bucket",
    "FILE BUCKET",
    "Show the rows of a bucket of a database file",
    "FILE is a snapshot, or member/snap/db. Keys and values are quoted as Go quotes them; with"
    " --decode they are shown field by field. Password hashes are never shown.",
    words_count=2,
)
@flag("decode", BOOL, False, "show keys and values field by field")
@flag("limit", UINT64, 0, "show so many rows at most; 0: all")
@flag("start", STRING, "", "show rows from this key on")
def bucket(call: Call) -> None:
    from kvorum.ops.dump import dump_bucket  # noqa: PLC0415 - help needs none of it

    form = _form(call)
    path, name = call.words
    with working("Reading"):
        rows = dump_bucket(Path(path), name, start=to_bytes(call.text("start")))
        limited = islice(rows, call.number("limit") or None)
        write_lines(_bucket_lines(limited, is_json=form == "json", decode=call.on("decode")))


def _bucket_lines(rows: Iterable[BucketRow], *, is_json: bool, decode: bool) -> Iterator[str]:
    from kvorum.cli.shared.gojson import encode  # noqa: PLC0415 - it loads protobuf

    for row in rows:
        if is_json:
            shown = {"key": row.key, "value": row.value}
            decoded = {"name": row.shown_key, "fields": row.fields} if decode else {}
            yield encode(shown | decoded)
        elif decode:
            yield f"{row.shown_key}  {readable(row.fields)}"
        else:
            yield f"key={quoted(row.key)}, value={quoted(row.value)}"


@command(
    "buckets",
    "FILE",
    "Show the buckets of a database file, with their numbers of rows and bytes",
    words_count=1,
)
def buckets(call: Call) -> None:
    from kvorum.ops.dump import list_buckets  # noqa: PLC0415 - help needs none of it

    form = _form(call, table=True)
    with working("Reading"):
        found = list_buckets(Path(call.words[0]))
    write_text(_buckets_text(found, form))


def _buckets_text(found: Iterable[BucketInfo], form: str) -> str:
    if form == "json":
        from kvorum.cli.shared.gojson import encode  # noqa: PLC0415 - it loads protobuf

        shown = [
            {
                "name": one.name,
                "rows": one.rows,
                "keyBytes": one.key_bytes,
                "valueBytes": one.value_bytes,
            }
            for one in found
        ]
        return encode(shown) + "\n"
    rows = [[one.name, str(one.rows), str(one.key_bytes), str(one.value_bytes)] for one in found]
    if form == "table":
        from kvorum.cli.shared.grid import render  # noqa: PLC0415

        return render(BUCKET_HEADINGS, rows)
    return "".join(", ".join(row) + "\n" for row in rows)


def _form(call: Call, *, table: bool = False) -> str:
    form = call.text("write-out")
    check_form(form)
    if form not in {"simple", "json"} and not (table and form == "table"):
        raise refuse_form(form)
    return form
