"""Opens a member's data directory, or makes a new one: everything that happens before it runs.

    member/wal/          the log                       (kvorum.wal)
    member/snap/*.snap   snapshots of the membership   (kvorum.wal)
    member/snap/db       keys, leases, membership      (kvorum.storage)

The database says how far it has applied the log (`consistent_index`). Entries behind that are
applied again from the log; entries up to it are not looked at, so a start costs what was written
since the last commit of the database and not the length of the log.

Source: shared facts, disk.md sections 1, 2 ("Fresh cluster contents") and 6.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from kvorum.cluster.ids import hex_id
from kvorum.cluster.members import Cluster
from kvorum.cluster.store import MembershipStore
from kvorum.errors import ConfigError, CorruptionError
from kvorum.proto.etcdserver_pb2 import Metadata
from kvorum.proto.raftpb import ConfState, HardState, Snapshot
from kvorum.raft import MemoryStorage
from kvorum.server.log import Logger
from kvorum.server.options import ServerOptions
from kvorum.storage import Backend
from kvorum.storage.buckets import CONF_STATE, CONSISTENT_INDEX, META
from kvorum.wal import SnapshotFiles, Wal, WalContents, WalSnapshot, valid_snapshot_entries

DIRECTORY_MODE = 0o700


@dataclass(slots=True)
class OpenedMember:
    """What a member's server is built from."""

    member_id: int
    cluster: Cluster
    backend: Backend
    wal: Wal
    snapshot_files: SnapshotFiles
    storage: MemoryStorage
    applied_index: int
    """The database has applied the log up to here."""
    snapshot_index: int
    is_new: bool

    def close(self) -> None:
        """Let go of everything, for a start that failed."""
        self.wal.close()
        self.backend.close()


def open_member(options: ServerOptions, log: Logger) -> OpenedMember:
    """Open the data directory, or start a new one.

    Raises:
        ConfigError: the directory cannot be used, or does not fit the options.
        CorruptionError: something in it is damaged.
    """
    snap_dir = options.data_dir / "member" / "snap"
    _make_directories(options.data_dir, snap_dir, options.wal_dir.parent)
    has_log = any(options.wal_dir.glob("*.wal"))
    database = snap_dir / "db"
    had_database = database.exists()
    files = SnapshotFiles(snap_dir)
    snapshot = None
    if has_log:
        snapshot = _newest_snapshot(options.wal_dir, files)
        if snapshot is not None and not had_database:
            raise CorruptionError(
                database,
                None,
                f"database file of the backend is missing, but there is a raft snapshot at index "
                f"{snapshot.metadata.index}",
                "restore the member from a backup, or remove it from the cluster and add it again "
                "with an empty data directory",
            )
    backend = Backend.open(
        database,
        batch_interval_s=options.batch_interval_s,
        batch_limit=options.batch_limit,
        fsync=options.fsync,
    )
    try:
        log.info("opened backend db", path=str(database))
        if has_log:
            return _reopen(options, backend, files, snapshot, log)
        if _consistent_index(backend):
            raise CorruptionError(
                options.wal_dir,
                None,
                "the log is missing beside a database that has been in use",
                "put the log back, or restore the member from a backup of the whole directory",
            )
        return _create(options, backend, files, log)
    except BaseException:
        backend.close()
        raise


def _newest_snapshot(wal_dir: Path, files: SnapshotFiles) -> Snapshot | None:
    """The newest snapshot that the log knows of.

    The log is read from there on, and only when the newest is not known (a crash between the file
    and its record) from further back.
    """
    for index in (files.newest_index(), files.oldest_index()):
        if index is not None:
            snapshot = files.load_newest(valid_snapshot_entries(wal_dir, from_index=index))
            if snapshot is not None:
                return snapshot
    return None


def _make_directories(*directories: Path) -> None:
    for directory in directories:
        try:
            directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"cannot access data directory: {directory}: {(error.strerror or '').lower()}; "
                "choose another --data-dir or make this one writable"
            ) from error


def _create(
    options: ServerOptions, backend: Backend, files: SnapshotFiles, log: Logger
) -> OpenedMember:
    plan, member = options.founding()
    log.info(
        "starting local member",
        local_member_id=hex_id(member.id),
        cluster_id=hex_id(plan.cluster_id),
    )
    metadata = Metadata(NodeID=member.id, ClusterID=plan.cluster_id).SerializeToString()
    wal = Wal.create(options.wal_dir, metadata, fsync=options.fsync)
    state, entries = plan.hard_state(), plan.entries()
    wal.save(state, entries, must_sync=True)
    storage = MemoryStorage()
    storage.append(entries)
    storage.set_hard_state(state)
    return OpenedMember(
        member_id=member.id,
        cluster=Cluster(plan.cluster_id, MembershipStore(backend)),
        backend=backend,
        wal=wal,
        snapshot_files=files,
        storage=storage,
        applied_index=0,
        snapshot_index=0,
        is_new=True,
    )


