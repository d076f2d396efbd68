"""What a leader's snapshot replaces in the log does not come back."""

from __future__ import annotations

from pathlib import Path

from kvorum.proto.raftpb import ConfState, Entry, HardState
from kvorum.wal import Wal, WalSnapshot


def test_entries_that_a_leaders_snapshot_has_replaced_do_not_come_back(tmp_path: Path) -> None:
    """They are of another term's leader, and do not follow what the snapshot stands for."""
    wal = Wal.create(tmp_path / "wal", b"", fsync=False)
    stale = [Entry(0, 1, index, b"stale") for index in range(1, 121)]
    wal.save(HardState(1, 1, 50), stale, must_sync=True)
    wal.save_snapshot(WalSnapshot(100, 2, ConfState(voters=[1])))
    wal.save(HardState(2, 0, 100), [], must_sync=True)
    wal.close()
    for count in (0, 3):
        again, contents = Wal.open(tmp_path / "wal", WalSnapshot(100, 2), fsync=False)
        with again:
            assert [entry.term for entry in contents.entries] == [2] * count
            again.save(None, [Entry(0, 2, index, b"") for index in (101, 102, 103)], must_sync=True)


def test_entries_behind_a_snapshot_of_this_log_stay(tmp_path: Path) -> None:
    wal = Wal.create(tmp_path / "wal", b"", fsync=False)
    entries = [Entry(0, 1, index, b"") for index in range(1, 121)]
    wal.save(HardState(1, 1, 110), entries, must_sync=True)
    wal.save_snapshot(WalSnapshot(100, 1, ConfState(voters=[1])))
    wal.close()
    again, contents = Wal.open(tmp_path / "wal", WalSnapshot(100, 1), fsync=False)
    with again:
        assert [entry.index for entry in contents.entries] == list(range(101, 121))
