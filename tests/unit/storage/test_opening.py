"""Opening a database: who may, and which files are refused."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kvorum.errors import ConfigError, CorruptionError
from kvorum.storage import Backend
from kvorum.storage.buckets import KEY, revision_key

DEADLINE_S = 20.0


def open_backend(path: Path) -> Backend:
    return Backend.open(path, fsync=False, lock_wait_s=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db"


def test_a_second_opening_is_refused_with_what_to_do(path: Path) -> None:
    with open_backend(path), pytest.raises(ConfigError) as caught:
        open_backend(path)
    assert str(path) in str(caught.value)
    assert "is in use by another process" in str(caught.value)
    assert "stop that process" in str(caught.value)


def test_another_process_is_refused(path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from kvorum.errors import ConfigError\n"
        "from kvorum.storage import Backend\n"
        "try:\n"
        "    Backend.open(pathlib.Path(sys.argv[1]), lock_wait_s=0.1)\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
    )
    with open_backend(path):
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    assert "is in use by another process" in done.stdout


def test_opening_waits_for_a_process_that_is_just_stopping(path: Path) -> None:
    first = open_backend(path)
    stopper = threading.Timer(0.1, first.close)
    stopper.start()
    with Backend.open(path, fsync=False, lock_wait_s=DEADLINE_S) as second:
        assert second.range(KEY, b"", None) == []
    stopper.join()


def test_a_database_of_stock_etcd_is_not_touched(path: Path) -> None:
    content = bytes(16) + bytes.fromhex("edda0ced02000000") + bytes(4096)
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="bbolt database, written by stock etcd"):
        open_backend(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"x", b"x" * 5000, bytes(8192)])
def test_a_file_that_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CorruptionError, match="the database cannot be read") as caught:
        open_backend(path)
    assert caught.value.path == path


def test_a_truncated_database_is_refused_and_kills_nobody(path: Path) -> None:
    """A read behind the end of a mapped file would be a SIGBUS."""
    with open_backend(path) as backend:
        for n in range(2000):
            backend.put(KEY, revision_key(n, 0), bytes(500))
    whole = path.read_bytes()
    program = (
        "import sys, pathlib\n"
        "from kvorum.errors import CorruptionError\n"
        "from kvorum.storage import Backend\n"
        "from kvorum.storage.buckets import KEY\n"
        "try:\n"
        "    with Backend.open(pathlib.Path(sys.argv[1])) as backend:\n"
        "        print(sum(map(len, backend.scan(KEY))))\n"
        "except CorruptionError:\n"
        "    print('refused')\n"
    )
    for length in (9000, len(whole) // 3, len(whole) // 2, len(whole) - 4096 * 20):
        path.write_bytes(whole[:length])
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == "refused"
