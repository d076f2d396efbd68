from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from kvorum.errors import ConfigError, CorruptionError
from kvorum.ops import defrag as defragmenting
from kvorum.ops.defrag import defrag
from kvorum.ops.hashkv import file_hash_kv
from kvorum.ops.status import snapshot_status
from kvorum.storage import Backend
from kvorum.storage.buckets import KEY
from kvorum.storage.files import open_database
from tests.servers import server_environment
from tests.unit.ops.files import make_database, make_snapshot, without_hash

CODE = (
    "import sys; from pathlib import Path; from kvorum.ops.defrag import defrag\n"
    "print('ready', flush=True); defrag(Path(sys.argv[1]))\n"
)


def make_member(data_dir: Path, kind: str, *, keys: int = 2000) -> Path:
    """A database with much free room, where a member has it."""
    snap = data_dir / "member/snap"
    snap.mkdir(parents=True)
    database = make_database(snap / "db", keys=keys)
    with Backend.open(database) as backend:
        for row, _ in list(backend.range(KEY, b"", None))[: keys // 2]:
            backend.delete(KEY, row)
    if kind == "bbolt":
        stocks = without_hash(make_snapshot(database, snap / "s"), snap / "bare")
        stocks.write_bytes(stocks.read_bytes() + bytes(1 << 20))  # the file may be longer
        stocks.rename(database)
        (snap / "s").unlink()
    database.chmod(0o600)
    (snap / "db-lock").unlink(missing_ok=True)
    return database


@pytest.mark.parametrize("kind", ["lmdb", "bbolt"])
def test_the_file_shrinks_and_holds_the_same(kind: str, tmp_path: Path) -> None:
    database = make_member(tmp_path, kind)
    before, hashed = snapshot_status(database), file_hash_kv(database)
    told: list[tuple[int, int]] = []
    sizes = defrag(tmp_path, lambda done, total: told.append((done, total)))
    after = snapshot_status(database)
    assert (after.hash, after.revision, after.total_keys) == (
        before.hash,
        before.revision,
        before.total_keys,
    )
    assert file_hash_kv(database) == hashed
    assert sizes.after_bytes == database.stat().st_size < sizes.before_bytes
    assert told[-1][0] == told[-1][1]
    assert database.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in database.parent.iterdir()] == ["db"]
    with open_database(database) as source:
        assert source.kind == kind
        assert source.check() == []


def test_a_running_members_database_is_refused(tmp_path: Path) -> None:
    database = make_member(tmp_path, "lmdb")
    with (
        Backend.open(database),
        pytest.raises(ConfigError, match="is in use by a running member; stop that member first"),
    ):
        defrag(tmp_path)


def test_a_missing_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"db: no such file or directory; is .* the data dir"):
        defrag(tmp_path)


@pytest.mark.parametrize("kind", ["lmdb", "bbolt"])
def test_a_damaged_database_is_left_as_it_is(kind: str, tmp_path: Path) -> None:
    database = make_member(tmp_path, kind)
    content = bytearray(database.read_bytes())
    for page in range(4, len(content) // 4096, 2):
        content[page * 4096 : page * 4096 + 16] = b"\xff" * 16
    database.write_bytes(content)
    with pytest.raises(CorruptionError):
        defrag(tmp_path)
    assert database.read_bytes() == content
    assert [one.name for one in database.parent.iterdir()] == ["db"]


@pytest.mark.parametrize("kind", ["lmdb", "bbolt"])
def test_a_failed_write_leaves_the_old_file(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = make_member(tmp_path, kind)
    before = database.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(defragmenting.os, "rename", fail)
    with pytest.raises(OSError, match="no space"):
        defrag(tmp_path)
    assert database.read_bytes() == before
    assert [one.name for one in database.parent.iterdir()] == ["db"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lmdb", "bbolt"])
def test_kill9_at_any_point_leaves_one_of_the_two_files(kind: str, tmp_path: Path) -> None:
    database = make_member(tmp_path, kind)
    expected = file_hash_kv(database)
    random = Random(3)
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", CODE, str(tmp_path)],
            stdout=subprocess.PIPE,
            env=server_environment(),
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(random.uniform(0, 0.1))  # a random point is what is wanted here
            process.kill()
            assert process.wait(30) in {0, -signal.SIGKILL}
        assert file_hash_kv(database) == expected
        left = {one.name for one in database.parent.iterdir()} - {"db"}
        assert all(name.startswith("db.tmp.") for name in left)
    defrag(tmp_path)
    assert [one.name for one in database.parent.iterdir()] == ["db"]
