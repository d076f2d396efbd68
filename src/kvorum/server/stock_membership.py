"""The membership of a stock member's directory, as of the place up to which its database is.

In directories of etcd up to 3.5 the rows `members` of the database cannot be trusted (3.5.1 never
overwrites one, a restored directory of 3.4 has those of another cluster), nor can `confState`. The
authority is the version-2 store: as JSON in the newest raft snapshot, and behind that the log's
configuration changes and publications. From 3.6 on (`storageVersion` is there) it is the database.

Both are brought to the database's consistent index; entries behind that are applied by the start.

Source: shared facts, disk.md section 5 ("Traps about membership on disk") and 9.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from kvorum.cluster import v2store
from kvorum.cluster.members import Cluster
from kvorum.cluster.store import MembershipStore
from kvorum.errors import ConfigError, DecodeError, WireError
from kvorum.proto.etcdserver_pb2 import Request as V2Request
from kvorum.proto.raft_internal_pb2 import InternalRaftRequest
from kvorum.proto.raftpb import ConfChange, ConfState, Entry, EntryType, Snapshot
from kvorum.proto.versions import Version, parse_version
from kvorum.server import entries, v2requests
from kvorum.server.applier import APPLIED_FIELDS
from kvorum.server.v2data import V2Data
from kvorum.storage.buckets import BUCKETS, Bucket
from kvorum.storage.files import Row

_PLAIN: Final = frozenset(b"\x22\x2a\x32\x3a\x42\x4a\x52\x5a")
"""First bytes of requests about keys, leases and alarms, which are nearly all: fields 4 to 11. A
version-2 request begins with its id, field 1; so it is not looked at any closer (1 µs saved)."""
_HEADER_FIELDS: Final = frozenset({"header", "ID"})


class MemoryBuckets:
    """The membership's buckets in memory. See `kvorum.cluster.store.Buckets`."""

    def __init__(self) -> None:
        self._rows: list[dict[bytes, bytes]] = [{} for _ in BUCKETS]

    def get(self, bucket: Bucket, key: bytes, /) -> bytes | None:
        return self._rows[bucket.index].get(key)

    def put(self, bucket: Bucket, key: bytes, value: bytes, /) -> None:
        self._rows[bucket.index][key] = value

    def delete(self, bucket: Bucket, key: bytes, /) -> None:
        self._rows[bucket.index].pop(key, None)

    def range(self, bucket: Bucket, start: bytes, end: bytes, /) -> list[Row]:
        return [row for row in self.rows(bucket) if start <= row[0] < end]

    def rows(self, bucket: Bucket) -> list[Row]:
        """All rows of a bucket, in order."""
        return sorted(self._rows[bucket.index].items())


@dataclass(slots=True)
class StockState:
    """What the log and the newest raft snapshot say."""

    cluster: Cluster
    buckets: MemoryBuckets
    """The rows of the cluster."""
    v2: V2Data
    term: int = 0
    """Of the entry at the consistent index."""
    unknown: list[str] = field(default_factory=list)
    """Requests behind the consistent index that a member of ours could not apply."""

    def conf_state(self) -> ConfState:
        return self.cluster.conf_state()


def read_state(
    cluster_id: int,
    snapshot: Snapshot | None,
    log_entries: list[Entry],
    consistent_index: int,
    database_rows: MemoryBuckets | None,
) -> StockState:
    """Bring the membership to `consistent_index`, and look through the rest of the log.

    Args:
        cluster_id: of the log's metadata.
        snapshot: the newest one that the log knows.
        log_entries: all entries behind it.
        consistent_index: what the database has applied; not below the snapshot.
        database_rows: rows of the membership's buckets where they are the authority.

    Raises:
        DecodeError: the snapshot or an entry cannot be read, or they contradict each other.
    """
    rows = database_rows or MemoryBuckets()
    cluster = Cluster(cluster_id, MembershipStore(rows))
    state = StockState(cluster, rows, V2Data(None if snapshot is None else snapshot.data))
    if database_rows is not None:
        cluster.restore()
    elif snapshot is not None:
        cluster.replace_with(v2store.decode(snapshot.data or b""))
        _check_configuration(snapshot.metadata.conf_state, cluster.conf_state())
    if snapshot is not None and snapshot.metadata.index == consistent_index:
        state.term = snapshot.metadata.term
    for entry in log_entries:
        is_applied = entry.index <= consistent_index
        _take(state, entry, is_applied, from_log=is_applied and database_rows is None)
        if entry.index == consistent_index:
            state.term = entry.term
    return state


def _check_configuration(raft: ConfState, members: ConfState) -> None:
    """The two halves of a snapshot say who votes; two majorities must never come to be."""
    if sorted(raft.voters) != members.voters or sorted(raft.learners) != members.learners:
        raise DecodeError(
            f"raft snapshot: its configuration (voters {_ids(raft.voters)}, learners"
            f" {_ids(raft.learners)}) is not that of its members (voters {_ids(members.voters)},"
            f" learners {_ids(members.learners)})"
        )


def _ids(numbers: list[int]) -> str:
    return "[" + " ".join(f"{number:x}" for number in sorted(numbers)) + "]"


def _take(state: StockState, entry: Entry, is_applied: bool, *, from_log: bool) -> None:
    """One entry. `from_log`: it changes the membership, which is built from the log."""
    data = entry.data
    if not data:
        return
    if entry.type != EntryType.NORMAL:
        if from_log:
            _change(state.cluster, ConfChange.decode(data))
        return
    if data[0] in _PLAIN:
        return
    request = entries.decode(data)
    if isinstance(request, InternalRaftRequest) and request.HasField("v2"):
        request = request.v2
    if isinstance(request, V2Request):
        state.v2.take(entry.index, request)
        if from_log:
            _publish(state.cluster, request)
        return
    if from_log:
        _apply(state.cluster, request)
    elif not is_applied:
        names = [
            found.name for found, _ in request.ListFields() if found.name not in _HEADER_FIELDS
        ]
        state.unknown += [name for name in names if name not in APPLIED_FIELDS]


def _change(cluster: Cluster, change: ConfChange) -> None:
    """A configuration change; a refused one went through raft as a no-op."""
    try:
        cluster.validate(change)
    except (WireError, DecodeError):
        return
    cluster.apply(change)


def _publish(cluster: Cluster, request: V2Request) -> None:
    change = v2requests.read(request)
    if isinstance(change, Version):
        cluster.set_version(change)
    elif change is not None:
        cluster.set_attributes(change.member_id, change.name, change.client_urls)


def _apply(cluster: Cluster, request: InternalRaftRequest) -> None:
    """The requests with which 3.5 and later publish themselves."""
    if request.HasField("cluster_version_set"):
        try:
            cluster.set_version(parse_version(request.cluster_version_set.ver))
        except ConfigError as error:
            raise DecodeError(f"cluster version in the log: {error}") from error
    if request.HasField("cluster_member_attr_set"):
        told = request.cluster_member_attr_set
        attributes = told.member_attributes
        cluster.set_attributes(told.member_ID, attributes.name, attributes.client_urls)
