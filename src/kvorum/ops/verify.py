"""Whether the database, the log and the raft snapshots of a stopped member fit each other.

Works on directories of ours and of stock etcd, and changes nothing.

Source: shared facts, disk.md section 2 ("Consistency conditions") and section 6.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from kvorum.cluster import v2store
from kvorum.cluster.ids import hex_id
from kvorum.errors import ConfigError, CorruptionError, DecodeError, KvorumError
from kvorum.ops.logsummary import LogSummary, summarize_log
from kvorum.ops.stopped import StoppedMember
from kvorum.proto.raftpb import Snapshot
from kvorum.storage.buckets import CONSISTENT_INDEX, MEMBERS, META, decode_u64
from kvorum.storage.files import DatabaseFile
from kvorum.wal import WalSnapshot, read_snapshot
from kvorum.wal.segments import is_locked, list_segments

_Report = Callable[[Path, str], None]
_T = TypeVar("_T")


def verify_data_dir(data_dir: Path, wal_dir: Path | None = None) -> list[str]:
    """Check everything that a start relies on, and more.

    Args:
        data_dir: of a stopped member.
        wal_dir: where its log is, when it has been started with `--wal-dir`.

    Returns:
        What is wrong, each with the file's name and the reason; nothing: all is well.

    Raises:
        ConfigError: this is no data directory, or a member runs on it.
    """
    problems: list[str] = []

    def report(path: Path, reason: str) -> None:
        problems.append(f"{path}: {reason}")

    with StoppedMember(data_dir) as member:
        wal_dir = wal_dir or data_dir / "member" / "wal"
        for segment in list_segments(wal_dir) if wal_dir.is_dir() else []:
            if is_locked(segment.path):
                raise ConfigError(
                    f"{segment.path} is in use by a running member; stop that member first"
                )
        log = _attempt(lambda: summarize_log(wal_dir), wal_dir, report)
        snapshot = _check_snapshots(member.snap_dir, log, report)
        known = set() if snapshot is None else _members_of(snapshot)
        database = _attempt(member.open_database, member.database, report)
        if database is not None:
            with database:
                known |= _check_database(database, member.snap_dir, log, snapshot, report)
    if log is not None:
        known |= log.added_members
        if not log.metadata.NodeID:
            report(wal_dir, "the log does not say whose it is: it has no metadata record")
        elif known and log.metadata.NodeID not in known:
            report(
                wal_dir,
                f"the log is that of member {hex_id(log.metadata.NodeID)}, which neither the"
                " database nor a raft snapshot nor the log knows as a member",
            )
    return problems


def _attempt(act: Callable[[], _T], path: Path, report: _Report) -> _T | None:
    """What `act` gives; None, and a report, where it fails."""
    try:
        return act()
    except CorruptionError as error:
        where = Path(str(error.path))
        at = "" if error.offset is None else f"at offset {error.offset}: "
        report(where, f"{at}{error.reason}")
    except (KvorumError, OSError) as error:
        report(path, str(error))
    return None


def _check_snapshots(snap_dir: Path, log: LogSummary | None, report: _Report) -> Snapshot | None:
    """Check the `.snap` files; the newest one that the log knows of, the one a start would use."""
    newest: Snapshot | None = None
    for path in sorted(snap_dir.glob("*.snap")):
        snapshot = _attempt(partial(read_snapshot, path), path, report)
        if snapshot is None:
            continue
        place = snapshot.metadata
        if path.name != f"{place.term:016x}-{place.index:016x}.snap":
            report(path, f"it holds the snapshot of term {place.term}, index {place.index}")
        _attempt(partial(v2store.decode, snapshot.data or b""), path, report)
        if log is None:
            continue
        if any(WalSnapshot(place.index, place.term).matches(one) for one in log.snapshots):
            newest = snapshot
        elif log.first_index < place.index <= max((one.index for one in log.snapshots), default=0):
            # A newer one without a record was left by a crash between the two: it is not used.
            report(path, f"the log in {log.path} has no record of this snapshot")
    if log is not None:
        _check_log(log, newest, snap_dir, report)
    return newest


def _check_log(log: LogSummary, newest: Snapshot | None, snap_dir: Path, report: _Report) -> None:
    if log.state.commit > log.last_index:
        report(
            log.path,
            f"entries up to {log.state.commit} are known to be committed, but the log ends at"
            f" {log.last_index}",
        )
    if newest is not None and newest.metadata.index > log.state.commit:
        report(
            log.path,
            f"there is a snapshot at index {newest.metadata.index}, but only entries up to"
            f" {log.state.commit} are known to be committed",
        )
    if newest is None and log.first_index > 0:
        report(
            snap_dir,
            f"no snapshot that can be read and that the log knows of, and the log begins at index"
            f" {log.first_index}",
        )


def _check_database(
    database: DatabaseFile,
    snap_dir: Path,
    log: LogSummary | None,
    snapshot: Snapshot | None,
    report: _Report,
) -> set[int]:
    """Check the database; the ids of the members that it knows."""
    problems = database.check()
    for problem in problems:
        report(database.path, problem)
    if problems:
        return set()
    try:
        applied = decode_u64(database.get(META.name, CONSISTENT_INDEX) or bytes(8))
        members = {int(key, 16) for rows in database.rows(MEMBERS.name) for key, _ in rows}
    except (DecodeError, ValueError) as error:
        report(database.path, str(error))
        return set()
    except CorruptionError as error:
        report(database.path, error.reason)
        return set()
    if log is not None and applied > log.last_index:
        report(
            database.path,
            f"it has applied the log up to index {applied}, but the log ends at {log.last_index}",
        )
    index = 0 if snapshot is None else snapshot.metadata.index
    received = snap_dir / f"{index:016x}.snap.db"
    if applied < index and not received.exists():
        report(
            database.path,
            f"it has applied the log up to index {applied} only, but there is a snapshot at index"
            f" {index}",
        )
    return members


def _members_of(snapshot: Snapshot) -> set[int]:
    try:
        return set(v2store.decode(snapshot.data or b"").members)
    except DecodeError:
        return set()  # has been reported
