"""A snapshot that a leader sent, from the file it came as to the member's state.

A member too far behind gets the whole database, and serves on from what it has meanwhile: what
takes long is done before, by a process (the format) and in steps (the index of the keys), so that
to take its place is all that is left for one turn of the loop.

The order that a crash at any point must find:

    1. the database is there whole, as `member/snap/<index>.snap.db`, in our format   (`take`)
    2. the `.snap` file and the log's record of it are durable                        (`save`)
    3. the new database has taken the place of `member/snap/db`                       (`restore`)

Between 2 and 3 a start finds a snapshot that is newer than the database, and does 3 then
(`opening`). Files of 1 that never came to 2 are removed by a start.

Source: shared facts, peer.md section 5, disk.md section 6.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from kvorum.cluster import v2store
from kvorum.cluster.members import Cluster
from kvorum.cluster.store import MembershipStore
from kvorum.durable import fsync_directory
from kvorum.mvcc.index import KeyIndex
from kvorum.mvcc.restore import StoredIndex, read_index, take_apart
from kvorum.mvcc.rules import Rules
from kvorum.proto.raftpb import Snapshot
from kvorum.server.database_workers import DatabaseWorkers
from kvorum.server.stored_state import encode_conf_state
from kvorum.storage import Backend
from kvorum.storage.buckets import (
    CONF_STATE,
    CONSISTENT_INDEX,
    META,
    STORAGE_VERSION,
    TERM,
    encode_u64,
)
from kvorum.storage.environment import lock_table
from kvorum.storage.files import open_database
from kvorum.wal import SnapshotFiles, Wal, WalSnapshot

TEMPORARY_PREFIX: Final = "tmp"
"""Of a file that is being received. Source: disk.md section 1."""
_CONVERSION_WORKER: Final = "kvorum.server.conversion_worker"
_HEX_16: Final = "[0-9a-f]" * 16


def received_database(folder: Path, index: int) -> Path:
    """Where the database of a received snapshot is until it is used. Source: disk.md section 1."""
    return folder / f"{index:016x}.snap.db"


def use_database(backend: Backend, cluster: Cluster, database: Path, snapshot: Snapshot) -> None:
    """Put a received database in its place, and make it say what the snapshot says.

    It says so before it takes the place: a crash leaves one of the two databases, and either whole.

    Raises:
        CorruptionError: the database or the snapshot is damaged.
    """
    with Backend.open(database, lock_wait_s=0) as received:
        _complete(received, snapshot)
    lock_table(database).unlink(missing_ok=True)
    backend.replace(database)
    cluster.restore()


def _complete(received: Backend, snapshot: Snapshot) -> None:
    """Add what only the snapshot says.

    A stock member's database may be behind in that: before 3.6 the rows of members are not kept up
    to date, and the configuration may be one from before it was restored.
    """
    metadata = snapshot.metadata
    received.put(META, CONF_STATE, encode_conf_state(metadata.conf_state))
    received.put(META, CONSISTENT_INDEX, encode_u64(metadata.index))
    received.put(META, TERM, encode_u64(metadata.term))
    if received.get(META, STORAGE_VERSION) is None and snapshot.data is not None:
        Cluster(0, MembershipStore(received)).replace_with(v2store.decode(snapshot.data))


def remove_unused(folder: Path) -> None:
    """Remove what came and was never used, or not whole. Called by a start."""
    for pattern in ("*.snap.db", "*.snap.db.tmp", f"{TEMPORARY_PREFIX}*"):
        for path in folder.glob(pattern):
            path.unlink()


def remove_unfinished(folder: Path, newest_index: int) -> None:
    """Remove the raft snapshots above the newest one that counts. Called by a start.

    A crash came before the log could say that such a one is committed. What the log says later
    might make it count after all, and its database is gone.
    """
    for path in folder.glob(f"{_HEX_16}-{_HEX_16}.snap"):
        if int(path.stem[17:], 16) > newest_index:
            path.unlink()


Replaced = Callable[[Path, Snapshot, StoredIndex | None], KeyIndex]
"""Given the database, its snapshot, and the index of its keys if that has been made already;
returns the index that was used until then."""


class SnapshotReceiver:
    """Takes snapshots in.

    Args:
        folder: `member/snap`.
        replaced: lets the database at a path take the place of the member's, and everything that
            was read from it be read anew. Called on the loop.
        rules: of the member's store.
    """

    def __init__(
        self,
        folder: Path,
        files: SnapshotFiles,
        wal: Wal,
        replaced: Replaced,
        *,
        workers: DatabaseWorkers,
        rules: Rules,
    ) -> None:
        self._folder = folder
        self._files = files
        self._wal = wal
        self._replaced = replaced
        self._workers = workers
        self._rules = rules
        self._indexes: dict[int, StoredIndex] = {}
        """Of the databases that have been taken and are not used yet."""

    async def take(self, received: Path, index: int) -> None:
        """Bring a received file, which is in bbolt's format, into ours, at its place.

        Raises:
            StatusError: it is damaged, or cannot be kept.
            CorruptionError: it holds what no store writes.
            StoppedError: the member is stopping.
        """
        target = received_database(self._folder, index)
        # The worker of a member that was killed lives a little longer, and removes what it made.
        work = self._folder / f"{index:016x}.{os.getpid()}.snap.db.tmp"
        work.unlink(missing_ok=True)
        try:
            await self._workers.run_beside(_CONVERSION_WORKER, os.fspath(received), os.fspath(work))
            stored = await self._read(work)
            os.replace(work, target)
            await asyncio.to_thread(fsync_directory, self._folder)
            self._indexes[index] = stored
        finally:
            work.unlink(missing_ok=True)

    async def _read(self, path: Path) -> StoredIndex:
        with open_database(path) as database:
            steps = read_index(database, self._rules)
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    stored: StoredIndex = end.value
                    return stored
                await asyncio.sleep(0)

    def forget_unused(self, wanted: Collection[int]) -> None:
        """Remove the databases of all snapshots but those at the indexes that raft wants."""
        for index in self._indexes.keys() - set(wanted):
            self._let_go(self._indexes.pop(index).index)
        kept = [received_database(self._folder, index) for index in wanted]
        for path in self._folder.glob("*.snap.db"):
            if path not in kept:
                path.unlink()

    def save(self, snapshot: Snapshot) -> None:
        """Make the snapshot a part of the log. Called on the log's thread."""
        metadata = snapshot.metadata
        self._files.save(snapshot)
        self._wal.save_snapshot(WalSnapshot(metadata.index, metadata.term, metadata.conf_state))
        self._wal.release_to(metadata.index)

    def restore(self, snapshot: Snapshot) -> None:
        """Let the snapshot take the place of the state."""
        index = snapshot.metadata.index
        database = received_database(self._folder, index)
        self._let_go(self._replaced(database, snapshot, self._indexes.pop(index, None)))

    def _let_go(self, index: KeyIndex) -> None:
        """Free an index without anybody waiting for it."""
        asyncio.get_running_loop().run_in_executor(None, take_apart, index)
