"""Raft snapshots: what allows the front of the log to be thrown away.

A snapshot at index I says: everything up to I is in the database. It holds the membership only, for
readers of older versions; keys stay in `member/snap/db`. The order that a crash at any point must
find:

    1. the database's transaction with consistent index I is committed and on the disk
    2. the `.snap` file is written and on the disk
    3. the log's record of it is written and on the disk
    4. segments of the log that only hold entries before I are let go of

1 is started by the committer's ordinary round: what the snapshot must say is noted when the batch
is sealed (`sealing`), and used once that batch is down (`go_on`). 2 to 4 run on the log's thread,
between appends.

Source: shared facts, disk.md section 2 ("Save, read, open") and 3 ("Snapshot policy").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from kvorum.cluster.members import Cluster
from kvorum.proto.raftpb import ConfState, Snapshot, SnapshotMetadata
from kvorum.server.disk import DiskJob, DiskWriter
from kvorum.server.log import Logger
from kvorum.server.opening import OpenedMember
from kvorum.server.options import ServerOptions
from kvorum.wal import WalSnapshot


class _Sealed(NamedTuple):
    batch: int
    """The batch of the database that it waits for; see `Backend.settled_count`."""
    last_index: int
    term: int
    conf_state: ConfState
    data: bytes
    leaves_log: bool


class Snapshotter:
    """Decides when to snapshot, and does it. Called on the loop's thread."""

    def __init__(
        self, options: ServerOptions, opened: OpenedMember, disk: DiskWriter, log: Logger
    ) -> None:
        self._options = options
        self._index = opened.snapshot_index
        self._files = opened.snapshot_files
        self._wal = opened.wal
        self._storage = opened.storage
        self._disk = disk
        self._backend = opened.backend
        self._log = log
        self.flush_state: Callable[[], None]
        """Has the log's newest state written; set by whoever has the node."""
        self.holds_log: Callable[[], bool] = lambda: False
        """Whether another member is being brought up and needs the log as it is."""
        self.is_replaced: Callable[[], bool] = lambda: False
        """Whether a leader's snapshot is taking the place of the log and the database just now."""
        self._wanted = False
        self._leaves_log = False
        self._sealed: _Sealed | None = None
        self._writing = False
        self.conf_state = opened.storage.initial_state()[1]
        """The configuration that has been applied."""

    def applied(self, index: int) -> None:
        """The member has applied the log up to `index`. Called once for each batch."""
        # One that is sealed counts from its own index on, and not before it is down.
        if self._sealed is None and index - self._index > self._options.snapshot_count:
            self._wanted = True

    def want(self, *, leave_log: bool = False) -> None:
        """Make one as soon as can be, whatever the count of entries.

        Args:
            leave_log: keep nothing of the log before it for members that are behind.
        """
        self._wanted = True
        self._leaves_log = self._leaves_log or leave_log

    def sealing(self, index: int, term: int, cluster: Cluster) -> None:
        """A batch of the database that covers `index` is being sealed."""
        if self._wanted and self._sealed is None and not self._writing and term:
            self._wanted = False
            batch = self._backend.sealed_count + 1
            data, leaves_log = cluster.encode_v2(), self._leaves_log
            self._sealed = _Sealed(batch, index, term, self.conf_state, data, leaves_log)

    def restored(self, snapshot: Snapshot) -> None:
        """A leader's snapshot has taken the place of the state."""
        self._wanted = False
        self._sealed = None
        self._index = snapshot.metadata.index
        self.conf_state = snapshot.metadata.conf_state

    def go_on(self) -> None:
        """Take the next step, if its time has come. Called every round of the committer."""
        sealed = self._sealed
        if sealed is None or self._backend.settled_count < sealed.batch:
            return
        self._sealed = None
        if self.is_replaced():
            return  # an older snapshot must not come into the log behind it
        self._writing = True
        self._index = sealed.last_index
        self._log.info("triggering snapshot", snapshot_index=sealed.last_index)
        # The log's record of a snapshot counts only up to the commit index that the log knows.
        self.flush_state()
        metadata = SnapshotMetadata(sealed.conf_state, sealed.last_index, sealed.term)
        snapshot = Snapshot(sealed.data, metadata)
        self._disk.submit(DiskJob(lambda: self._write(snapshot), lambda: self._written(sealed)))

    def _write(self, snapshot: Snapshot) -> None:
        """On the log's thread."""
        metadata = snapshot.metadata
        self._backend.sync()
        self._files.save(snapshot)
        self._wal.save_snapshot(WalSnapshot(metadata.index, metadata.term, metadata.conf_state))
        self._wal.release_to(metadata.index)
        self._wal.purge(self._options.max_wals)
        self._files.purge(self._options.max_snapshots)

    def _written(self, sealed: _Sealed) -> None:
        self._writing = False
        if sealed.last_index <= self._storage.snapshot().metadata.index:
            return  # a leader's has come meanwhile
        self._storage.create_snapshot(sealed.last_index, sealed.conf_state, sealed.data)
        self._log.info("saved snapshot to disk", snapshot_index=sealed.last_index)
        kept = 0 if sealed.leaves_log else self._options.snapshot_catchup_entries
        keep_from = sealed.last_index - kept
        if keep_from > self._storage.first_index() and not self.holds_log():
            self._storage.compact(keep_from)
            self._leaves_log = self._leaves_log and not sealed.leaves_log
            self._log.info("compacted Raft logs", compact_index=keep_from)


__all__: Final = ["Snapshotter"]
