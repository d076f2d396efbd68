"""Data directories like those of stock etcd, made by hand: a log, raft snapshots, a bbolt file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kvorum.cluster import v2store
from kvorum.cluster.member import Member
from kvorum.cluster.members import add_change
from kvorum.proto.etcdserver_pb2 import Metadata
from kvorum.proto.etcdserver_pb2 import Request as V2Request
from kvorum.proto.kv_pb2 import KeyValue
from kvorum.proto.raft_internal_pb2 import InternalRaftRequest
from kvorum.proto.raftpb import (
    ConfChange,
    ConfState,
    Entry,
    EntryType,
    HardState,
    Snapshot,
    SnapshotMetadata,
)
from kvorum.proto.rpc_pb2 import PutRequest
from kvorum.proto.versions import Version
from kvorum.storage.bbolt import BoltLayout
from kvorum.storage.buckets import (
    BUCKETS,
    CONSISTENT_INDEX,
    KEY,
    META,
    TERM,
    Bucket,
    encode_u64,
    revision_key,
)
from kvorum.wal import SnapshotFiles, Wal, WalSnapshot

CLUSTER_ID = 0xC1
OWN = Member(id=0xA1, peer_urls=("http://127.0.0.1:2380",), name="m1")
OTHER = Member(id=0xA2, peer_urls=("http://127.0.0.1:2480",), name="m2")
TERM_NOW = 2

Rows = Mapping[Bucket, Mapping[bytes, bytes]]


NOTHING: Mapping[bytes, Mapping[bytes, bytes]] = {}


def write_bolt(
    path: Path, rows: Rows, *, more: Mapping[bytes, Mapping[bytes, bytes]] = NOTHING
) -> None:
    """A bbolt file with all of etcd's buckets, and `more` of other names."""
    named = {bucket.name: rows.get(bucket, {}) for bucket in BUCKETS} | dict(more)
    layout = BoltLayout([(name, _source(named[name])) for name in sorted(named)])
    path.write_bytes(b"".join(layout.chunks()))


def _source(rows: Mapping[bytes, bytes]) -> Callable[[], Iterator[list[tuple[bytes, bytes]]]]:
    return lambda: iter((sorted(rows.items()),))


@dataclass
class StockDirectory:
    """Entries are added in order; `write` makes the files."""

    path: Path
    entries: list[Entry] = field(default_factory=list)
    keys: dict[bytes, bytes] = field(default_factory=dict)
    """Rows of the bucket `key`."""
    rows: dict[Bucket, dict[bytes, bytes]] = field(default_factory=dict)
    """More rows."""
    applied: int | None = None
    """Consistent index; None: all of the log."""
    commit: int | None = None
    snapshot_at: int = 0
    snapshot_data: bytes | None = None
    snapshot_conf: ConfState = field(default_factory=lambda: ConfState(voters=[OWN.id]))
    version: str = "3.5"

    def __post_init__(self) -> None:
        self.change(add_change(0, OWN))

    @property
    def snap_dir(self) -> Path:
        return self.path / "member" / "snap"

    @property
    def wal_dir(self) -> Path:
        return self.path / "member" / "wal"

    @property
    def database(self) -> Path:
        return self.snap_dir / "db"

    def add(self, data: bytes | None, kind: EntryType = EntryType.NORMAL) -> int:
        index = len(self.entries) + 1
        self.entries.append(Entry(kind, TERM_NOW, index, data))
        return index

    def change(self, change: ConfChange) -> int:
        return self.add(change.encode(), EntryType.CONF_CHANGE)

    def request(self, **fields: object) -> int:
        return self.add(InternalRaftRequest(**fields).SerializeToString())

    def v2(self, method: str, path: str, value: str = "", **fields: object) -> int:
        every = dict.fromkeys(
            ("Dir", "Wait", "Recursive", "Sorted", "Quorum", "Stream"), False
        ) | dict.fromkeys(("PrevIndex", "Expiration", "Since", "Time"), 0)
        request = V2Request(
            ID=7, Method=method, Path=path, Val=value, PrevValue="", **{**every, **fields}
        )
        return self.add(request.SerializeToString())

    def put(self, key: bytes, value: bytes, *, in_database: bool = True) -> int:
        index = self.request(put=PutRequest(key=key, value=value), header={"ID": 9})
        if in_database:
            main = len(self.keys) + 2
            stored = KeyValue(
                key=key, value=value, create_revision=main, mod_revision=main, version=1
            )
            self.keys[revision_key(main, 0)] = stored.SerializeToString()
        return index

    def write(self) -> None:
        self.snap_dir.mkdir(parents=True)
        applied = len(self.entries) if self.applied is None else self.applied
        self.write_database(self.database, applied)
        metadata = Metadata(NodeID=OWN.id, ClusterID=CLUSTER_ID).SerializeToString()
        commit = len(self.entries) if self.commit is None else self.commit
        with Wal.create(self.wal_dir, metadata, fsync=False) as wal:
            wal.save(HardState(TERM_NOW, OWN.id, commit), self.entries, must_sync=False)
            if self.snapshot_at:
                data = self.snapshot_data or v2store.encode([OWN], [], Version(3, 5))
                about = SnapshotMetadata(self.snapshot_conf, self.snapshot_at, TERM_NOW)
                SnapshotFiles(self.snap_dir, fsync=False).save(Snapshot(data, about))
                wal.save_snapshot(WalSnapshot(self.snapshot_at, TERM_NOW, self.snapshot_conf))

    def write_database(self, path: Path, applied: int) -> None:
        rows: dict[Bucket, dict[bytes, bytes]] = {KEY: self.keys, META: {}}
        if applied:
            rows[META][CONSISTENT_INDEX] = encode_u64(applied)
            if self.version != "3.4":
                rows[META][TERM] = encode_u64(TERM_NOW)
        for bucket, found in self.rows.items():
            rows[bucket] = {**rows.get(bucket, {}), **found}
        write_bolt(path, rows)

    def files(self) -> dict[str, bytes]:
        """Everything in the directory of the database, and the names in that of the log."""
        found = {path.name: path.read_bytes() for path in self.snap_dir.iterdir()}
        return found | {path.name: b"" for path in self.wal_dir.glob("*.wal")}
