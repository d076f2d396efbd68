"""Gives the directory of a stopped member of ours to stock etcd.

The database is written as bbolt. Stock etcd up to 3.5 reads the membership from the raft snapshot,
so a fresh one is made at the database's consistent index: then nothing that our presented version
wrote into the log needs to be read by an older etcd. The order, and what a crash leaves:

    1. `db.tmp.migrating`, the bbolt file, is written beside and durable
       leaves: ours, unchanged
    2. the log's state says that what is applied is committed; then the raft snapshot is written,
       and the log's record of it
       leaves: ours, with one raft snapshot more
    3. the bbolt file takes the name `db` (one rename)
       leaves: stock's

A member of ours starts on it before 3 and has everything; a stock one after 3.

The cluster's version is data too: stock etcd does not run below it. In a cluster of one it can be
lowered on the spot. In a larger one the other members would still go by the higher one, so it must
be lowered through the log; this is refused unless forced.

Source: shared facts, disk.md sections 2, 3, 5 and 6; refusals of stock tried with 3.4.23 and 3.5.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kvorum.cluster.members import Cluster
from kvorum.cluster.store import MembershipStore
from kvorum.cluster.versions import LOWERED_FIRST_SINCE
from kvorum.errors import ConfigError
from kvorum.ops.bolt_file import take_place, write_beside
from kvorum.ops.log_version import V3_4, V3_5, V3_6, oldest_reader
from kvorum.ops.stopped import StoppedMember
from kvorum.proto.etcdserver_pb2 import Metadata
from kvorum.proto.raftpb import HardState, Snapshot, SnapshotMetadata
from kvorum.proto.versions import Version
from kvorum.server.adoption import remove_work_files
from kvorum.server.clock import monotonic_s
from kvorum.server.log import Logger
from kvorum.server.stock_membership import MemoryBuckets
from kvorum.server.stored_state import (
    check_indexes,
    decode_conf_state,
    index_of,
    missing_log,
    newest_snapshot,
)
from kvorum.storage.buckets import (
    CLUSTER,
    CLUSTER_VERSION,
    CONF_STATE,
    CONSISTENT_INDEX,
    DOWNGRADE,
    MEMBERS,
    MEMBERS_REMOVED,
    META,
    STORAGE_VERSION,
    TERM,
    Bucket,
)
from kvorum.storage.files import DatabaseFile, Progress, Row
from kvorum.wal import SnapshotFiles, Wal, WalContents, WalSnapshot
from kvorum.wal.segments import list_segments

LOWEST: Final = V3_4
NEWEST: Final = V3_6


@dataclass(slots=True)
class _Opened:
    """The parts of the directory."""

    source: DatabaseFile
    wal: Wal
    contents: WalContents
    files: SnapshotFiles
    cluster: Cluster
    index: int
    """What the database has applied."""
    snapshot: Snapshot | None


def give_back(
    data_dir: Path,
    wal_dir: Path,
    target: Version | None,
    *,
    force: bool,
    log: Logger,
    progress: Progress | None,
) -> None:
    """See the module.

    Args:
        data_dir: of a member that does not run; its database is ours.
        wal_dir: its log.
        target: the version of the etcd that is going to run; None: the cluster's.
        force: lower the cluster's version in a cluster of several members, and go on though the
            log has entries that `target` does not know.
        log: what is done is told here.
        progress: told of the bytes written.

    Raises:
        ConfigError: a member runs on it, or it cannot be done; nothing was changed.
        CorruptionError: something in the directory is damaged.
    """
    begun_s = monotonic_s()
    with StoppedMember(data_dir) as member, member.open_database() as source:
        remove_work_files(member.snap_dir)
        opened = _open(source, member.snap_dir, wal_dir)
        try:
            version = _target(opened.cluster, target)
            log.info(
                "giving the data directory to stock etcd: its database is written as bbolt into a"
                " file beside, which then takes its place",
                path=str(member.database),
                size_bytes=source.size_bytes,
                target_version=version.short,
                consistent_index=opened.index,
            )
            _check_log(opened, version, force, log)
            lowers = _lower_cluster_version(opened.cluster, version, force, log)
            replaced = {
                CLUSTER: _cluster_rows(opened, version, lowers),
                META: _meta_rows(opened, version),
            }
            beside = write_beside(source, replaced, progress)
            _write_snapshot(opened)
        finally:
            opened.wal.close()
        take_place(beside, member.database)
        member.database.with_name("db-lock").unlink(missing_ok=True)
        for kept in sorted(member.snap_dir.glob("v2-data-*.json")):
            log.warn("version 2 data stays in its file; it is not put back", path=str(kept))
        log.info(
            "the data directory is stock etcd's",
            path=str(member.database),
            size_bytes=member.database.stat().st_size,
            took=f"{monotonic_s() - begun_s:.3f}s",
        )


def _open(source: DatabaseFile, snap_dir: Path, wal_dir: Path) -> _Opened:
    if not (wal_dir.is_dir() and list_segments(wal_dir)):
        raise missing_log(wal_dir)
    files = SnapshotFiles(snap_dir)
    snapshot = newest_snapshot(wal_dir, files)
    start = WalSnapshot()
    if snapshot is not None:
        start = WalSnapshot(snapshot.metadata.index, snapshot.metadata.term)
    index = index_of(source.get(META.name, CONSISTENT_INDEX), source.path)
    rows = MemoryBuckets()
    for bucket in (MEMBERS, MEMBERS_REMOVED, CLUSTER):
        for part in source.rows(bucket.name):
            for key, value in part:
                rows.put(bucket, key, value)
    wal, contents = Wal.open(wal_dir, start)
    try:
        check_indexes(
            source.path,
            wal_dir,
            applied=index,
            snapshot_index=start.index,
            last_index=contents.last_index,
        )
        cluster_id = Metadata.FromString(contents.metadata).ClusterID
        cluster = Cluster(cluster_id, MembershipStore(rows))
        cluster.restore()
    except BaseException:
        wal.close()
        raise
    return _Opened(source, wal, contents, files, cluster, index, snapshot)


def _target(cluster: Cluster, target: Version | None) -> Version:
    """The version that is going to run."""
    if target is None:
        return min(max((cluster.version or V3_5).cluster, LOWEST), NEWEST)
    if target < LOWEST:
        raise ConfigError(
            f'target version "{target.short}" not supported. Minimal "{LOWEST.short}"'
        )
    if target > NEWEST:
        raise ConfigError(f'target version "{target.short}" not supported. Newest "{NEWEST.short}"')
    return target.cluster


def _check_log(opened: _Opened, target: Version, force: bool, log: Logger) -> None:
    """Whether the entries that are not in the database yet are known to `target`."""
    tail = [entry for entry in opened.contents.entries if entry.index > opened.index]
    needed = oldest_reader(tail, of_values=True)
    if needed <= target:
        return
    text = (
        "cannot downgrade storage, WAL contains newer entries, as the target version"
        f" ({target}) is lower than the version ({needed}) detected from WAL logs"
    )
    if not force:
        raise ConfigError(
            f"{text}; start the member once more and stop it with SIGTERM: then they are in the"
            " database"
        )
    log.warn("going on, for it is forced", reason=text)


def _lower_cluster_version(cluster: Cluster, target: Version, force: bool, log: Logger) -> bool:
    """Bring the cluster's version to `target` if it is above; whether that was so."""
    version = cluster.version
    if version is None or version <= target:
        return False
    count = len(cluster.members())
    if count > 1 and not force:
        follow = ""
        if version < LOWERED_FIRST_SINCE:
            follow = f" and a restart of each with --emulated-version={target.short}"
        raise ConfigError(
            f"the cluster is at version {version.short}, and etcd {target.short} does not run in"
            f" it: its {count} members must agree on lowering it, by `etcdctl downgrade enable"
            f" {target.short}` while they run{follow}. If all of them are stopped and all of them"
            " are going to be given back before one is started, --force lowers it here"
        )
    log.info("lowering the cluster version", from_=version.short, to=target.short, members=count)
    cluster.set_version(target)
    return True


