"""Raft snapshot files (`*.snap`).

A file holds crc=1 and data=2; data is a raft Snapshot, crc is CRC-32C over data. The order on disk
is: the file, durable; then the log's record of it. So a file without a record may stand there after
a crash, and is not to be used.

Source: shared facts, disk.md section 3 (etcd server/etcdserver/api/snap).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection
from pathlib import Path
from time import monotonic
from typing import Final

from kvorum.durable import fsync_directory
from kvorum.errors import DecodeError
from kvorum.histogram import SECONDS, Histogram
from kvorum.proto import wire
from kvorum.proto.raftpb import Snapshot
from kvorum.wal.records import WalSnapshot, extend_crc, varint

MAX_SNAPSHOTS: Final = 5
SNAPSHOT_MODE: Final = 0o666  # less the umask, as etcd writes them
_NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}\.snap")
# etcd removes what begins so from the directory when it starts, and so do we.
TEMPORARY_PREFIX: Final = "tmp"

log = logging.getLogger(__name__)


class SnapshotFigures:
    """How long saving snapshots took, for the metrics: encoding, flushing, and all of it."""

    __slots__ = ("encodings_s", "fsyncs_s", "saves_s")

    def __init__(self) -> None:
        self.encodings_s = Histogram(SECONDS)
        self.fsyncs_s = Histogram(SECONDS)
        self.saves_s = Histogram(SECONDS)


class SnapshotFiles:
    """The `.snap` files of a directory, which exists."""

    def __init__(self, directory: Path, *, fsync: bool = True) -> None:
        self._directory = directory
        self._fsync = fsync
        self.figures = SnapshotFigures()
        for path in directory.glob(f"{TEMPORARY_PREFIX}*.snap"):
            path.unlink(missing_ok=True)

    def save(self, snapshot: Snapshot) -> Path:
        """Write a snapshot; durable on return. The log's record of it comes after.

        Raises:
            OSError: it could not be written; nothing of it is left.
        """
        metadata = snapshot.metadata
        assert metadata.index > 0, metadata
        path = self._directory / f"{metadata.term:016x}-{metadata.index:016x}.snap"
        temporary = self._directory / f"{TEMPORARY_PREFIX}-{path.name}"
        figures, begun_s = self.figures, monotonic()
        data = snapshot.encode()
        figures.encodings_s.observe(monotonic() - begun_s)
        head = b"\x08%b\x12%b" % (varint(extend_crc(0, data)), varint(len(data)))
        try:
            with open(temporary, "xb", opener=_opener) as file:
                file.write(head)
                file.write(data)
                file.flush()
                if self._fsync:
                    flush_s = monotonic()
                    os.fsync(file.fileno())
                    figures.fsyncs_s.observe(monotonic() - flush_s)
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if self._fsync:
            fsync_directory(self._directory)
        figures.saves_s.observe(monotonic() - begun_s)
        return path

    def load_newest(self, valid: Collection[WalSnapshot]) -> Snapshot | None:
        """The newest snapshot that the log has a record of, or None.

        A file that cannot be read is renamed to `*.broken` and the next one tried.

        Args:
            valid: from `valid_snapshot_entries`.
        """
        for path in reversed(self._names()):
            try:
                snapshot = read_snapshot(path)
            except (DecodeError, OSError) as error:
                broken = path.with_name(path.name + ".broken")
                log.warning("cannot read snapshot %s (%s), renaming to %s", path, error, broken)
                path.rename(broken)
                continue
            place = WalSnapshot(snapshot.metadata.index, snapshot.metadata.term)
            if any(place.matches(one) for one in valid):
                return snapshot
        return None

    def oldest_index(self) -> int | None:
        """Index of the oldest file by its name, for `valid_snapshot_entries`; None: no files."""
        return min((int(path.stem[17:], 16) for path in self._names()), default=None)

    def newest_index(self) -> int | None:
        """As `oldest_index`, of the newest file."""
        return max((int(path.stem[17:], 16) for path in self._names()), default=None)

    def purge(self, max_snapshots: int = MAX_SNAPSHOTS) -> list[Path]:
        """Remove all but the newest `max_snapshots` files; what was removed."""
        assert max_snapshots > 0
        removed = self._names()[:-max_snapshots]
        for path in removed:
            path.unlink()
        return removed

    def _names(self) -> list[Path]:
        """The files, oldest first: their names are made so that their order is that of age."""
        paths = self._directory.iterdir()
        return sorted(path for path in paths if _NAME.fullmatch(path.name))


def read_snapshot(path: Path) -> Snapshot:
    """The snapshot in a `.snap` file.

    Raises:
        DecodeError: the file is empty or damaged.
        OSError: it cannot be read.
    """
    content = path.read_bytes()
    crc, data = 0, b""
    offset = 0
    while offset < len(content):
        number, _, value, offset = wire.read_field(content, offset)
        if number == 1 and isinstance(value, int):
            crc = value
        elif number == 2 and isinstance(value, bytes):
            data = value
    if not crc or not data:
        raise DecodeError("snap: empty snapshot")
    if extend_crc(0, data) != crc:
        raise DecodeError("snap: crc mismatch")
    return Snapshot.decode(data)


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, SNAPSHOT_MODE)