def _reopen(
    options: ServerOptions,
    backend: Backend,
    files: SnapshotFiles,
    snapshot: Snapshot | None,
    log: Logger,
) -> OpenedMember:
    start = WalSnapshot(0, 0)
    if snapshot is not None:
        start = WalSnapshot(snapshot.metadata.index, snapshot.metadata.term)
    wal, contents = Wal.open(options.wal_dir, start, fsync=options.fsync)
    try:
        metadata = Metadata.FromString(contents.metadata)
        log.info(
            "restarting local member",
            local_member_id=hex_id(metadata.NodeID),
            cluster_id=hex_id(metadata.ClusterID),
            commit_index=contents.hard_state.commit,
        )
        applied = _consistent_index(backend)
        state = _complete(options, wal, contents, start.index)
        storage = _storage(options, backend, snapshot, contents, state, applied)
        cluster = Cluster(metadata.ClusterID, MembershipStore(backend))
        cluster.restore()
        return OpenedMember(
            member_id=metadata.NodeID,
            cluster=cluster,
            backend=backend,
            wal=wal,
            snapshot_files=files,
            storage=storage,
            applied_index=applied,
            snapshot_index=start.index,
            is_new=False,
        )
    except BaseException:
        wal.close()
        raise


def _complete(
    options: ServerOptions, wal: Wal, contents: WalContents, snapshot_index: int
) -> HardState:
    """The stored state; the first entries are written now if a first start got no further."""
    if contents.entries or snapshot_index or contents.hard_state.term:
        return contents.hard_state
    plan, _ = options.founding()
    state = plan.hard_state()
    contents.entries.extend(plan.entries())
    wal.save(state, contents.entries, must_sync=True)
    return state


def _storage(
    options: ServerOptions,
    backend: Backend,
    snapshot: Snapshot | None,
    contents: WalContents,
    state: HardState,
    applied: int,
) -> MemoryStorage:
    """The log in memory, with the configuration that the database has applied."""
    snapshot_index = 0 if snapshot is None else snapshot.metadata.index
    last = contents.entries[-1].index if contents.entries else snapshot_index
    if applied < snapshot_index:
        raise CorruptionError(
            options.data_dir / "member" / "snap" / "db",
            None,
            f"database file (index {applied}) does not match with snapshot (index "
            f"{snapshot_index}): it is older",
            "restore the member from a backup, or remove it from the cluster and add it again",
        )
    if applied > last:
        raise CorruptionError(
            options.wal_dir,
            None,
            f"the log ends at index {last}, but the database has applied it up to {applied}",
            "the log has lost entries (was --unsafe-no-fsync used?): restore from a backup",
        )
    conf_state = _conf_state(backend) if applied else None
    storage = MemoryStorage(conf_state)
    if snapshot is not None:
        if conf_state is not None:
            # The database is ahead of the snapshot, and so is its configuration.
            snapshot.metadata.conf_state = conf_state
        storage.apply_snapshot(snapshot)
    storage.append(contents.entries)
    # What was applied was committed, whether or not the log has heard of it before the crash.
    storage.set_hard_state(HardState(state.term, state.vote, max(state.commit, applied)))
    return storage


def _consistent_index(backend: Backend) -> int:
    return int.from_bytes(backend.get(META, CONSISTENT_INDEX) or b"", "big")


def _conf_state(backend: Backend) -> ConfState:
    value = json.loads(backend.get(META, CONF_STATE) or b"{}")
    return ConfState(
        voters=value.get("voters") or [],
        learners=value.get("learners") or [],
        voters_outgoing=value.get("voters_outgoing") or [],
        learners_next=value.get("learners_next") or [],
        auto_leave=value.get("auto_leave", False),
    )


def encode_conf_state(state: ConfState) -> bytes:
    """A configuration as the bucket `meta` has it: empty lists are left out."""
    lists = {
        name: value
        for name in ("voters", "learners", "voters_outgoing", "learners_next")
        if (value := getattr(state, name))
    }
    return json.dumps({**lists, "auto_leave": state.auto_leave}, separators=(",", ":")).encode()