def _cluster_rows(opened: _Opened, target: Version, lowers: bool) -> list[Row]:
    rows = _rows(opened.source, CLUSTER)
    if opened.cluster.version is not None:
        rows[CLUSTER_VERSION] = str(opened.cluster.version).encode()
    if lowers or target < V3_5:
        rows.pop(DOWNGRADE, None)
    return sorted(rows.items())


def _meta_rows(opened: _Opened, target: Version) -> list[Row]:
    rows = _rows(opened.source, META)
    if target < V3_6:
        rows.pop(STORAGE_VERSION, None)
    if target < V3_5:
        # It would not keep them up to date, and whoever reads them later would believe them.
        rows.pop(TERM, None)
        rows.pop(CONF_STATE, None)
    return sorted(rows.items())


def _rows(source: DatabaseFile, bucket: Bucket) -> dict[bytes, bytes]:
    return {key: value for part in source.rows(bucket.name) for key, value in part}


def _write_snapshot(opened: _Opened) -> None:
    """A raft snapshot of the membership as it is in the database, known to the log."""
    index = opened.index
    if not index:
        return  # nothing is applied; all of the log is
    stored = decode_conf_state(opened.source.get(META.name, CONF_STATE))
    state = stored if stored.voters else opened.cluster.conf_state()
    term = _term(opened)
    written = opened.contents.hard_state
    if written.commit < index:
        # The log's record of a snapshot counts only up to the commit index that the log knows.
        opened.wal.save(HardState(written.term, written.vote, index), (), must_sync=True)
    metadata = SnapshotMetadata(state, index, term)
    opened.files.save(Snapshot(opened.cluster.encode_v2(), metadata))
    opened.wal.save_snapshot(WalSnapshot(index, term, state))


def _term(opened: _Opened) -> int:
    """Of the entry at the consistent index."""
    entries = opened.contents.entries
    if entries and opened.index >= entries[0].index:
        return entries[opened.index - entries[0].index].term
    assert opened.snapshot is not None
    assert opened.snapshot.metadata.index == opened.index
    return opened.snapshot.metadata.term
