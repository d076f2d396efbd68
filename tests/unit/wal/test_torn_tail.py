"""What a crash can leave at the end of a log is cut off; damage elsewhere stops the start."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvorum.errors import CorruptionError
from kvorum.proto.raftpb import Entry, HardState
from kvorum.wal import Wal, read_wal
from kvorum.wal.segments import list_segments
from kvorum.wal.tail import SECTOR_BYTES
from tests.unit.wal.logs import (
    SEGMENT_BYTES,
    START,
    Batch,
    contents,
    create,
    entries,
    entry,
    frame_offsets,
    make_log,
    reopen,
)

BATCHES: list[Batch] = [
    (entries(1, 3), HardState(1, 1, 0)),
    (entries(4, 6, size=100), HardState(1, 1, 3)),
    (entries(7, 9, size=300), HardState(1, 1, 6)),
]


def test_a_log_cut_off_at_any_byte_of_its_last_records_starts_without_them(tmp_path: Path) -> None:
    path = make_log(tmp_path / "wal", BATCHES)
    whole, offsets = path.read_bytes(), frame_offsets(path)
    for length in range(offsets[-6], offsets[-1]):
        path.write_bytes(whole[:length])
        found = contents(tmp_path / "wal")
        kept = sum(offset <= length for offset in offsets) - 1
        # Three frames begin the file: checksum, metadata, snapshot.
        states = sum(n <= kept - 3 for n in (4, 8, 12))
        assert found.last_index == kept - 3 - states
        is_torn = length not in offsets
        assert (found.repaired is not None) == is_torn
        if found.repaired is not None:
            assert found.repaired.read_bytes() == whole[:length]
            assert found.repaired.name == path.name + ".broken"


def test_a_repaired_log_is_written_on_and_read_again(tmp_path: Path) -> None:
    path = make_log(tmp_path / "wal", BATCHES)
    os.truncate(path, frame_offsets(path)[-1] - 3)
    wal, found = reopen(tmp_path / "wal")
    assert found.repaired is not None
    assert found.last_index == 9
    assert found.hard_state == HardState(1, 1, 3)
    wal.save(HardState(2, 1, 6), entries(10, 12, term=2), must_sync=True)
    wal.close()
    found = contents(tmp_path / "wal")
    assert found.repaired is None
    assert found.last_index == 12
    assert path.stat().st_size == SEGMENT_BYTES


def test_repair_can_be_refused(tmp_path: Path) -> None:
    path = make_log(tmp_path / "wal", BATCHES)
    os.truncate(path, frame_offsets(path)[-1] - 3)
    before = path.read_bytes()
    with pytest.raises(CorruptionError, match="unexpected EOF"):
        Wal.open(tmp_path / "wal", START, repair=False)
    assert path.read_bytes() == before


def test_reading_leaves_a_torn_record_where_it_is(tmp_path: Path) -> None:
    path = make_log(tmp_path / "wal", BATCHES)
    os.truncate(path, frame_offsets(path)[-1] - 3)
    before = path.read_bytes()
    assert read_wal(tmp_path / "wal", START).last_index == 9
    assert path.read_bytes() == before


def test_a_torn_segment_that_is_not_the_last_is_damage(tmp_path: Path) -> None:
    with create(tmp_path / "wal", segment_bytes=2048) as wal:
        for index in range(1, 31):
            wal.save(None, [entry(index, bytes(range(200)))], must_sync=True)
    path = list_segments(tmp_path / "wal")[1].path
    os.truncate(path, frame_offsets(path)[-1] - 3)
    with pytest.raises(CorruptionError, match="unexpected EOF"):
        contents(tmp_path / "wal")


def test_sectors_that_were_not_written_make_a_torn_write(tmp_path: Path) -> None:
    """The last batch, less any one of its sectors."""
    big = [*BATCHES, (entries(10, 14, size=1500), HardState(1, 1, 9))]
    path = make_log(tmp_path / "wal", big)
    whole, offsets = path.read_bytes(), frame_offsets(path)
    first, last = offsets[-7], offsets[-1]
    for sector in range(first // SECTOR_BYTES + 1, last // SECTOR_BYTES):
        damaged = bytearray(whole)
        damaged[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES] = bytes(SECTOR_BYTES)
        path.write_bytes(damaged)
        found = contents(tmp_path / "wal")
        assert 9 <= found.last_index < 14
        assert found.repaired is not None
        assert found.repaired.read_bytes() == damaged


class Disk:
    """The last segment as it was flushed last, and what was written since."""

    def __init__(self, directory: Path) -> None:
        self._path = list_segments(directory)[-1].path
        self.flushed = self.written = self._path.read_bytes()

    def note_write(self, *, flushed: bool) -> None:
        self.written = self._path.read_bytes()
        if flushed:
            self.flushed = self.written

    def lose_power(self, rng: Random) -> None:
        """Of the sectors that were not flushed, any may have been written all the same."""
        size = max(len(self.flushed), len(self.written))
        old, new = self.flushed.ljust(size, b"\0"), self.written.ljust(size, b"\0")
        image = bytearray()
        for place in range(0, size, SECTOR_BYTES):
            source = old if rng.random() < 0.5 else new
            image += source[place : place + SECTOR_BYTES]
        self._path.write_bytes(image)


@settings(max_examples=150)
@given(
    plan=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 1200), st.booleans(), st.booleans()),
        min_size=1,
        max_size=8,
    ),
    seed=st.integers(0, 2**32),
)
def test_power_loss_takes_nothing_that_was_flushed(
    tmp_path_factory: pytest.TempPathFactory,
    plan: list[tuple[int, int, bool, bool]],
    seed: int,
) -> None:
    """Batches of any shape; the last is under way when the power fails."""
    directory = tmp_path_factory.mktemp("power") / "wal"
    rng = Random(seed)
    model: list[Entry] = []
    flushed_count = 0
    with create(directory) as wal:
        disk = Disk(directory)
        for number, (count, size, zeros, with_state) in enumerate(plan):
            is_last = number == len(plan) - 1
            payload = bytes(size) if zeros else rng.randbytes(size)
            batch = [entry(len(model) + 1 + n, payload) for n in range(count)]
            state = HardState(1, 1, len(model)) if with_state else None
            wal.save(state, batch, must_sync=bool(batch))
            model += batch
            disk.note_write(flushed=bool(batch) and not is_last)
            if batch and not is_last:
                flushed_count = len(model)
    disk.lose_power(rng)
    found = contents(directory)
    assert found.last_index >= flushed_count
    assert found.entries == model[: found.last_index]
    wal, _ = reopen(directory)
    wal.save(HardState(2, 1, found.last_index), [entry(found.last_index + 1)], must_sync=True)
    wal.close()
    assert contents(directory).last_index == found.last_index + 1


# Damage.


def refusal(directory: Path) -> CorruptionError | None:
    """The error that keeps a log from being opened."""
    try:
        contents(directory)
    except CorruptionError as error:
        return error
    return None


def entries_of(batches: list[Batch]) -> list[Entry]:
    return [one for batch, _ in batches for one in batch]


def test_no_flipped_bit_loses_an_entry_in_the_middle(tmp_path: Path) -> None:
    """Each byte of all but the last batch, one bit of it: a refusal, with file and offset."""
    path = make_log(tmp_path / "wal", BATCHES)
    whole, offsets = path.read_bytes(), frame_offsets(path)
    rng = Random(7)
    for place in range(offsets[-5]):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        error = refusal(tmp_path / "wal")
        if error is None:  # it was in the padding of a frame, which means nothing
            assert contents(tmp_path / "wal").entries == entries_of(BATCHES)
        else:
            assert str(path.parent) in str(error)
            assert error.advice


@pytest.mark.parametrize("bit", range(64))
def test_no_flipped_bit_of_a_length_field_passes_for_a_torn_write(tmp_path: Path, bit: int) -> None:
    path = make_log(tmp_path / "wal", BATCHES)
    for offset in frame_offsets(path)[:-1]:
        damaged = bytearray(path.read_bytes())
        damaged[offset + bit // 8] ^= 1 << bit % 8
        other = tmp_path / "other"
        other.mkdir(exist_ok=True)
        (other / path.name).write_bytes(damaged)
        assert refusal(other) is not None


def test_damage_in_a_record_that_holds_zeros_is_not_taken_for_a_torn_write(tmp_path: Path) -> None:
    """Stock etcd would cut the log here, and lose what follows."""
    zeros = [
        (entries(1, 2), HardState(1, 1, 0)),
        ([entry(3, b"x" + bytes(3000))], HardState(1, 1, 2)),
        (entries(4, 5), HardState(1, 1, 3)),
    ]
    path = make_log(tmp_path / "wal", zeros)
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b"x" + bytes(100))] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(CorruptionError, match="wal: crc mismatch, and acknowledged records follow"):
        contents(tmp_path / "wal")


def test_empty_sectors_in_the_middle_are_not_taken_for_the_end(tmp_path: Path) -> None:
    batches: list[Batch] = [(entries(n, n, size=700), HardState(1, 1, n - 1)) for n in range(1, 12)]
    path = make_log(tmp_path / "wal", batches)
    whole, offsets = path.read_bytes(), frame_offsets(path)
    refused = 0
    for sector in range(1, offsets[-5] // SECTOR_BYTES):
        damaged = bytearray(whole)
        damaged[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES] = bytes(SECTOR_BYTES)
        path.write_bytes(damaged)
        with pytest.raises(CorruptionError):
            contents(tmp_path / "wal")
        refused += 1
    assert refused > 10


def test_a_stored_value_that_looks_like_a_log_does_not_keep_a_torn_one_from_starting(
    tmp_path: Path,
) -> None:
    decoy = make_log(tmp_path / "decoy", BATCHES).read_bytes()[:2000]
    for shift in range(8):
        directory = tmp_path / f"wal{shift}"
        payload = b"." * (400 + shift) + decoy
        path = make_log(
            directory,
            [(entries(1, 3), HardState(1, 1, 0)), ([entry(4, payload)], HardState(1, 1, 3))],
        )
        offset = frame_offsets(path)[-3]
        damaged = bytearray(path.read_bytes())
        sector_end = (offset // SECTOR_BYTES + 1) * SECTOR_BYTES
        damaged[offset:sector_end] = bytes(sector_end - offset)
        path.write_bytes(damaged)
        assert contents(directory).last_index == 3


def test_an_overwritten_length_field_allocates_nothing_wild(tmp_path: Path) -> None:
    path = make_log(tmp_path / "wal", BATCHES)
    damaged = bytearray(path.read_bytes())
    offset = frame_offsets(path)[4]
    damaged[offset : offset + 8] = b"\xf8" + b"\xff" * 5 + b"\x7f\x00"
    path.write_bytes(damaged)
    with pytest.raises(CorruptionError, match="a length field says"):
        contents(tmp_path / "wal")


def test_an_empty_segment_is_damage(tmp_path: Path) -> None:
    path = make_log(tmp_path / "wal", BATCHES)
    for content in (b"", bytes(4096)):
        path.write_bytes(content)
        with pytest.raises(CorruptionError, match="the segment has no records"):
            contents(tmp_path / "wal")


def test_a_segment_that_does_not_begin_with_a_checksum_is_damage(tmp_path: Path) -> None:
    path = make_log(tmp_path / "wal", BATCHES)
    path.write_bytes(path.read_bytes()[16:])
    with pytest.raises(CorruptionError, match="no checksum"):
        contents(tmp_path / "wal")


@settings(max_examples=100)
@given(st.binary(max_size=300), st.integers(0, 400))
def test_garbage_never_escapes_as_another_error(
    tmp_path_factory: pytest.TempPathFactory, garbage: bytes, place: int
) -> None:
    directory = tmp_path_factory.mktemp("garbage") / "wal"
    path = make_log(directory, BATCHES[:1])
    damaged = bytearray(path.read_bytes())
    damaged[place : place + len(garbage)] = garbage
    path.write_bytes(damaged)
    error = refusal(directory)
    assert error is None or error.reason
