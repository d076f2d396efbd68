"""The write-ahead log: what a member must have on disk before it answers.

Threads. `save` and `save_snapshot` are called by one thread at a time, the log writer; encoding
holds the GIL, writing and flushing do not. `release_to` and `purge` may be called by another.

After a write or a flush that failed nothing is known about what the disk holds (the kernel may
have dropped the dirty pages), so it is not tried again: the log is poisoned, every later call
raises, and the member has to be started anew, which reads what is really there.

Source: shared facts, disk.md section 2 (etcd server/storage/wal/wal.go).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Final

from kvorum.durable import fsync_directory
from kvorum.errors import ConfigError, CorruptionError, KvorumError
from kvorum.histogram import SECONDS, Histogram
from kvorum.proto.raftpb import Entry, HardState
from kvorum.wal import segments as files
from kvorum.wal.pipeline import SegmentPipeline
from kvorum.wal.reader import ADVICE, ContentsCollector, LogEnd, WalContents, mapped, read_segments
from kvorum.wal.records import METADATA, SNAPSHOT, STATE, Encoder, WalSnapshot, crc_frame
from kvorum.wal.segments import SEGMENT_BYTES, Segment
from kvorum.wal.tail import first_written

MAX_WALS: Final = 5

# Zeros are written this far ahead of the records. A flush into blocks that are only reserved also
# has to write down that they are in use now. Measured on ext4, batches of 4.6 kB: mean of
# fdatasync 97 µs (99.9 %: 0.5 ms) instead of 156; with 4 MiB the rare flush that has the zeros to
# write takes 6 ms.
FILL_BYTES: Final = 256 << 10
_ZEROS: Final = bytes(FILL_BYTES)


class WalFailedError(KvorumError):
    """The log could not be written or flushed; nothing more will be. Restart the member."""


class LogFigures:
    """What a log has written since it was opened, for the metrics."""

    __slots__ = ("bytes_written", "fsyncs_s", "writes_s")

    def __init__(self) -> None:
        self.fsyncs_s = Histogram(SECONDS)
        self.writes_s = Histogram(SECONDS)
        self.bytes_written = 0
        """Of records; zeros written ahead of them do not count."""


class Wal:
    """An open log. Made by `create` or `open`; closed by `close`."""

    def __init__(
        self,
        directory: Path,
        locked: list[tuple[Segment, int]],
        *,
        offset: int,
        crc: int,
        metadata: bytes,
        state: bytes | None,
        written_index: int,
        segment_bytes: int,
        fsync: bool,
    ) -> None:
        self.directory = directory
        self._locked = locked  # descriptors of the segments still needed; the last is written to
        self._locked_guard = Lock()
        self._fd = locked[-1][1]
        self._offset = offset
        self._filled = offset  # up to here the blocks of the segment have been written
        self._encoder = Encoder(crc)
        self._metadata = metadata
        self._state = state
        self._written_index = written_index
        self._segment_bytes = segment_bytes
        self._fsync = fsync
        self._failure: BaseException | None = None
        self._closed = False
        self.figures = LogFigures()
        self._pipeline = SegmentPipeline(directory, segment_bytes)
        self._pipeline.start()

    @classmethod
    def create(
        cls,
        directory: Path,
        metadata: bytes,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        fsync: bool = True,
    ) -> Wal:
        """Make a log whose first segment holds `metadata` and the snapshot (0, 0).

        It is built beside its place and renamed, so that a log is there whole or not at all.

        Raises:
            ConfigError: something is in `directory` already.
            OSError: it cannot be written.
        """
        if directory.is_dir() and any(directory.iterdir()):
            raise ConfigError(f"{directory} is not empty; a new log needs a directory of its own")
        building = directory.with_name(directory.name + ".tmp")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(mode=files.DIRECTORY_MODE, parents=True)
        encoder = Encoder(0)
        head = crc_frame(0) + encoder.record(METADATA, metadata)
        head += encoder.record(SNAPSHOT, WalSnapshot().encode())
        fd = files.open_locked(Segment.named(building, 0, 0).path, create=True)
        try:
            files.reserve(fd, 0, segment_bytes)
            files.write_all(fd, head, 0)
            if fsync:
                os.fsync(fd)
                fsync_directory(building)
            building.rename(directory)
            if fsync:
                fsync_directory(directory.parent)
        except BaseException:
            os.close(fd)
            raise
        return cls(
            directory,
            [(Segment.named(directory, 0, 0), fd)],
            offset=len(head),
            crc=encoder.crc,
            metadata=metadata,
            state=None,
            written_index=0,
            segment_bytes=segment_bytes,
            fsync=fsync,
        )

    @classmethod
    def open(
        cls,
        directory: Path,
        start: WalSnapshot,
        *,
        repair: bool = True,
        segment_bytes: int = SEGMENT_BYTES,
        fsync: bool = True,
    ) -> tuple[Wal, WalContents]:
        """Read the log from `start` on, and make it ready to be written.

        Args:
            directory: where the segments are.
            start: the snapshot that was loaded; (0, 0) when there is none.
            repair: cut off a torn write at the end. The segment as it was is kept as `*.broken`.
            segment_bytes: where a segment ends.
            fsync: whether to flush.

        Raises:
            CorruptionError: the log is damaged, `start` is not in it, or it is torn and `repair`
                is off.
            ConfigError: another process has the log open.
            OSError: it cannot be read.
        """
        needed = files.segments_from(directory, start.index, ADVICE)
        locked: list[tuple[Segment, int]] = []
        try:
            for segment in needed:
                locked.append((segment, files.open_locked(segment.path)))
            collector = ContentsCollector(start)
            end = read_segments(needed, collector.take)
            collector.check(directory)
            if end.torn is not None:
                if not repair:
                    raise CorruptionError(end.segment.path, end.offset, end.torn, ADVICE)
                collector.contents.repaired = _keep_broken(end.segment.path, fsync=fsync)
            _clear_behind(locked[-1][1], end, segment_bytes, fsync=fsync)
        except BaseException:
            for _, fd in locked:
                os.close(fd)
            raise
        wal = cls(
            directory,
            locked,
            offset=end.offset,
            crc=end.crc,
            metadata=collector.contents.metadata,
            state=collector.state,
            written_index=collector.written_index,
            segment_bytes=segment_bytes,
            fsync=fsync,
        )
        return wal, collector.contents

    def save(
        self, hard_state: HardState | None, entries: Sequence[Entry], *, must_sync: bool
    ) -> None:
        """Append entries, then the hard state; with `must_sync` they are durable on return.

        Raises:
            WalFailedError: they could not be written, now or at an earlier call.
        """
        pieces = self._encoder.entries(entries) if entries else []
        if hard_state is not None and (hard_state.term or hard_state.vote or hard_state.commit):
            self._state = hard_state.encode()
            pieces.append(self._encoder.record(STATE, self._state))
        if not pieces:
            return
        if entries:
            self._written_index = entries[-1].index
        self._append(b"".join(pieces), sync=must_sync)

    def save_snapshot(self, snapshot: WalSnapshot) -> None:
        """Note that the `.snap` file of `snapshot` is on disk. Durable on return.

        Raises:
            WalFailedError: as for `save`.
        """
        self._written_index = max(self._written_index, snapshot.index)
        self._append(self._encoder.record(SNAPSHOT, snapshot.encode()), sync=True)

    def _append(self, data: bytes, *, sync: bool) -> None:
        assert not self._closed
        if self._failure is not None:
            raise self._failed() from self._failure
        try:
            end = self._offset + len(data)
            if end > self._filled:
                data += _ZEROS[: max(self._segment_bytes - end, 0)]
                self._filled = self._offset + len(data)
            begun_s = monotonic()
            files.write_all(self._fd, data, self._offset)
            written_s = monotonic()
            figures = self.figures
            figures.writes_s.observe(written_s - begun_s)
            figures.bytes_written += end - self._offset
            self._offset = end
            if sync and self._fsync:
                os.fdatasync(self._fd)
                figures.fsyncs_s.observe(monotonic() - written_s)
            if self._offset >= self._segment_bytes:
                self._cut()
        except BaseException as error:
            self._failure = error
            raise self._failed() from error

    def _failed(self) -> WalFailedError:
        return WalFailedError(
            f"{self._locked[-1][0].path}: the log could not be written ({self._failure}); make"
            " room or repair the disk, then start the member again"
        )

    def _cut(self) -> None:
        """Begin the next segment. It gets its name only when everything in it is on disk."""
        os.ftruncate(self._fd, self._offset)
        if self._fsync:
            os.fsync(self._fd)
        fd, path = self._pipeline.take()
        try:
            head = crc_frame(self._encoder.crc) + self._encoder.record(METADATA, self._metadata)
            if self._state is not None:
                head += self._encoder.record(STATE, self._state)
            files.write_all(fd, head, 0)
            last = self._locked[-1][0]
            segment = Segment.named(self.directory, last.sequence + 1, self._written_index + 1)
            if self._fsync:
                os.fsync(fd)
            path.rename(segment.path)
            if self._fsync:
                fsync_directory(self.directory)
        except BaseException:
            os.close(fd)
            raise
        with self._locked_guard:
            self._locked.append((segment, fd))
        self._fd = fd
        self._offset = self._filled = len(head)
        self._pipeline.start()

    def release_to(self, index: int) -> None:
        """Let go of the segments that are not needed to start from a snapshot at `index`."""
        with self._locked_guard:
            while len(self._locked) > 1 and self._locked[1][0].first_index < index:
                os.close(self._locked.pop(0)[1])

    def purge(self, max_wals: int = MAX_WALS) -> list[Path]:
        """Remove the oldest segments beyond `max_wals`, as far as nobody has them locked.

        Returns:
            What was removed.
        """
        return purge_segments(self.directory, max_wals)

    def close(self) -> None:
        """Flush, and let go of all files. A second call does nothing.

        Raises:
            WalFailedError: the flush failed.
        """
        if self._closed:
            return
        self._closed = True
        self._pipeline.close()
        try:
            if self._fsync and self._failure is None:
                os.fdatasync(self._fd)
        except OSError as error:
            self._failure = error
            raise self._failed() from error
        finally:
            for _, fd in self._locked:
                os.close(fd)

    def __enter__(self) -> Wal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def purge_segments(directory: Path, max_wals: int) -> list[Path]:
    """See `Wal.purge`. Stops at the first segment that is locked, so that no gap comes to be."""
    assert max_wals > 0
    removed = []
    for segment in files.list_segments(directory)[:-max_wals]:
        if files.is_locked(segment.path):
            break
        segment.path.unlink()
        removed.append(segment.path)
    return removed


def _keep_broken(path: Path, *, fsync: bool) -> Path:
    """Copy a torn segment before it is repaired."""
    broken = path.with_name(path.name + ".broken")
    shutil.copyfile(path, broken)
    if fsync:
        with broken.open("rb") as copy:
            os.fsync(copy.fileno())
        fsync_directory(path.parent)
    return broken


def _clear_behind(fd: int, end: LogEnd, segment_bytes: int, *, fsync: bool) -> None:
    """Make everything behind the last record zero, as the reader will expect, and durable.

    The flush matters when nothing is cleared, too: what a killed process had written, but not
    flushed, was read as if it were there, and is about to be relied on.
    """
    with mapped(end.segment.path) as data:
        is_clear = end.torn is None and first_written(data, end.offset) is None
    size = os.fstat(fd).st_size
    if not is_clear:
        os.ftruncate(fd, end.offset)
        size = end.offset
    files.reserve(fd, size, segment_bytes)
    if fsync:
        os.fsync(fd)
