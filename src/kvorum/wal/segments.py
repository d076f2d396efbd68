"""Segment files of a log: names, locks, and room that is there before it is needed.

Source: shared facts, disk.md sections 1 and 2 (names, size, modes, flock).
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kvorum.errors import ConfigError, CorruptionError

# 64 * 1000 * 1000, as etcd has it.
SEGMENT_BYTES: Final = 64_000_000
SEGMENT_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700

_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.wal")


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file of the log. It holds no entry below `first_index`."""

    sequence: int
    first_index: int
    path: Path

    @classmethod
    def named(cls, directory: Path, sequence: int, first_index: int) -> Segment:
        path = directory / f"{sequence:016x}-{first_index:016x}.wal"
        return cls(sequence, first_index, path)


def list_segments(directory: Path) -> list[Segment]:
    """The segments of `directory`, oldest first; other files are left alone."""
    segments = []
    for path in directory.iterdir():
        match = _NAME.fullmatch(path.name)
        if match is not None:
            segments.append(Segment(int(match[1], 16), int(match[2], 16), path))
    return sorted(segments)


def exists(directory: Path) -> bool:
    """Whether `directory` has a log in it."""
    return directory.is_dir() and bool(list_segments(directory))


def all_segments(directory: Path, advice: str) -> list[Segment]:
    """Every segment of a log.

    Raises:
        CorruptionError: there is none, or one is missing in between.
    """
    segments = list_segments(directory) if directory.is_dir() else []
    if not segments:
        raise CorruptionError(directory, None, "wal: file not found", advice)
    _check_contiguous(directory, segments, advice)
    return segments


def segments_from(directory: Path, index: int, advice: str) -> list[Segment]:
    """The segments that are needed to read everything behind log position `index`.

    Raises:
        CorruptionError: there is no such segment, or one is missing in between.
    """
    segments = list_segments(directory) if directory.is_dir() else []
    starts = [n for n, segment in enumerate(segments) if segment.first_index <= index]
    if not starts:
        reason = f"wal: file not found which matches the snapshot index '{index}'"
        raise CorruptionError(directory, None, reason, advice)
    _check_contiguous(directory, segments[starts[-1] :], advice)
    return segments[starts[-1] :]


def _check_contiguous(directory: Path, segments: list[Segment], advice: str) -> None:
    first = segments[0].sequence
    for sequence, segment in enumerate(segments, first):
        if segment.sequence != sequence:
            reason = (
                f"wal: file sequence numbers (starting from {first}) do not increase continuously:"
                f" {segment.path.name} follows number {sequence - 1}"
            )
            raise CorruptionError(directory, None, reason, advice)


def open_locked(path: Path, *, create: bool = False) -> int:
    """A descriptor of `path` with an exclusive flock on it, which ends when it is closed.

    Raises:
        ConfigError: another process has the lock.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_TRUNC if create else 0)
    fd = os.open(path, flags, SEGMENT_MODE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise ConfigError(
            f"{path} is in use by another process; stop that process, or give this member a data"
            " directory of its own"
        ) from None
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_locked(path: Path) -> bool:
    """Whether somebody, this process included, holds the flock of `path`."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def reserve(fd: int, start: int, stop: int) -> None:
    """Get the blocks of `[start, stop)`, which read as zeros; the file has `stop` bytes then.

    Raises:
        OSError: the disk has no room.
    """
    if stop <= start:
        return
    try:
        os.posix_fallocate(fd, start, stop - start)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
            raise
        os.ftruncate(fd, stop)


def write_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    """`pwrite` until everything is written."""
    written = os.pwrite(fd, data, offset)
    while written < len(data):
        data = memoryview(data)[written:]
        offset += written
        written = os.pwrite(fd, data, offset)


def written_bytes(fd: int) -> int:
    """Length of the file without the blocks at its end that are only reserved.

    They read as zeros. Leaving them out saves reading 64 MB of nothing whenever a log is opened.
    """
    size, offset = os.fstat(fd).st_size, 0
    try:
        while offset < size:
            data = os.lseek(fd, offset, os.SEEK_DATA)
            offset = os.lseek(fd, data, os.SEEK_HOLE)
    except OSError as error:
        if error.errno != errno.ENXIO:  # no data behind `offset`
            return size
    return offset
