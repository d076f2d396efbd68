"""Database files made in one go."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from kvorum.errors import ConfigError, CorruptionError
from kvorum.storage import Backend
from kvorum.storage.bbolt import BoltFile, BoltLayout
from kvorum.storage.buckets import AUTH_USERS, BUCKETS, KEY, META, encode_u64, revision_key
from kvorum.storage.bulk import BulkWriter, copy_database
from kvorum.storage.environment import Row
from kvorum.storage.files import open_database
from kvorum.storage.lmdb_file import LmdbFile


def some_rows(count: int, size: int) -> list[Row]:
    rng = Random(count)
    return [(revision_key(n, 0), rng.randbytes(size)) for n in range(2, count + 2)]


def write_file(path: Path, rows: list[Row]) -> None:
    with BulkWriter(path) as writer:
        writer.add(KEY, rows)
        writer.finish()


def test_what_was_added_is_what_a_member_opens(tmp_path: Path) -> None:
    path, rows = tmp_path / "db", some_rows(3_000, 700)
    users = [(b"a", b"1"), (b"b" * 2000, b"2"), (b"c", b"3")]
    with BulkWriter(path) as writer:
        writer.add(META, [(b"term", encode_u64(3))])
        writer.add(KEY, rows[:1000])
        writer.add(AUTH_USERS, users)
        writer.add(KEY, rows[1000:])
        writer.add(KEY, [])
        writer.finish()
    assert path.stat().st_mode & 0o777 == 0o600
    with Backend.open(path) as backend:
        assert backend.range(KEY, b"", None) == rows
        assert backend.range(AUTH_USERS, b"", None) == users
        backend.put(KEY, revision_key(99_999, 0), b"more")
        backend.commit()
        assert len(backend.range(KEY, b"", None)) == 3_001


def test_pages_are_filled(tmp_path: Path) -> None:
    rows = some_rows(20_000, 200)
    with BulkWriter(tmp_path / "db") as writer:
        for start in range(0, len(rows), 500):
            writer.add(KEY, rows[start : start + 500])
        writer.finish()
    assert (tmp_path / "db").stat().st_size < 1.2 * sum(len(k) + len(v) for k, v in rows)


def test_the_map_grows_as_needed(tmp_path: Path) -> None:
    rows = some_rows(60, 1 << 20)
    with BulkWriter(tmp_path / "db", map_bytes=20 << 20) as writer:
        for row in rows:
            writer.add(KEY, [row])
        writer.finish()
    with LmdbFile.open(tmp_path / "db") as file:
        assert [row for part in file.rows(b"key") for row in part] == rows


def test_without_finish_nothing_is_left(tmp_path: Path) -> None:
    with BulkWriter(tmp_path / "db") as writer:
        writer.add(KEY, some_rows(10, 10))
    with pytest.raises(KeyError), BulkWriter(tmp_path / "db") as writer:
        raise KeyError
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_there_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "db"
    path.write_bytes(b"precious")
    with pytest.raises(ConfigError, match="exists already"):
        BulkWriter(path)
    assert path.read_bytes() == b"precious"


def test_a_disk_that_is_full_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    import resource  # noqa: PLC0415 - a limit on the size of files stands for a full disk
    import signal  # noqa: PLC0415

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(OSError, match="cannot be written"):
            write_file(tmp_path / "db", some_rows(4_000, 1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir(tmp_path) == []


# Copies.


def bolt_file(path: Path, buckets: dict[bytes, list[Row]]) -> Path:
    layout = BoltLayout([(name, lambda rows=rows: iter([rows])) for name, rows in buckets.items()])
    path.write_bytes(b"".join(layout.chunks()))
    return path


def test_a_stock_file_becomes_one_of_ours_and_back(tmp_path: Path) -> None:
    rows = some_rows(5_000, 300)
    source = bolt_file(tmp_path / "stock", {b"authUsers": [(b"u" * 900, b"1")], b"key": rows})
    told: list[tuple[int, int]] = []
    with open_database(source) as file:
        copy_database(file, tmp_path / "db", progress=lambda *done: told.append(done))
    assert told[-1][0] == told[-1][1]
    with open_database(tmp_path / "db") as copy:
        assert copy.kind == "lmdb"
        assert copy.bucket_names() == [bucket.name for bucket in BUCKETS]
        assert [row for part in copy.rows(b"key") for row in part] == rows
        assert copy.get(b"authUsers", b"u" * 900) == b"1"
        layout = BoltLayout([(b"key", lambda: copy.rows(b"key"))])
        (tmp_path / "back").write_bytes(b"".join(layout.chunks()))
    with BoltFile.open(tmp_path / "back") as back:
        assert [row for part in back.rows(b"key") for row in part] == rows


def test_a_bucket_that_etcd_does_not_have_is_refused(tmp_path: Path) -> None:
    source = bolt_file(tmp_path / "other", {b"key": [], b"kittens": [(b"a", b"b")]})
    with open_database(source) as file, pytest.raises(ConfigError, match="'kittens'"):
        copy_database(file, tmp_path / "db")
    assert os.listdir(tmp_path) == ["other"]


def test_a_damaged_source_leaves_no_copy(tmp_path: Path) -> None:
    path = tmp_path / "source"
    write_file(path, some_rows(3_000, 300))
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes(8192) + content[middle + 8192 :])
    with open_database(path) as file, pytest.raises(CorruptionError):
        copy_database(file, tmp_path / "db")
    assert os.listdir(tmp_path) == ["source"]
