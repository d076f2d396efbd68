"""Takes a data directory over that stock etcd wrote, before anything in it is opened.

Log and raft snapshots have the same format with us; only the database `member/snap/db` is bbolt
there and LMDB here. So adopting a directory is making one new file and giving it the old one's
name. What a crash at any point must find:

    1. nothing that stock etcd wrote has been changed; `db.tmp.adopting` is being written beside
    2. the new file is complete and durable; stock's directory is still as it was
    3. the new file has the name `db` (one rename): the directory is ours

Before 3 stock etcd starts on the directory, and it removes the file beside by itself (its name is
that of stock's own work files); after 3 we do. There is nothing in between. Everything that could
make the start fail afterwards is looked at before 1, so that a directory which we cannot serve
stays stock's.

The flock on the old database is taken as long as the caller wants it, so that a stock member that
waits for it cannot run on a file that has no name any more: see `adopt`.

Source: shared facts, disk.md sections 1, 5, 6 and 9.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kvorum.cluster.ids import hex_id
from kvorum.cluster.versions import check_not_downgraded
from kvorum.durable import fsync_directory
from kvorum.errors import ConfigError, CorruptionError, DecodeError
from kvorum.proto.etcdserver_pb2 import Metadata
from kvorum.proto.raftpb import Entry, Snapshot
from kvorum.proto.versions import Version
from kvorum.server.clock import monotonic_s
from kvorum.server.log import Logger
from kvorum.server.stock_membership import MemoryBuckets, StockState, read_state
from kvorum.server.stored_state import (
    check_auth,
    check_indexes,
    encode_conf_state,
    index_of,
    missing_database,
    missing_log,
    newest_snapshot,
)
from kvorum.storage.backend import LOCK_WAIT_S
from kvorum.storage.bbolt import BoltFile, is_bolt
from kvorum.storage.buckets import (
    AUTH,
    AUTH_ENABLED,
    BUCKETS,
    CLUSTER,
    CLUSTER_VERSION,
    CONF_STATE,
    CONSISTENT_INDEX,
    MEMBERS,
    MEMBERS_REMOVED,
    META,
    STORAGE_VERSION,
    TERM,
    Bucket,
    encode_u64,
)
from kvorum.storage.bulk import BulkWriter, ProgressMeter
from kvorum.storage.dirlock import FileLock
from kvorum.storage.files import Progress, Row
from kvorum.wal import SnapshotFiles, WalSnapshot, read_wal
from kvorum.wal.segments import is_locked, list_segments

WORK_PREFIX: Final = "db.tmp"
"""Files beside the database that are being made; stock etcd removes what begins so when it starts,
and so do we."""
ADOPTING: Final = f"{WORK_PREFIX}.adopting"
LOG_INTERVAL_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptionOptions:
    """What to adopt, and on which terms."""

    data_dir: Path
    wal_dir: Path
    version: Version | None = None
    """What the member will present itself as; None: nothing is going to run now."""
    skip_v2_check: bool = False
    """Go on though there is version-2 data; it is kept in a file beside the database."""
    lock_wait_s: float = LOCK_WAIT_S

    @property
    def snap_dir(self) -> Path:
        return self.data_dir / "member" / "snap"

    @property
    def database(self) -> Path:
        return self.snap_dir / "db"


@dataclass(slots=True)
class _Plan:
    """What the new database will say where it does not say what the old one says."""

    rows: dict[Bucket, list[Row]]
    state: StockState
    consistent_index: int
    snapshot_index: int


def adopt(
    options: AdoptionOptions, log: Logger, *, progress: Progress | None = None
) -> FileLock | None:
    """Adopt the directory if stock etcd wrote it; does nothing to one of ours or a new one.

    Args:
        options: what to adopt.
        log: what happens is told here.
        progress: told of the bytes copied; None: the log is told.

    Returns:
        The lock on stock's database, which has no name any more. To be released when the log is
        locked by the caller; None: there was nothing to adopt, or nothing to lock.

    Raises:
        ConfigError: it is in use, there is no room, or it holds what Kvorum does not serve.
        DowngradeError: its cluster is at a higher version than the member is to be.
        CorruptionError: something in it is damaged or missing.
    """
    database = options.database
    if not (is_bolt(database) or _is_left_with_received(options)):
        return None
    lock = _locked(options)
    if lock is None and database.exists():
        return None
    try:
        remove_work_files(options.snap_dir)
        _adopt(options, log, progress)
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    return lock


def remove_work_files(snap_dir: Path) -> None:
    """Remove what a process that was killed left beside the database. The caller has its lock."""
    for path in snap_dir.glob(f"{WORK_PREFIX}*"):
        path.unlink(missing_ok=True)


def _is_left_with_received(options: AdoptionOptions) -> bool:
    """Whether there is no database but one that a leader sent to a stock member."""
    if options.database.exists():
        return False
    return any(is_bolt(path) for path in options.snap_dir.glob("*.snap.db"))


def _locked(options: AdoptionOptions) -> FileLock | None:
    """The lock on stock's database; None: there is none, or somebody else has just adopted it."""
    database = options.database
    if database.exists():
        lock = FileLock(database, wait_s=options.lock_wait_s)
        if is_bolt(database):
            return lock
        lock.release()
        return None
    segments = list_segments(options.wal_dir) if options.wal_dir.is_dir() else []
    if segments and is_locked(segments[-1].path):
        raise ConfigError(
            f"{options.wal_dir} is in use by another process; stop that process, or give this"
            " member a data directory of its own"
        )
    return None


