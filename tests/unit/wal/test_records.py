from __future__ import annotations

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.errors import DecodeError
from kvorum.proto import wire
from kvorum.proto.raftpb import ConfState, Entry, HardState
from kvorum.wal import records
from kvorum.wal.records import Encoder, WalSnapshot

u64 = st.integers(0, 2**64 - 1)
# Small numbers have encodings of their own in the fast paths.
numbers = st.one_of(st.integers(0, 3), st.integers(0, 2**36), u64)
payloads = st.one_of(st.none(), st.binary(max_size=40), st.binary(min_size=120, max_size=140))
some_entries = st.lists(st.builds(Entry, st.integers(0, 2), numbers, numbers, payloads), max_size=8)


@given(u64)
def test_a_number_is_written_as_the_wire_format_says(value: int) -> None:
    assert records.varint(value) == wire.varint(value)


@given(some_entries, st.integers(0, 2**32 - 1))
def test_entries_are_framed_one_by_one_with_a_running_checksum(
    entries: list[Entry], crc: int
) -> None:
    encoder = Encoder(crc)
    framed = b"".join(encoder.entries(entries))
    assert len(framed) % 8 == 0
    offset = 0
    for entry in entries:
        (field,) = records.LENGTH.unpack_from(framed, offset)
        length, padding = records.frame_sizes(field)
        record = framed[offset + 8 : offset + 8 + length]
        crc = google_crc32c.extend(crc, entry.encode())
        assert records.parse_record(record) == (records.ENTRY, crc, entry.encode())
        assert not any(framed[offset + 8 + length : offset + 8 + length + padding])
        offset += 8 + length + padding
    assert offset == len(framed)
    assert encoder.crc == crc


@given(some_entries, st.integers(0, 2**32 - 1))
def test_the_fast_reader_agrees_with_the_careful_one(entries: list[Entry], crc: int) -> None:
    for entry in entries:
        encoder = Encoder(crc)
        framed = b"".join(encoder.entries([entry]))
        length, _ = records.frame_sizes(records.LENGTH.unpack_from(framed)[0])
        record = framed[8 : 8 + length]
        careful = records.parse_record(record)
        fast = records.read_canonical(record, crc)
        assert fast in {None, (careful[0], careful[2], careful[1])}
        assert records.read_canonical(record, crc ^ 1) is None
        assert Entry.decode(careful[2]) == entry


def test_most_records_take_the_fast_path() -> None:
    crc, fast = 0, 0
    for index in range(1, 101):
        encoder = Encoder(crc)
        framed = b"".join(encoder.entries([Entry(0, 2, index, bytes(index * 3))]))
        length, _ = records.frame_sizes(records.LENGTH.unpack_from(framed)[0])
        fast += records.read_canonical(framed[8 : 8 + length], crc) is not None
        crc = encoder.crc
    assert fast > 95


@given(st.binary(max_size=60), st.integers(0, 2**32 - 1))
def test_no_bytes_make_the_readers_fail_otherwise_than_by_decode_error(
    data: bytes, crc: int
) -> None:
    records.read_canonical(data, crc)
    for read in (records.parse_record, Entry.decode, records.WalSnapshot.decode):
        try:
            read(data)
        except DecodeError:
            continue


@given(st.integers(1, 5), st.binary(max_size=200))
def test_any_record_is_framed_as_an_entry_would_be(kind: int, data: bytes) -> None:
    encoder = Encoder(7)
    framed = encoder.record(kind, data)
    length, padding = records.frame_sizes(records.LENGTH.unpack_from(framed)[0])
    assert 8 + length + padding == len(framed)
    assert records.parse_record(framed[8 : 8 + length]) == (kind, encoder.crc, data)


def test_frames_are_those_of_a_stock_log() -> None:
    """The first frames of a fresh 3.5.1 log, from the shared facts."""
    assert records.crc_frame(0).hex() == "0400000000000084" + "08041000" + "00" * 4
    encoder = Encoder(0)
    frame = encoder.record(records.SNAPSHOT, WalSnapshot(0, 0).encode())
    assert frame[:8].hex()[2:] == "00000000000082"
    assert frame.endswith(bytes.fromhex("1a0408001000") + b"\0\0")
    state = encoder.record(records.STATE, HardState(1, 0, 1).encode())
    assert state[8:10] == b"\x08\x03"
    assert HardState(1, 0, 1).encode().hex() == "080110001801"


def test_an_entry_without_data_and_one_with_empty_data_differ() -> None:
    encoder = Encoder(0)
    without, empty = (b"".join(encoder.entries([Entry(0, 2, 2, data)])) for data in (None, b""))
    assert b"\x08\x00\x10\x02\x18\x02" in without
    assert b"\x22\x00" not in without
    assert b"\x08\x00\x10\x02\x18\x02\x22\x00" in empty


@given(u64, u64, st.one_of(st.none(), st.builds(ConfState, st.lists(u64, max_size=3))))
def test_a_snapshot_record_is_read_as_it_was_written(
    index: int, term: int, conf_state: ConfState | None
) -> None:
    snapshot = WalSnapshot(index, term, conf_state)
    assert WalSnapshot.decode(snapshot.encode()) == snapshot


@pytest.mark.parametrize("data", [b"\x0a\x00", b"\x18\x01", b"\x12\x01\x00"])
def test_a_snapshot_record_with_a_field_of_the_wrong_type_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        WalSnapshot.decode(data)


@pytest.mark.parametrize("record", [b"\x0a\x00", b"\x12\x00", b"\x18\x01", b"\x08"])
def test_a_record_with_a_field_of_the_wrong_type_is_refused(record: bytes) -> None:
    with pytest.raises(DecodeError):
        records.parse_record(record)
