"""A snapshot that a leader sent, from the file it came as to the member's state.

A member too far behind gets the whole database. The order that a crash at any point must find:

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
from kvorum.errors import CorruptionError
from kvorum.proto.raftpb import Snapshot
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
from kvorum.storage.bulk import copy_database
from kvorum.storage.environment import fsync_directory
from kvorum.storage.files import open_database
from kvorum.wal import SnapshotFiles, Wal, WalSnapshot

TEMPORARY_PREFIX: Final = "tmp"
"""Of a file that is being received. Source: disk.md section 1."""


def received_database(folder: Path, index: int) -> Path:
    """Where the database of a received snapshot is until it is used. Source: disk.md section 1."""
    return folder / f"{index:016x}.snap.db"


def use_database(backend: Backend, cluster: Cluster, database: Path, snapshot: Snapshot) -> None:
    """Put a received database in its place, and make it say what the snapshot says.

    A stock member's may be behind in that: before 3.6 the rows of members are not kept up to date,
    and the configuration may be one from before it was restored.

    Raises:
        CorruptionError: the database or the snapshot is damaged.
    """
    metadata = snapshot.metadata
    backend.replace(database)
    backend.put(META, CONF_STATE, encode_conf_state(metadata.conf_state))
    backend.put(META, CONSISTENT_INDEX, encode_u64(metadata.index))
    backend.put(META, TERM, encode_u64(metadata.term))
    if backend.get(META, STORAGE_VERSION) is None and snapshot.data is not None:
        cluster.replace_with(v2store.decode(snapshot.data))
    else:
        cluster.restore()
    backend.commit()


def remove_unused(folder: Path) -> None:
    """Remove what came and was never used, or not whole. Called by a start."""
    for pattern in ("*.snap.db", "*.snap.db.tmp", f"{TEMPORARY_PREFIX}*"):
        for path in folder.glob(pattern):
            path.unlink()


class SnapshotReceiver:
    """Takes snapshots in.

    Args:
        folder: `member/snap`.
        replaced: lets the database at a path take the place of the member's, and everything that
            was read from it be read anew. Called on the loop.
    """

    def __init__(
        self,
        folder: Path,
        files: SnapshotFiles,
        wal: Wal,
        replaced: Callable[[Path, Snapshot], None],
    ) -> None:
        self._folder = folder
        self._files = files
        self._wal = wal
        self._replaced = replaced

    async def take(self, received: Path, index: int) -> None:
        """Bring a received file, which is in bbolt's format, into ours, at its place.

        Raises:
            CorruptionError: it is damaged.
            OSError: it cannot be kept.
        """
        await asyncio.to_thread(self._convert, received, index)

    def _convert(self, received: Path, index: int) -> None:
        target = received_database(self._folder, index)
        work = target.with_suffix(".db.tmp")
        work.unlink(missing_ok=True)
        with open_database(received) as database:
            problems = database.check()
            if problems:
                raise CorruptionError(received, None, problems[0], "the leader sends it again")
            copy_database(database, work)
        os.replace(work, target)
        fsync_directory(self._folder)
        received.unlink()

    def forget_unused(self, wanted: Collection[int]) -> None:
        """Remove the databases of all snapshots but those at the indexes that raft wants."""
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
        self._replaced(received_database(self._folder, snapshot.metadata.index), snapshot)
