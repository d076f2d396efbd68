"""Small logs to test with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kvorum.proto.raftpb import Entry, HardState
from kvorum.wal import Wal, WalContents, WalSnapshot
from kvorum.wal.records import LENGTH, LENGTH_BYTES, frame_sizes
from kvorum.wal.segments import list_segments

METADATA = b"\x08\x0b\x10\x16"
SEGMENT_BYTES = 1 << 16
START = WalSnapshot(0, 0)

Batch = tuple[Sequence[Entry], HardState | None]


def entry(index: int, data: bytes | None = b"data", *, term: int = 1) -> Entry:
    return Entry(0, term, index, data)


def entries(first: int, last: int, *, term: int = 1, size: int = 20) -> list[Entry]:
    return [entry(n, bytes([n & 0xFF or 1]) * size, term=term) for n in range(first, last + 1)]


def create(directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> Wal:
    return Wal.create(directory, METADATA, segment_bytes=segment_bytes, fsync=False)


def reopen(
    directory: Path, start: WalSnapshot = START, *, segment_bytes: int = SEGMENT_BYTES
) -> tuple[Wal, WalContents]:
    return Wal.open(directory, start, segment_bytes=segment_bytes, fsync=False)


def contents(directory: Path, start: WalSnapshot = START) -> WalContents:
    """What the log holds when it is opened for writing, repairs included."""
    wal, found = reopen(directory, start)
    wal.close()
    return found


def make_log(directory: Path, batches: Sequence[Batch]) -> Path:
    """A closed log with one batch after the other; its only segment."""
    with create(directory) as wal:
        for batch, state in batches:
            wal.save(state, batch, must_sync=bool(batch))
    (segment,) = list_segments(directory)
    return segment.path


def frame_offsets(path: Path) -> list[int]:
    """Where each frame of a segment begins, and where the last one ends."""
    data, offsets, offset = path.read_bytes(), [], 0
    while True:
        offsets.append(offset)
        if offset + LENGTH_BYTES > len(data):
            return offsets
        (field,) = LENGTH.unpack_from(data, offset)
        if field == 0:
            return offsets
        offset += LENGTH_BYTES + sum(frame_sizes(field))
