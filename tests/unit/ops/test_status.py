"""Texts are those of etcdutl 3.5.1 where it has one (it dies of SIGBUS for a truncated file)."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kvorum.errors import ConfigError, CorruptionError
from kvorum.mvcc.hashing import hash_all
from kvorum.ops.status import IntegrityError, snapshot_status
from kvorum.storage import Backend
from kvorum.storage.buckets import AUTH_USERS
from tests.servers import server_environment
from tests.unit.ops.files import LONG_NAME, make_snapshot


def test_a_database_of_ours_and_its_snapshot_have_one_status(
    database: Path, snapshot: Path, bare: Path
) -> None:
    ours, stocks = snapshot_status(database), snapshot_status(snapshot)
    assert (ours.hash, ours.revision, ours.total_keys) == (
        stocks.hash,
        stocks.revision,
        stocks.total_keys,
    )
    assert snapshot_status(bare) == stocks
    assert stocks.total_size_bytes == bare.stat().st_size
    with Backend.open(database) as backend:
        assert ours.hash == hash_all(backend, frozenset())


def test_a_database_in_use_is_summed_up_as_of_its_newest_commit(database: Path) -> None:
    """In a process of its own: LMDB lets a process open a file once."""
    with Backend.open(database) as backend:
        backend.put(AUTH_USERS, LONG_NAME + b"2", b"")
        backend.commit()
        code = (
            "import sys; from pathlib import Path; from kvorum.ops.status import snapshot_status\n"
            "print(snapshot_status(Path(sys.argv[1])))"
        )
        told = subprocess.run(
            [sys.executable, "-c", code, str(database)],
            env=server_environment(),
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout
    assert told.strip() == str(snapshot_status(database))


def test_a_bbolt_file_in_use_is_refused(bare: Path) -> None:
    with bare.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match=r"is in use by a running member.*snapshot save"):
            snapshot_status(bare)


def test_a_file_is_not_changed(snapshot: Path, database: Path) -> None:
    before = snapshot.read_bytes(), database.read_bytes()
    names = sorted(snapshot.parent.iterdir())
    snapshot_status(snapshot)
    snapshot_status(database)
    assert (snapshot.read_bytes(), database.read_bytes()) == before
    assert sorted(snapshot.parent.iterdir()) == names


def test_progress_ends_with_all(snapshot: Path) -> None:
    seen: list[tuple[int, int]] = []
    snapshot_status(snapshot, progress=lambda done, total: seen.append((done, total)))
    size = snapshot.stat().st_size - 32
    assert seen[-1] == (size, size)
    assert seen == sorted(seen)


def test_what_is_no_file_is_refused_with_stocks_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^stat {tmp_path}/no: no such file or directory$"):
        snapshot_status(tmp_path / "no")
    with pytest.raises(ConfigError, match=f"^open {tmp_path}: is a directory"):
        snapshot_status(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="pipe: not a regular file"):
        snapshot_status(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("content", "looks_like"),
    [
        (b"", "an empty file"),
        (b"hello\n", "something else"),
        (b"\x1f\x8b" + bytes(5000), "a gzip file"),
        (bytes(50_000), "nothing but zeros"),
    ],
)
def test_a_foreign_file_is_refused(content: bytes, looks_like: str, tmp_path: Path) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"^invalid database: .*{looks_like}"):
        snapshot_status(path)


@pytest.mark.parametrize("kind", ["snapshot", "database"])
@pytest.mark.parametrize("part", [0.2, 0.4, 0.6])
def test_a_truncated_file_is_refused(
    kind: str, part: float, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    content = request.getfixturevalue(kind).read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises((CorruptionError, IntegrityError), match=r"trunc|cut|damaged"):
        snapshot_status(path)


def test_the_problems_of_a_damaged_file_are_listed_as_stock_lists_them(
    database: Path, tmp_path: Path
) -> None:
    path = make_snapshot(database, tmp_path / "damaged.db")
    content = bytearray(path.read_bytes())
    page = 2 * 4096
    content[page : page + 8] = (77).to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(
        (IntegrityError, CorruptionError),
        match=r"(?s)^snapshot file integrity check failed\. 1 errors found\.\npage 2|.*page 2",
    ):
        snapshot_status(path)
