"""`etcdctl snapshot status` and `restore`: deprecated names of what etcdutl does."""

from __future__ import annotations

from kvorum.cli.etcdutl.commands.snapshot import restore_flags, run_restore, show_status
from kvorum.cli.shared.cobra import Call, command
from kvorum.cli.shared.stdio import write_error


@command(
    "status",
    "FILE",
    "Show hash, revision, number of keys and size of a snapshot file (now etcdutl's)",
)
def status(call: Call) -> None:
    _tell_deprecated("status")
    show_status(call)


@command(
    "restore",
    "FILE",
    "Make the data directory of a member of a new cluster from a snapshot file (now etcdutl's)",
)
@restore_flags(data_dir_required=False)
def restore(call: Call) -> None:
    _tell_deprecated("restore")
    run_restore(call)


def _tell_deprecated(name: str) -> None:
    write_error(f"Deprecated: Use `etcdutl snapshot {name}` instead.\n\n")
