"""The reader of the write-ahead log under test.

An input is a whole directory in one: for each segment its sequence, first index and length, then
its bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from random import Random

from kvorum.errors import CorruptionError, DecodeError
from kvorum.proto.raftpb import Entry, HardState
from kvorum.wal import WalSnapshot, read_wal, valid_snapshot_entries
from kvorum.wal.records import (
    CRC,
    ENTRY,
    LENGTH,
    LENGTH_BYTES,
    METADATA,
    SNAPSHOT,
    STATE,
    Encoder,
    crc_frame,
    frame_sizes,
    parse_record,
)
from tests.robustness.fuzz.harness import damage_bytes, interesting, masked, must_name

_HEAD = struct.Struct("<QQI")
SECTOR_BYTES = 512
"""A torn write is told by whole sectors that were not written."""
_MASK_64 = (1 << 64) - 1
Records = list[tuple[int, bytes]]


@dataclass(slots=True)
class SegmentBytes:
    """One file of the directory."""

    sequence: int
    first_index: int
    content: bytes


def packed(segments: list[SegmentBytes]) -> bytes:
    return b"".join(
        _HEAD.pack(one.sequence, one.first_index, len(one.content)) + one.content
        for one in segments
    )


def unpacked(data: bytes) -> list[SegmentBytes]:
    segments = []
    offset = 0
    while len(data) - offset >= _HEAD.size:
        sequence, first_index, length = _HEAD.unpack_from(data, offset)
        offset += _HEAD.size
        segments.append(SegmentBytes(sequence, first_index, data[offset : offset + length]))
        offset += length
    return segments


class WalTarget:
    """The log from its start and from a snapshot, and its snapshot records."""

    name = "wal"

    def seeds(self) -> list[bytes]:
        head = [(METADATA, b"\x08\x01\x10\x02"), (SNAPSHOT, WalSnapshot().encode())]
        first = [*head, *_entries(1, 9, 1), (STATE, HardState(1, 1, 8).encode())]
        snapshot = [(SNAPSHOT, WalSnapshot(5, 1).encode())]
        second = [head[0], (STATE, HardState(2, 1, 9).encode()), *_entries(8, 15, 2)]
        second += [(STATE, HardState(2, 1, 14).encode())]
        one = _encoded([(0, 0, [*first, *snapshot])])
        two = _encoded([(0, 0, [*first, *snapshot]), (1, 10, second)])
        room = _encoded([(0, 0, [*first, *snapshot])])
        room[0].content += bytes(4096)
        large = (ENTRY, Entry(0, 1, 9, b"y" * 2000).encode())
        torn = _encoded([(0, 0, [*first, *snapshot, large])])
        written = (len(torn[0].content) - 100) // SECTOR_BYTES * SECTOR_BYTES
        torn[0].content = torn[0].content[:written] + bytes(2048)
        return [packed(made) for made in (one, two, room, torn)]

    def mutate(self, data: bytes, other: bytes, rng: Random) -> bytes:
        segments = unpacked(data)
        if not segments:
            return other
        for _ in range(rng.choice((1, 1, 2, 3))):
            if not segments:
                break
            match rng.randrange(8):
                case 0:
                    _damage_directory(segments, unpacked(other), rng)
                case 1 | 2:
                    _damage_content(rng.choice(segments), rng)
                case _:
                    _damage_records(segments, rng)
        return packed(segments)

    def run(self, data: bytes, scratch: Path) -> str:
        directory = scratch / "wal"
        directory.mkdir(exist_ok=True)
        for one in unpacked(data):
            path = directory / f"{one.sequence:016x}-{one.first_index:016x}.wal"
            path.write_bytes(one.content)
        try:
            return _outcome(directory)
        finally:
            for path in directory.iterdir():
                path.unlink()


def _outcome(directory: Path) -> str:
    outcome = "sound"
    for start in (WalSnapshot(), WalSnapshot(5, 1)):
        try:
            contents = read_wal(directory, start)
        except CorruptionError as error:
            must_name(error, directory)
            outcome = masked(str(error), directory)
        else:
            indexes = [entry.index for entry in contents.entries]
            assert indexes == list(range(start.index + 1, contents.last_index + 1)), indexes
            assert contents.hard_state.commit <= contents.last_index
    try:
        valid_snapshot_entries(directory)
    except CorruptionError as error:
        must_name(error, directory)
        return outcome if outcome != "sound" else masked(str(error), directory)
    return outcome


def _entries(start: int, stop: int, term: int) -> Records:
    return [
        (ENTRY, Entry(0, term, index, b"x" * (index * 7)).encode()) for index in range(start, stop)
    ]


def _encoded(parts: list[tuple[int, int, Records]]) -> list[SegmentBytes]:
    """Segments with the right checksums throughout."""
    crc = 0
    segments = []
    for sequence, first_index, records in parts:
        encoder = Encoder(crc)
        frames = [crc_frame(crc)]
        frames += [encoder.record(kind & 0x7F, data) for kind, data in records]
        crc = encoder.crc
        segments.append(SegmentBytes(sequence, first_index, b"".join(frames)))
    return segments


def _records_in(content: bytes) -> Records:
    """The records up to the first that cannot be read, without those of checksums."""
    records: Records = []
    offset = 0
    while len(content) - offset >= LENGTH_BYTES:
        (field,) = LENGTH.unpack_from(content, offset)
        if field == 0:
            break
        try:
            length, padding = frame_sizes(field)
            offset += LENGTH_BYTES
            kind, _, data = parse_record(content[offset : offset + length])
        except DecodeError:
            break
        offset += length + padding
        if kind != CRC:
            records.append((kind, data))
    return records


def _damage_directory(
    segments: list[SegmentBytes], others: list[SegmentBytes], rng: Random
) -> None:
    match rng.randrange(4):
        case 0:
            del segments[rng.randrange(len(segments))]
        case 1 if len(segments) + len(others) < 6:
            segments += others
        case 2:
            one = rng.choice(segments)
            one.sequence = interesting(rng, (one.sequence, 0, 1), 64)
        case _:
            one = rng.choice(segments)
            one.first_index = interesting(rng, (one.first_index, 0, 5), 64)


def _damage_content(segment: SegmentBytes, rng: Random) -> None:
    data = bytearray(segment.content)
    if rng.randrange(2) or len(data) < 2 * LENGTH_BYTES:
        damage_bytes(data, rng)
    else:
        at = rng.randrange(len(data) // LENGTH_BYTES) * LENGTH_BYTES
        old = int.from_bytes(data[at : at + LENGTH_BYTES], "little")
        value = interesting(rng, (old, len(data), len(data) - at), 64)
        data[at : at + LENGTH_BYTES] = value.to_bytes(LENGTH_BYTES, "little")
    segment.content = bytes(data[:65536])


def _damage_records(segments: list[SegmentBytes], rng: Random) -> None:
    """Change records, and make all checksums right again."""
    parts = [(one.sequence, one.first_index, _records_in(one.content)) for one in segments]
    ends = [bytes(rng.choice((0, 0, 7, 64, 4096))) for _ in segments]
    records = rng.choice(parts)[2]
    if not records:
        return
    place = rng.randrange(len(records))
    kind, data = records[place]
    match rng.randrange(7):
        case 0:
            del records[place]
        case 1:
            records.insert(rng.randrange(len(records)), records[place])
        case 2:
            records[place] = rng.choice((0, 1, 2, 3, 5, 6, 100)), data
        case 3:
            entry = Entry(rng.randrange(4), interesting(rng, (1, 2), 64), 0, b"new")
            entry.index = interesting(rng, (1, 5, 8, 9, 10, 15), 64)
            records.insert(place, (ENTRY, entry.encode()))
        case 4:
            numbers = [interesting(rng, (1, 5, 8, 15), 64) & _MASK_64 for _ in range(3)]
            records.insert(place, (STATE, HardState(*numbers).encode()))
        case _:
            damaged = bytearray(data)
            damage_bytes(damaged, rng)
            records[place] = kind, bytes(damaged)
    if sum(len(body) for _, _, some in parts for _, body in some) > 60_000:
        return
    for segment, made, end in zip(segments, _encoded(parts), ends, strict=True):
        segment.content = made.content + end
