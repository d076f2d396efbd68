"""What the log, the raft snapshots and the database of a stopped member say, and whether it fits.

Shared by those who open a data directory: a start (`opening`), the adoption of a directory of stock
etcd (`adoption`), and the tools.
"""

from __future__ import annotations

import json
from pathlib import Path

from kvorum.cluster import gojson
from kvorum.errors import ConfigError, CorruptionError, DecodeError
from kvorum.proto.raftpb import ConfState, Snapshot
from kvorum.storage.buckets import decode_u64
from kvorum.wal import SnapshotFiles, valid_snapshot_entries

_LISTS = ("voters", "learners", "voters_outgoing", "learners_next")


def newest_snapshot(wal_dir: Path, files: SnapshotFiles) -> Snapshot | None:
    """The newest snapshot that the log knows of.

    The log is read from there on, and only when the newest is not known (a crash between the file
    and its record) from further back.

    Raises:
        CorruptionError: the log is damaged.
    """
    for index in (files.newest_index(), files.oldest_index()):
        if index is not None:
            snapshot = files.load_newest(valid_snapshot_entries(wal_dir, from_index=index))
            if snapshot is not None:
                return snapshot
    return None


def missing_database(database: Path, snapshot_index: int) -> CorruptionError:
    """What to raise where a raft snapshot says that there must be a database."""
    return CorruptionError(
        database,
        None,
        f"database file of the backend is missing, but there is a raft snapshot at index "
        f"{snapshot_index}",
        "restore the member from a backup, or remove it from the cluster and add it again "
        "with an empty data directory",
    )


def missing_log(wal_dir: Path) -> CorruptionError:
    """What to raise where a database says that there must be a log."""
    return CorruptionError(
        wal_dir,
        None,
        "the log is missing beside a database that has been in use",
        "put the log back, or restore the member from a backup of the whole directory",
    )


def check_indexes(
    database: Path, wal_dir: Path, *, applied: int, snapshot_index: int, last_index: int
) -> None:
    """Refuse a database that the log cannot carry on from.

    Args:
        database: for the text.
        wal_dir: for the text.
        applied: the database has applied the log up to here.
        snapshot_index: the log is read from here on.
        last_index: ... to here.

    Raises:
        CorruptionError
    """
    if applied < snapshot_index:
        raise CorruptionError(
            database,
            None,
            f"database file (index {applied}) does not match with snapshot (index "
            f"{snapshot_index}): it is older",
            "restore the member from a backup, or remove it from the cluster and add it again",
        )
    if applied > last_index:
        raise CorruptionError(
            wal_dir,
            None,
            f"the log ends at index {last_index}, but the database has applied it up to {applied}",
            "the log has lost entries (was --unsafe-no-fsync used?): restore from a backup",
        )


def check_auth(value: bytes | None, database: Path) -> None:
    """Refuse data that is protected by users and roles, which are not enforced here yet.

    Args:
        value: of the row `authEnabled`.
        database: for the text.

    Raises:
        ConfigError
    """
    if value == b"\x01":
        raise ConfigError(
            f"{database}: authentication is enabled, and this version of Kvorum would let everybody"
            " in; run `etcdctl auth disable` with the etcd that wrote it first"
        )


def index_of(value: bytes | None, database: Path) -> int:
    """The number in a row like `consistent_index`; 0 when there is no row.

    Raises:
        CorruptionError: it is no number.
    """
    if value is None:
        return 0
    try:
        return decode_u64(value)
    except DecodeError as error:
        raise CorruptionError(database, None, str(error)) from error


def decode_conf_state(data: bytes | None) -> ConfState:
    """A configuration from the bucket `meta`; empty when there is no row.

    Raises:
        DecodeError: it is none.
    """
    value = gojson.loads_object(data or b"{}", "the database's confState")
    return ConfState(
        voters=value.get("voters") or [],
        learners=value.get("learners") or [],
        voters_outgoing=value.get("voters_outgoing") or [],
        learners_next=value.get("learners_next") or [],
        auto_leave=value.get("auto_leave", False),
    )


def encode_conf_state(state: ConfState) -> bytes:
    """A configuration as the bucket `meta` has it: empty lists are left out."""
    lists = {name: value for name in _LISTS if (value := getattr(state, name))}
    return json.dumps({**lists, "auto_leave": state.auto_leave}, separators=(",", ":")).encode()
