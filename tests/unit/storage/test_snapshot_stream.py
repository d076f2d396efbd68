"""The bytes of a snapshot."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from kvorum.storage import Backend
from kvorum.storage.bbolt import BoltFile
from kvorum.storage.buckets import BUCKETS, KEY, revision_key
from kvorum.storage.lmdb_file import LmdbFile
from kvorum.storage.snapshot_stream import TRAILER_BYTES, SnapshotStream


@pytest.fixture
def source(tmp_path: Path) -> Path:
    with Backend.open(tmp_path / "db", fsync=False) as backend:
        for n in range(2, 6_000):
            backend.put(KEY, revision_key(n, 0), b"%d" % n * 100)
    return tmp_path / "db"


def test_the_size_is_known_first_and_the_checksum_is_last(source: Path) -> None:
    with LmdbFile.open(source) as file:
        stream = SnapshotStream(file)
        size_bytes = stream.size_bytes
        *pieces, trailer = stream.pieces()
    database = b"".join(pieces)
    assert len(database) == size_bytes
    assert trailer == sha256(database).digest() == stream.trailer
    assert len(trailer) == TRAILER_BYTES
    assert max(map(len, pieces)) < 4 << 20


def test_the_database_holds_the_same_rows(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "snapshot"
    with LmdbFile.open(source) as file:
        copy.write_bytes(b"".join(SnapshotStream(file).pieces()))
        with BoltFile.open(copy) as bolt:
            assert bolt.check() == []
            assert bolt.bucket_names() == [bucket.name for bucket in BUCKETS]
            assert list(map(list, bolt.rows(b"key")))
            assert [row for part in bolt.rows(b"key") for row in part] == [
                row for part in file.rows(b"key") for row in part
            ]


def test_what_tick_raises_ends_the_work(source: Path) -> None:
    def tick() -> None:
        raise KeyError

    with LmdbFile.open(source) as file, pytest.raises(KeyError):
        SnapshotStream(file, tick=tick)