def _adopt(options: AdoptionOptions, log: Logger, progress: Progress | None) -> None:
    has_log = options.wal_dir.is_dir() and bool(list_segments(options.wal_dir))
    files = SnapshotFiles(options.snap_dir)
    snapshot = newest_snapshot(options.wal_dir, files) if has_log else None
    if snapshot is None and not options.database.exists():
        return
    path = _database_of(options, snapshot)
    begun_s = monotonic_s()
    target = options.snap_dir / ADOPTING
    with BoltFile.open(path, lock=False) as source:
        plan = _plan(options, source, snapshot, has_log=has_log)
        _tell_begin(log, options, source, plan)
        if plan.state.v2.keys():
            _keep_v2_data(options, plan, log)
        try:
            _copy(source, target, plan, progress or logged(log))
        except OSError as error:
            raise ConfigError(
                f"{options.database} could not be adopted: {error}; nothing was changed. Make room"
                f" for about {source.size_bytes} bytes and start again"
            ) from error
        size_bytes = source.size_bytes
    target.rename(options.database)
    fsync_directory(options.snap_dir)
    if path != options.database:
        path.unlink(missing_ok=True)
    log.info(
        "adopted the data directory of stock etcd",
        path=str(options.database),
        from_bytes=size_bytes,
        to_bytes=options.database.stat().st_size,
        took=f"{monotonic_s() - begun_s:.3f}s",
    )


def _database_of(options: AdoptionOptions, snapshot: Snapshot | None) -> Path:
    """The database to adopt: the one that a leader sent, where it is the newer one.

    A member that was behind got it as a file beside, and a crash came before it had taken the
    database's name. Raises CorruptionError where there is neither.
    """
    database = options.database
    if snapshot is None:
        return database
    wanted = snapshot.metadata.index
    if database.exists():
        with BoltFile.open(database, lock=False) as file:
            if index_of(file.get(META.name, CONSISTENT_INDEX), database) >= wanted:
                return database
    received = options.snap_dir / f"{wanted:016x}.snap.db"
    if is_bolt(received):
        return received
    if not database.exists():
        raise missing_database(database, wanted)
    return database  # which is refused, in words, when its index is looked at


def _plan(
    options: AdoptionOptions, source: BoltFile, snapshot: Snapshot | None, *, has_log: bool
) -> _Plan:
    """Look at everything that there is, and refuse what cannot be served."""
    known = {bucket.name for bucket in BUCKETS}
    for name in source.bucket_names():
        if name not in known:
            raise ConfigError(
                f"{source.path} has a bucket {name.decode(errors='backslashreplace')!r} that etcd"
                " does not have, so it is not etcd's database"
            )
    check_auth(source.get(AUTH.name, AUTH_ENABLED), source.path)
    index = index_of(source.get(META.name, CONSISTENT_INDEX), source.path)
    start = WalSnapshot()
    if snapshot is not None:
        start = WalSnapshot(snapshot.metadata.index, snapshot.metadata.term)
    cluster_id, entries = 0, list[Entry]()
    if has_log:
        contents = read_wal(options.wal_dir, start)
        cluster_id = Metadata.FromString(contents.metadata).ClusterID
        entries = contents.entries
        check_indexes(
            source.path,
            options.wal_dir,
            applied=index,
            snapshot_index=start.index,
            last_index=contents.last_index,
        )
    elif index:
        raise missing_log(options.wal_dir)
    try:
        state = read_state(cluster_id, snapshot, entries, index, _authority(source))
    except DecodeError as error:
        raise CorruptionError(options.data_dir, None, str(error)) from error
    _check_servable(options, state)
    rows = {bucket: state.buckets.rows(bucket) for bucket in (MEMBERS, MEMBERS_REMOVED)}
    rows[CLUSTER] = _cluster_rows(source, state)
    rows[META] = _meta_rows(source, state, index)
    return _Plan(rows, state, index, start.index)


