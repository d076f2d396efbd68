"""The write-ahead log and the raft snapshot files of a member, in etcd's formats."""

from kvorum.wal.log import Wal, WalFailedError
from kvorum.wal.reader import WalContents, read_wal, valid_snapshot_entries
from kvorum.wal.records import WalSnapshot
from kvorum.wal.segments import exists
from kvorum.wal.snapfiles import SnapshotFiles, read_snapshot

__all__ = [
    "SnapshotFiles",
    "Wal",
    "WalContents",
    "WalFailedError",
    "WalSnapshot",
    "exists",
    "read_snapshot",
    "read_wal",
    "valid_snapshot_entries",
]
