from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.errors import DecodeError
from kvorum.proto.raftpb import ConfState, Snapshot, SnapshotMetadata
from kvorum.wal import SnapshotFiles, WalSnapshot, read_snapshot


def snapshot(index: int, term: int = 1, data: bytes = b"{}") -> Snapshot:
    return Snapshot(data, SnapshotMetadata(ConfState([1, 2], [3]), index, term))


@pytest.fixture
def files(tmp_path: Path) -> SnapshotFiles:
    return SnapshotFiles(tmp_path, fsync=False)


def test_a_snapshot_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = SnapshotFiles(tmp_path).save(snapshot(10, 3, b"x" * 5000))
    assert path == tmp_path / "0000000000000003-000000000000000a.snap"
    assert read_snapshot(path) == snapshot(10, 3, b"x" * 5000)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_the_newest_snapshot_that_the_log_knows_is_loaded(files: SnapshotFiles) -> None:
    for index, term in ((5, 1), (9, 1), (7, 2), (12, 2)):
        files.save(snapshot(index, term))
    valid = [WalSnapshot(), WalSnapshot(5, 1), WalSnapshot(9, 1), WalSnapshot(7, 2)]
    assert files.load_newest(valid) == snapshot(7, 2)
    assert files.load_newest(valid[:2]) == snapshot(5, 1)
    assert files.load_newest([WalSnapshot(12, 1)]) is None


def test_no_snapshot_is_loaded_where_there_is_none(files: SnapshotFiles) -> None:
    assert files.load_newest([WalSnapshot()]) is None
    assert files.oldest_index() is None


def test_a_damaged_snapshot_is_put_aside_and_the_one_before_loaded(
    files: SnapshotFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files.save(snapshot(5))
    path = files.save(snapshot(6))
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with caplog.at_level(logging.WARNING):
        assert files.load_newest([WalSnapshot(5, 1), WalSnapshot(6, 1)]) == snapshot(5)
    assert not path.exists()
    assert (tmp_path / (path.name + ".broken")).exists()
    assert "snap: crc mismatch" in caplog.text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty snapshot"),
        (b"\x08\x00\x12\x01\x00", "empty snapshot"),
        (b"\x08\x01", "empty snapshot"),
        (b"\x08\x01\x12\x02ab", "crc mismatch"),
        (b"\x08\x01\x12\x7fab", "ends behind"),
        (b"\xff\xff", "unexpected end"),
    ],
)
def test_a_file_that_is_no_snapshot_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "0000000000000001-0000000000000001.snap"
    path.write_bytes(content)
    with pytest.raises(DecodeError, match=reason):
        read_snapshot(path)


@given(st.integers(0, 400), st.integers(0, 7))
def test_no_flipped_bit_goes_unnoticed(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    directory = tmp_path_factory.mktemp("flip")
    path = SnapshotFiles(directory, fsync=False).save(snapshot(6, data=b"d" * 300))
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(DecodeError):
        read_snapshot(path)


def test_only_the_newest_files_are_kept(files: SnapshotFiles) -> None:
    paths = [files.save(snapshot(index)) for index in range(1, 9)]
    assert files.purge(5) == paths[:3]
    assert [path.exists() for path in paths] == [False] * 3 + [True] * 5
    assert files.oldest_index() == 4


def test_what_a_crash_left_half_written_is_removed(tmp_path: Path) -> None:
    leftover = tmp_path / "tmp-0000000000000001-0000000000000001.snap"
    leftover.write_bytes(b"half")
    database = tmp_path / "db"
    database.write_bytes(b"other")
    SnapshotFiles(tmp_path)
    assert not leftover.exists()
    assert database.exists()


def test_a_snapshot_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    files = SnapshotFiles(tmp_path, fsync=False)
    target = tmp_path / "0000000000000001-0000000000000005.snap"
    target.mkdir()
    (target / "in the way").touch()
    with pytest.raises(OSError, match=r"directory|Directory"):
        files.save(snapshot(5))
    assert os.listdir(tmp_path) == [target.name]