def _authority(source: BoltFile) -> MemoryBuckets | None:
    """The membership's rows where they can be trusted: from 3.6 on."""
    if source.get(META.name, STORAGE_VERSION) is None:
        return None
    buckets = MemoryBuckets()
    for bucket in (MEMBERS, MEMBERS_REMOVED, CLUSTER):
        for part in source.rows(bucket.name):
            for key, value in part:
                buckets.put(bucket, key, value)
    return buckets


def _check_servable(options: AdoptionOptions, state: StockState) -> None:
    if options.version is not None:
        check_not_downgraded(options.version, state.cluster.version)
    if state.unknown:
        raise ConfigError(
            f"{options.wal_dir}: the log holds requests that are not applied yet and that this"
            f" version of Kvorum does not know ({', '.join(sorted(set(state.unknown)))}); nothing"
            " was changed. Start the etcd that wrote it once more and stop it with SIGTERM: then"
            " they are in the database"
        )
    if state.v2.keys() and not options.skip_v2_check:
        raise ConfigError(
            f"{options.data_dir} holds version 2 data, which Kvorum does not serve:"
            f" {state.v2.summary()}; nothing was changed. Export and delete it with the etcd that"
            " wrote it (3.5 or older with --enable-v2, and `ETCDCTL_API=2 etcdctl`), or start with"
            " --v2-deprecation=write-only-skip-check: then it is kept in a file beside the database"
        )


def _cluster_rows(source: BoltFile, state: StockState) -> list[Row]:
    rows = {key: value for part in source.rows(CLUSTER.name) for key, value in part}
    rows.pop(CLUSTER_VERSION, None)
    rows |= dict(state.buckets.rows(CLUSTER))
    return sorted(rows.items())


def _meta_rows(source: BoltFile, state: StockState, index: int) -> list[Row]:
    rows = {key: value for part in source.rows(META.name) for key, value in part}
    rows.pop(CONF_STATE, None)
    rows.pop(TERM, None)
    if index:
        rows[CONF_STATE] = encode_conf_state(state.conf_state())
        rows[TERM] = encode_u64(state.term)
    return sorted(rows.items())


def _copy(source: BoltFile, target: Path, plan: _Plan, progress: Progress) -> None:
    meter = ProgressMeter(source.size_bytes, progress)
    with BulkWriter(target) as writer:
        for bucket in BUCKETS:
            if bucket in plan.rows:
                writer.add(bucket, plan.rows[bucket])
                continue
            for rows in source.rows(bucket.name):
                writer.add(bucket, rows)
                meter.note(rows)
        writer.finish()
    meter.end()


def _keep_v2_data(options: AdoptionOptions, plan: _Plan, log: Logger) -> None:
    """Write version-2 data to a file beside the database; durable on return."""
    path = options.snap_dir / f"v2-data-{plan.consistent_index:016x}.json"
    temporary = path.with_name(f"{WORK_PREFIX}.v2-data")
    with open(temporary, "wb", opener=_private) as file:
        file.write(plan.state.v2.encode(plan.snapshot_index))
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    fsync_directory(options.snap_dir)
    log.warn(
        "version 2 data is not served; it is kept in a file",
        path=str(path),
        found=plan.state.v2.summary(),
    )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _tell_begin(log: Logger, options: AdoptionOptions, source: BoltFile, plan: _Plan) -> None:
    log.info(
        "found a data directory of stock etcd, adopting it: its database is copied into a file of"
        " Kvorum's format, which then takes its place; the log and the raft snapshots stay",
        path=str(source.path),
        size_bytes=source.size_bytes,
        storage_version=storage_version(source.get),
        cluster_id=hex_id(plan.state.cluster.id),
        cluster_version=str(plan.state.cluster.version or "not decided"),
        members=[hex_id(member.id) for member in plan.state.cluster.members()],
        consistent_index=plan.consistent_index,
        snapshot_index=plan.snapshot_index,
        back=f"etcdutl migrate --data-dir {options.data_dir} --format stock",
    )


def storage_version(get: Callable[[bytes, bytes], bytes | None]) -> str:
    """The version of etcd by which a database is written: `3.4` stands for that and older ones."""
    stored = get(META.name, STORAGE_VERSION)
    if stored is not None:
        return stored.decode(errors="replace")
    term = get(META.name, TERM)
    return "3.5" if term is not None and any(term) else "3.4"


def logged(log: Logger) -> Progress:
    """Tells the log how far it is, at most once in `LOG_INTERVAL_S`."""
    last_s = monotonic_s()

    def tell(done: int, total: int) -> None:
        nonlocal last_s
        now_s = monotonic_s()
        if now_s - last_s >= LOG_INTERVAL_S:
            last_s = now_s
            log.info(
                "adopting the database",
                progress=f"{100 * done // max(total, 1)}%",
                bytes_done=done,
                bytes_total=total,
            )

    return tell
