"""What the tests of backups ask of members and files, whoever wrote them."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvorum.storage.files import open_database
from kvorum.storage.snapshot_stream import SnapshotStream
from tests.stock import BinDir, require_stock_35

COMMAND_S = 60
Rows = dict[bytes, list[tuple[bytes, bytes]]]
# Rows of `meta` that are the member's own, not the data's.
OWN_META = {b"consistent_index", b"term", b"confState"}
OWN_BUCKETS = {b"members", b"members_removed", b"meta"}


def run(binary: Path, *args: object, ok: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a stock program; with `ok`, it must succeed."""
    done = subprocess.run(
        [str(binary), *map(str, args)],
        env={"PATH": os.defpath, "ETCDCTL_API": "3"},
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert not ok or done.returncode == 0, f"{args}: {done.stderr or done.stdout}"
    return done


@dataclass(frozen=True, slots=True)
class Seen:
    """What clients see of a member: everything that a backup must bring back."""

    keys: list[dict[str, Any]]
    leases: list[int]
    revision: int
    hash_kv: int


def seen(client_url: str) -> Seen:
    """Ask a member of any kind, by stock's etcdctl."""
    etcdctl = require_stock_35().etcdctl

    def ask(*args: str) -> Any:
        return json.loads(run(etcdctl, f"--endpoints={client_url}", *args, "-w", "json").stdout)

    got = ask("get", "", "--from-key")
    leases = ask("lease", "list").get("leases") or []
    (hashed,) = ask("endpoint", "hashkv")
    return Seen(
        keys=got.get("kvs") or [],
        leases=sorted(int(lease["id"]) for lease in leases),
        revision=int(got["header"]["revision"]),
        hash_kv=int(hashed["HashKV"]["hash"]),
    )


def rows_of(path: Path) -> Rows:
    """All rows of a database file."""
    with open_database(path) as database:
        return {
            name: [row for part in database.rows(name) for row in part]
            for name in database.bucket_names()
        }


def data_rows(path: Path) -> Rows:
    """The rows that a restore must leave alone; of `meta` those that are not the member's own."""
    rows = rows_of(path)
    kept = {name: found for name, found in rows.items() if name not in OWN_BUCKETS}
    kept[b"meta"] = [row for row in rows.get(b"meta", []) if row[0] not in OWN_META]
    return kept


def stock_snapshot(database: Path, snapshot: Path) -> Path:
    """Write the database of a stopped member as a snapshot file."""
    with open_database(database) as source, snapshot.open("wb") as file:
        file.writelines(SnapshotStream(source).pieces())
    return snapshot


def stock_restore(
    bin_dir: BinDir, snapshot: Path, data_dir: Path, name: str, peer_url: str
) -> None:
    """Stock's own restore, of the version that has it: etcdutl of 3.5, etcdctl of 3.4."""
    program = bin_dir.etcdutl if bin_dir.etcdutl.exists() else bin_dir.etcdctl
    run(
        program, "snapshot", "restore", snapshot, "--data-dir", data_dir, "--name", name,
        "--initial-cluster", f"{name}={peer_url}", "--initial-advertise-peer-urls", peer_url,
    )  # fmt: skip


def stock_status(snapshot: Path) -> dict[str, Any]:
    """Stock's `snapshot status -w json`."""
    etcdutl = require_stock_35().etcdutl
    found = json.loads(run(etcdutl, "snapshot", "status", snapshot, "-w", "json").stdout)
    assert isinstance(found, dict)
    return found
