"""The log's writer on a real log."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from kvorum.proto.raftpb import Entry, HardState
from kvorum.server.disk import QUICK_SYNC_S, AppendJob, DiskJob, DiskWriter
from kvorum.wal import Wal, WalContents, WalSnapshot
from tests.unit.server.members import DEADLINE_S, eventually


class CountingWal(Wal):
    """A real log that notes what each write held."""

    saved: list[list[int]]

    def save(
        self, hard_state: HardState | None, entries: Sequence[Entry], *, must_sync: bool
    ) -> None:
        self.saved.append([entry.index for entry in entries])
        super().save(hard_state, entries, must_sync=must_sync)


class Bench:
    """A writer, and what it told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "wal"
        wal = CountingWal.create(self.folder, b"", fsync=False)
        assert isinstance(wal, CountingWal)
        wal.saved = []
        self.wal = wal
        self.done: list[object] = []
        self.failures: list[BaseException] = []
        self.writer = DiskWriter(wal, asyncio.get_running_loop(), self.failures.append)

    def submit(self, *indexes: int, state: HardState | None = None) -> None:
        entries = [Entry(0, 1, index, b"data") for index in indexes]
        self.writer.submit(AppendJob(entries, state, True, lambda: self.done.append(indexes)))

    def hold(self) -> threading.Event:
        """Keep the thread busy until the event is set."""
        go_on = threading.Event()
        self.writer.submit(
            DiskJob(lambda: void(go_on.wait(DEADLINE_S)), lambda: self.done.append("held"))
        )
        return go_on

    def read_back(self) -> WalContents:
        wal, contents = Wal.open(self.folder, WalSnapshot(0, 0), fsync=False)
        wal.close()
        return contents


def void(_: object) -> None:
    return


@pytest.fixture
async def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_what_waits_is_written_together_and_finished_in_order(bench: Bench) -> None:
    go_on = bench.hold()
    for index in range(1, 51):
        bench.submit(index)
    go_on.set()
    await eventually(lambda: len(bench.done) == 51)
    assert bench.done == ["held", *((index,) for index in range(1, 51))]
    assert bench.wal.saved == [list(range(1, 51))]
    await bench.writer.stop(None)
    assert [entry.index for entry in bench.read_back().entries] == list(range(1, 51))


async def test_other_work_keeps_its_place_between_appends(bench: Bench) -> None:
    go_on = bench.hold()
    seen: list[int] = []
    bench.submit(1)
    bench.writer.submit(
        DiskJob(lambda: seen.append(len(bench.wal.saved)), lambda: bench.done.append("work"))
    )
    bench.submit(2)
    go_on.set()
    await eventually(lambda: len(bench.done) == 4)
    assert bench.done == ["held", (1,), "work", (2,)]
    assert seen == [1]
    await bench.writer.stop(None)


async def test_the_newest_of_the_states_that_wait_is_kept(bench: Bench) -> None:
    go_on = bench.hold()
    bench.submit(1, state=HardState(1, 1, 0))
    bench.submit(2, state=HardState(1, 1, 1))
    bench.submit(3)
    go_on.set()
    await bench.writer.stop(None)
    assert bench.read_back().hard_state == HardState(1, 1, 1)


async def test_stop_finishes_what_was_handed_over_and_writes_the_last_state(bench: Bench) -> None:
    bench.submit(1)
    bench.submit(2)
    await bench.writer.stop(HardState(1, 1, 2))
    contents = bench.read_back()
    assert [entry.index for entry in contents.entries] == [1, 2]
    assert contents.hard_state == HardState(1, 1, 2)


async def test_a_lone_entry_is_written_at_once_only_when_the_disk_is_quick_and_free(
    bench: Bench,
) -> None:
    entry = [Entry(0, 1, 1, b"data")]
    assert not bench.writer.write_now(entry, None)  # nothing is known of the disk yet
    bench.writer._write_s = QUICK_SYNC_S / 2
    assert bench.writer.write_now(entry, None)
    assert bench.wal.saved == [[1]]
    go_on = bench.hold()
    assert not bench.writer.write_now([Entry(0, 1, 2, b"data")], None)
    go_on.set()
    await bench.writer.stop(None)


async def test_one_slow_write_gives_the_disk_back_to_the_thread(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.writer._write_s = QUICK_SYNC_S / 2
    times = iter([0.0, 100 * QUICK_SYNC_S])
    monkeypatch.setattr("kvorum.server.disk.monotonic_s", lambda: next(times))
    assert bench.writer.write_now([Entry(0, 1, 1, b"data")], None)
    assert not bench.writer.write_now([Entry(0, 1, 2, b"data")], None)
    monkeypatch.undo()
    await bench.writer.stop(None)


async def test_a_failed_write_is_told_and_finishes_nothing(bench: Bench) -> None:
    go_on = bench.hold()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, bench.wal._fd)
    os.close(null)
    bench.submit(1)
    bench.submit(2)
    go_on.set()
    await eventually(lambda: bench.failures)
    assert bench.done == ["held"]
    await asyncio.wait_for(bench.writer.stop(None), DEADLINE_S)
