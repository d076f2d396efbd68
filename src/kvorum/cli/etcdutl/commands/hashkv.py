"""`etcdutl hashkv`."""

from __future__ import annotations

from pathlib import Path

from kvorum.cli.etcdutl.output import Result, check_form, print_result
from kvorum.cli.etcdutl.work import working
from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.pflag import INT64

HEADINGS = ("hash", "hash revision", "compact revision")


@command(
    "hashkv",
    "FILE",
    "Show the hash of a file's keys, as a member with it would answer",
    "FILE is a snapshot, or member/snap/db of a stopped member.",
    words_count=1,
)
@flag("rev", INT64, 0, "hash up to this revision; 0: all")
def hash_kv(call: Call) -> None:
    from kvorum.ops.hashkv import file_hash_kv  # noqa: PLC0415 - help needs none of it

    form = call.text("write-out")
    check_form(form)
    with working("Hashing"):
        found = file_hash_kv(Path(call.words[0]), call.number("rev"))
    numbers = (found.hash, found.hash_revision, found.compact_revision)
    print_result(
        form,
        Result(
            cells=[str(number) for number in numbers],
            headings=HEADINGS,
            json=dict(zip(("hash", "hashRevision", "compactRevision"), numbers, strict=True)),
            fields=dict(zip(("Hash", "Hash revision", "Compact revision"), numbers, strict=True)),
        ),
    )
