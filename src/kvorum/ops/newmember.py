"""The log and the raft snapshot that a restored member starts from.

Source: shared facts, disk.md section 9 ("snapshot restore output", items 4 and 5).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kvorum.cluster import v2store
from kvorum.cluster.bootstrap import BOOTSTRAP_TERM, Bootstrap
from kvorum.cluster.member import Member
from kvorum.proto.etcdserver_pb2 import Metadata
from kvorum.proto.raftpb import ConfState, HardState, Snapshot, SnapshotMetadata
from kvorum.wal import SnapshotFiles, Wal, WalSnapshot


def write_snapshot(directory: Path, founded: Bootstrap) -> Snapshot:
    """Write the `.snap` file that says: the entries which found the cluster have been applied."""
    # Names are published by the members themselves once they run.
    members = [replace(member, name="") for member in founded.members]
    snapshot = Snapshot(
        v2store.encode(members, (), None),
        SnapshotMetadata(
            ConfState(voters=[member.id for member in members]), len(members), BOOTSTRAP_TERM
        ),
    )
    SnapshotFiles(directory).save(snapshot)
    return snapshot


def write_log(directory: Path, founded: Bootstrap, member: Member, snapshot: Snapshot) -> None:
    """Make the log of `member`: who it is, the founding entries, and `snapshot`.

    Stock writes a vote for the lowest id, so we do.
    """
    metadata = Metadata(NodeID=member.id, ClusterID=founded.cluster_id).SerializeToString()
    place = snapshot.metadata
    with Wal.create(directory, metadata) as wal:
        state = HardState(term=place.term, vote=founded.members[0].id, commit=place.index)
        wal.save(state, founded.entries(), must_sync=True)
        wal.save_snapshot(WalSnapshot(place.index, place.term, place.conf_state))
