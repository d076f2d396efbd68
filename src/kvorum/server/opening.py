"""Opens a member's data directory, or makes a new one: everything that happens before it runs.

    member/wal/          the log                       (kvorum.wal)
    member/snap/*.snap   snapshots of the membership   (kvorum.wal)
    member/snap/db       keys, leases, membership      (kvorum.storage)

The database says how far it has applied the log (`consistent_index`). Entries behind that are
applied again from the log; entries up to it are not looked at, so a start costs what was written
since the last commit of the database and not the length of the log.

A directory of stock etcd is adopted first (`adoption`).

Source: shared facts, disk.md sections 1, 2 ("Fresh cluster contents") and 6.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kvorum.cluster.ids import hex_id
from kvorum.cluster.members import Cluster
from kvorum.cluster.store import MembershipStore
from kvorum.durable import fsync_directory
from kvorum.errors import ConfigError
from kvorum.proto.etcdserver_pb2 import Metadata
from kvorum.proto.raftpb import HardState, Snapshot
from kvorum.raft import MemoryStorage
from kvorum.server.adoption import AdoptionOptions, adopt, remove_work_files
from kvorum.server.defrag_at_start import defragment_at_start
from kvorum.server.forced import force_new_cluster
from kvorum.server.log import Logger
from kvorum.server.options import ServerOptions
from kvorum.server.receiving import (
    received_database,
    remove_unfinished,
    remove_unused,
    use_database,
)
from kvorum.server.stored_state import (
    check_auth,
    check_indexes,
    decode_conf_state,
    index_of,
    missing_database,
    missing_log,
    newest_snapshot,
)
from kvorum.storage import Backend
from kvorum.storage.buckets import AUTH, AUTH_ENABLED, CONF_STATE, CONSISTENT_INDEX, META
from kvorum.wal import SnapshotFiles, Wal, WalContents, WalSnapshot

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
    remotes: tuple[tuple[int, tuple[str, ...]], ...] = ()
    """Members and peer URLs of the cluster that is joined, until the log tells of them."""

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
    _make_directories(options.data_dir, snap_dir, options.wal_dir.parent, fsync=options.fsync)
    stock_lock = adopt(
        AdoptionOptions(
            data_dir=options.data_dir,
            wal_dir=options.wal_dir,
            version=options.version,
            skip_v2_check=options.skip_v2_check,
        ),
        log,
    )
    try:
        return _open(options, snap_dir, log)
    finally:
        if stock_lock is not None:
            stock_lock.release()


def _open(options: ServerOptions, snap_dir: Path, log: Logger) -> OpenedMember:
    has_log = any(options.wal_dir.glob("*.wal"))
    database = snap_dir / "db"
    had_database = database.exists()
    files = SnapshotFiles(snap_dir)
    snapshot = None
    if has_log:
        snapshot = newest_snapshot(options.wal_dir, files)
        if snapshot is not None and not had_database:
            raise missing_database(database, snapshot.metadata.index)
    backend = Backend.open(
        database,
        batch_interval_s=options.batch_interval_s,
        batch_limit=options.batch_limit,
        fsync=options.fsync,
    )
    try:
        remove_work_files(snap_dir)
        _use_received(backend, snap_dir, snapshot, log)
        remove_unused(snap_dir)
        check_auth(backend.get(AUTH, AUTH_ENABLED), database)
        log.info("opened backend db", path=str(database))
        defragment_at_start(backend, options.defrag_at_start_bytes, log)
        if has_log:
            return _reopen(options, backend, files, snapshot, log)
        if index_of(backend.get(META, CONSISTENT_INDEX), database):
            raise missing_log(options.wal_dir)
        return _create(options, backend, files, log)
    except BaseException:
        backend.close()
        raise


def _use_received(backend: Backend, snap_dir: Path, snapshot: Snapshot | None, log: Logger) -> None:
    """Put a leader's database in its place, if the last run got no further than receiving it."""
    if snapshot is None:
        return
    index = snapshot.metadata.index
    received = received_database(snap_dir, index)
    if index_of(backend.get(META, CONSISTENT_INDEX), backend.path) >= index:
        return
    if received.exists():
        log.info("using the database of a received snapshot", snapshot_index=index)
        use_database(backend, Cluster(0, MembershipStore(backend)), received, snapshot)


def _make_directories(*directories: Path, fsync: bool) -> None:
    """Make what is not there, and the names of it durable; for nobody else, as etcd does."""
    for directory in directories:
        missing = [one for one in (directory, *directory.parents) if not one.exists()]
        try:
            for one in reversed(missing):
                one.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            directory.mkdir(exist_ok=True)  # which says so when it is a file
        except OSError as error:
            raise ConfigError(
                f"cannot access data directory: {directory}: {(error.strerror or '').lower()}; "
                "choose another --data-dir or make this one writable"
            ) from error
        for one in missing if fsync else ():
            with suppress(OSError):  # not everybody may read the parent of a data directory
                fsync_directory(one.parent)


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
    if entries:
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
        remotes=tuple((one.id, one.peer_urls) for one in plan.members if not entries),
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
        applied = index_of(backend.get(META, CONSISTENT_INDEX), options.wal_dir)
        state = _complete(options, wal, contents, start.index)
        if options.force_new_cluster:
            known = None if snapshot is None else snapshot.metadata.conf_state
            state = force_new_cluster(
                wal,
                contents,
                state,
                member_id=metadata.NodeID,
                known=decode_conf_state(backend.get(META, CONF_STATE)) if applied else known,
                applied=applied or start.index,
                log=log,
            )
        storage = _storage(options, backend, snapshot, contents, state, applied)
        remove_unfinished(options.data_dir / "member" / "snap", start.index)
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
    if contents.entries or snapshot_index or contents.hard_state.term or options.joins:
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
    check_indexes(
        options.data_dir / "member" / "snap" / "db",
        options.wal_dir,
        applied=applied,
        snapshot_index=snapshot_index,
        last_index=last,
    )
    conf_state = decode_conf_state(backend.get(META, CONF_STATE)) if applied else None
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
