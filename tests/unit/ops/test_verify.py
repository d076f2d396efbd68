from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kvorum.cluster.bootstrap import bootstrap
from kvorum.cluster.member import Member
from kvorum.errors import ConfigError
from kvorum.ops.newmember import write_log, write_snapshot
from kvorum.ops.restore import restore
from kvorum.ops.verify import verify_data_dir
from kvorum.proto.raftpb import Entry, EntryType, HardState
from kvorum.server.log import NO_LOG
from kvorum.storage import Backend
from kvorum.storage.buckets import CONSISTENT_INDEX, META, encode_u64
from kvorum.wal import Wal, WalSnapshot
from kvorum.wal.segments import open_locked
from tests.unit.ops.files import options

SEGMENT = f"member/wal/{0:016x}-{0:016x}.wal"
SNAP = f"member/snap/{1:016x}-{1:016x}.snap"


@pytest.fixture
def data_dir(snapshot: Path, tmp_path: Path) -> Path:
    """A sound member, as a restore makes one."""
    restore(options(snapshot, tmp_path / "data"), NO_LOG)
    return tmp_path / "data"


def set_applied(data_dir: Path, index: int) -> None:
    with Backend.open(data_dir / "member/snap/db") as backend:
        backend.put(META, CONSISTENT_INDEX, encode_u64(index))


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x55
    path.write_bytes(content)


def no_log(data_dir: Path) -> None:
    (data_dir / SEGMENT).unlink()


def damaged_log(data_dir: Path) -> None:
    flip(data_dir / SEGMENT, 100)


def damaged_snap(data_dir: Path) -> None:
    flip(data_dir / SNAP, 100)


def renamed_snap(data_dir: Path) -> None:
    (data_dir / SNAP).rename(data_dir / SNAP.replace("1.snap", "0.snap"))


def no_snap(data_dir: Path) -> None:
    """Not needed while the log begins at the beginning, so this is a sound directory."""
    (data_dir / SNAP).unlink()


def damaged_database(data_dir: Path) -> None:
    path = data_dir / "member/snap/db"
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 + 10] ^= 0x55
    path.write_bytes(content)


def database_ahead(data_dir: Path) -> None:
    set_applied(data_dir, 2)


def database_behind(data_dir: Path) -> None:
    set_applied(data_dir, 0)


def replace_log(data_dir: Path, fill: Callable[[Wal], None]) -> None:
    (data_dir / SEGMENT).unlink()
    with Wal.create(data_dir / "member/wal", b"\x08\x05\x10\x06") as wal:
        fill(wal)


def foreign_log(data_dir: Path) -> None:
    """The log of another member of another cluster, that knows the same snapshot."""
    other = Member(id=5, peer_urls=("http://other:1",), name="other")
    founded = bootstrap({"other": ["http://other:1"]}, "x")
    (data_dir / SEGMENT).unlink()
    spare = data_dir.parent / "spare"
    spare.mkdir()
    write_log(data_dir / "member/wal", founded, other, write_snapshot(spare, founded))


def commit_beyond_the_end(data_dir: Path) -> None:
    replace_log(
        data_dir,
        lambda wal: wal.save(
            HardState(term=1, commit=9), [Entry(EntryType.NORMAL, 1, 1, b"")], must_sync=True
        ),
    )


def snapshot_beyond_the_commit(data_dir: Path) -> None:
    def fill(wal: Wal) -> None:
        wal.save(HardState(term=1, commit=0), [Entry(EntryType.NORMAL, 1, 1, b"")], must_sync=True)
        wal.save_snapshot(WalSnapshot(1, 1))

    replace_log(data_dir, fill)


CASES: list[tuple[Callable[[Path], None], str]] = [
    (no_log, "member/wal: wal: file not found"),
    (damaged_log, f"{SEGMENT}: at offset 80: wal: crc mismatch"),
    (damaged_snap, f"{SNAP}: snap: crc mismatch"),
    (renamed_snap, "it holds the snapshot of term 1, index 1"),
    (damaged_database, "member/snap/db: "),
    (database_ahead, "it has applied the log up to index 2, but the log ends at 1"),
    (
        database_behind,
        "it has applied the log up to index 0 only, but there is a snapshot at index 1",
    ),
    (foreign_log, "the log is that of member 5, which neither"),
    (commit_beyond_the_end, "entries up to 9 are known to be committed, but the log ends at 1"),
    (snapshot_beyond_the_commit, "only entries up to 0 are known to be committed"),
]


def test_a_sound_member_has_no_problems(data_dir: Path) -> None:
    assert verify_data_dir(data_dir) == []
    no_snap(data_dir)
    assert verify_data_dir(data_dir) == []


@pytest.mark.parametrize(("spoil", "problem"), CASES)
def test_a_problem_is_told_with_its_file(
    spoil: Callable[[Path], None], problem: str, data_dir: Path
) -> None:
    spoil(data_dir)
    found = verify_data_dir(data_dir)
    assert any(problem in one for one in found), found
    assert all(one.startswith(str(data_dir)) for one in found)


def test_nothing_is_changed(data_dir: Path) -> None:
    before = {path: path.read_bytes() for path in data_dir.rglob("*") if path.is_file()}
    verify_data_dir(data_dir)
    assert {path: path.read_bytes() for path in data_dir.rglob("*") if path.is_file()} == before


def test_a_running_member_is_refused(data_dir: Path) -> None:
    with (
        Backend.open(data_dir / "member/snap/db"),
        pytest.raises(ConfigError, match="db is in use by a running member"),
    ):
        verify_data_dir(data_dir)
    with (
        open(open_locked(data_dir / SEGMENT), "rb"),
        pytest.raises(ConfigError, match="wal is in use by a running member"),
    ):
        verify_data_dir(data_dir)
    assert verify_data_dir(data_dir) == []
