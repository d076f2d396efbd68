"""`etcdutl snapshot ...`; `etcdctl snapshot status` and `restore` run the same functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kvorum.cli.etcdutl.output import Result, check_form, print_result
from kvorum.cli.etcdutl.work import working
from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.exits import bad_args
from kvorum.cli.shared.pflag import BOOL, PATH, STRING, UINT64
from kvorum.cli.shared.stdio import write_error
from kvorum.gotext import format_size

STATUS_HEADINGS = ("hash", "revision", "total keys", "total size")


@command("status", "FILE", "Show hash, revision, number of keys and size of a snapshot file")
def status(call: Call) -> None:
    show_status(call)


def show_status(call: Call) -> None:
    """Check the file and print its status."""
    from kvorum.ops.status import snapshot_status  # noqa: PLC0415 - help needs none of it

    if len(call.words) != 1:
        raise bad_args("snapshot status requires exactly one argument")
    form = call.text("write-out")
    check_form(form)
    with working("Checking") as work:
        found = snapshot_status(Path(call.words[0]), progress=work.bar.report)
    size = format_size(found.total_size_bytes)
    print_result(
        form,
        Result(
            cells=(f"{found.hash:x}", str(found.revision), str(found.total_keys), size),
            headings=STATUS_HEADINGS,
            json={
                "hash": found.hash,
                "revision": found.revision,
                "totalKey": found.total_keys,
                "totalSize": found.total_size_bytes,
            },
            fields={
                "Hash": found.hash,
                "Revision": found.revision,
                "Keys": found.total_keys,
                "Size": found.total_size_bytes,
            },
        ),
    )


def restore_flags(*, data_dir_required: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator with the flags of `snapshot restore`."""
    flags = (
        flag(
            "bump-revision",
            UINT64,
            0,
            "raise the newest revision by so much (with --mark-compacted)",
        ),
        flag(
            "data-dir",
            PATH,
            "",
            "data directory to make" + ("" if data_dir_required else "  [default: NAME.etcd]"),
            required=data_dir_required,
        ),
        flag(
            "initial-advertise-peer-urls",
            STRING,
            "http://localhost:2380",
            "peer URLs of this member  [default: http://localhost:2380]",
        ),
        flag(
            "initial-cluster",
            STRING,
            "default=http://localhost:2380",
            "NAME=URL of each member of the new cluster  [default: default=http://localhost:2380]",
        ),
        flag(
            "initial-cluster-token",
            STRING,
            "etcd-cluster",
            "what tells the new cluster from others  [default: etcd-cluster]",
        ),
        flag("mark-compacted", BOOL, False, "make watchers of older revisions begin anew"),
        flag("name", STRING, "default", "name of this member  [default: default]"),
        flag(
            "skip-hash-check",
            BOOL,
            False,
            "take a file without a hash (a copy of member/snap/db), or with a wrong one",
        ),
        flag("wal-dir", PATH, "", "directory for the log  [default: in --data-dir]"),
    )

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for add in flags:
            function = add(function)
        return function

    return decorate


@command(
    "restore",
    "FILE",
    "Make the data directory of a member of a new cluster from a snapshot file",
    "Every member of the new cluster is made from the same file, with the same --initial-cluster"
    " and --initial-cluster-token and its own --name. The file may also be a copy of member/snap/db"
    " of a stopped member, ours or stock's (with --skip-hash-check).",
)
@restore_flags(data_dir_required=True)
def restore(call: Call) -> None:
    run_restore(call)


def run_restore(call: Call) -> None:
    """Make the data directory."""
    from kvorum.ops.restore import RestoreOptions  # noqa: PLC0415 - help needs none of it
    from kvorum.ops.restore import restore as restore_snapshot  # noqa: PLC0415

    if len(call.words) != 1:
        raise bad_args("snapshot restore requires exactly one argument")
    name, wal_dir = call.text("name"), call.text("wal-dir")
    options = RestoreOptions(
        snapshot=Path(call.words[0]),
        data_dir=Path(call.text("data-dir") or f"{name}.etcd"),
        wal_dir=Path(wal_dir) if wal_dir else None,
        name=name,
        initial_cluster=call.text("initial-cluster"),
        initial_cluster_token=call.text("initial-cluster-token"),
        initial_advertise_peer_urls=call.text("initial-advertise-peer-urls"),
        skip_hash_check=call.on("skip-hash-check"),
        bump_revision=call.number("bump-revision"),
        mark_compacted=call.on("mark-compacted"),
    )
    with working("Restoring") as work:
        restore_snapshot(options, work.log, work.bar.report)


@command("save", "FILE", "Moved to etcdctl snapshot save", hidden=True)
def save(call: Call) -> None:
    write_error('Command "save" is deprecated, Use `etcdctl snapshot save` to download snapshot\n')
    raise bad_args("In order to download snapshot use: `etcdctl snapshot save ...`")
