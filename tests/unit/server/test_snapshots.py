"""Snapshots and the log they allow to be thrown away."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kvorum.server.log import NO_LOG
from kvorum.server.member import EtcdServer
from kvorum.server.opening import open_member
from kvorum.wal import SnapshotFiles, Wal
from tests.unit.server.members import (
    DEADLINE_S,
    crashed_copy,
    eventually,
    options_of,
    put,
    put_many,
    rows,
    running,
)

SMALL: dict[str, Any] = {"snapshot_count": 50, "snapshot_catchup_entries": 10, "max_snapshots": 2}


def files_of(folder: Path) -> list[Path]:
    return sorted((folder / "member" / "snap").glob("*.snap"))


async def fill(server: EtcdServer, rounds: int = 12) -> None:
    """Write enough for a snapshot, so many times, and wait for each."""
    snapshotter = server._snapshotter
    for number in range(rounds):
        before = snapshotter._index
        await put_many(server, 60, b"round%d/" % number)
        async with asyncio.timeout(DEADLINE_S):
            while snapshotter._index == before:
                # A snapshot goes with a transaction, and one that is still being written holds
                # the next up.
                await put(server, b"nudge")
                await asyncio.sleep(0.005)
    await eventually(lambda: not snapshotter._writing)


async def test_snapshots_are_made_by_count_and_old_ones_removed(tmp_path: Path) -> None:
    async with running(tmp_path, **SMALL) as server:
        await put_many(server, 40)
        await put(server, b"nudge")
        assert files_of(tmp_path) == []
        await fill(server)
        assert 1 <= len(files_of(tmp_path)) <= 2
        newest = SnapshotFiles(tmp_path / "member" / "snap").newest_index()
        assert newest == server._snapshotter._index > 600


async def test_the_log_in_memory_is_cut_behind_a_snapshot(tmp_path: Path) -> None:
    async with running(tmp_path, **SMALL) as server:
        await fill(server)
        storage = server.node._storage
        assert storage.first_index() >= server._snapshotter._index - 10
        assert storage.last_index() - storage.first_index() < 200


async def test_a_snapshot_needs_no_further_write(tmp_path: Path) -> None:
    async with running(tmp_path, **SMALL) as server:
        await put_many(server, 60)
        await eventually(lambda: files_of(tmp_path))
        assert server._snapshotter._index == server.proposals.applied_index


async def test_what_is_applied_until_a_snapshot_is_down_asks_for_no_second(tmp_path: Path) -> None:
    async with running(tmp_path, **SMALL) as server:
        snapshotter, index = server._snapshotter, server.proposals.applied_index + 51
        snapshotter.applied(index)
        assert snapshotter._wanted
        snapshotter.sealing(index, 1, server.cluster)
        snapshotter.applied(index + 1)
        assert not snapshotter._wanted
        snapshotter.restored(server.node._storage.snapshot())  # it was none


async def test_all_of_the_log_is_left_behind_a_snapshot_where_newcomers_must_not_get_it(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as server:
        await put_many(server, 20)
        index, storage = server.proposals.applied_index, server.node._storage
        assert storage.first_index() == 1
        server._snapshotter.want(leave_log=True)
        await put(server, b"nudge")
        await eventually(lambda: storage.first_index() > index)
        assert storage.first_index() == server._snapshotter._index + 1
        assert not server._snapshotter._leaves_log


async def test_a_restart_goes_on_from_the_newest_snapshot(tmp_path: Path) -> None:
    async with running(tmp_path, **SMALL) as server:
        await fill(server)
        await put(server, b"last")
        before, index = rows(server), server._snapshotter._index
    opened = open_member(options_of(tmp_path), NO_LOG)
    try:
        assert opened.snapshot_index == index
        assert opened.storage.first_index() == index + 1
        assert opened.applied_index > index
    finally:
        opened.close()
    async with running(tmp_path, **SMALL) as server:
        assert rows(server) == before
        assert await put(server, b"new") == max(r for _, r in before.values()) + 1
        await fill(server, 2)  # and it makes snapshots again


async def test_a_crash_after_any_snapshot_is_started_from(tmp_path: Path) -> None:
    """The database on the disk is never behind the snapshot beside it."""
    async with running(tmp_path / "d", **SMALL) as server:
        for number in range(4):
            await fill(server, 1 + number)
            await put(server, b"mark%d" % number)
            await eventually(lambda: server.backend.is_settled)
            before = rows(server)
            copy = crashed_copy(tmp_path / "d", tmp_path / f"copy{number}")
            async with running(copy, **SMALL) as again:
                assert rows(again) == before


async def test_segments_that_a_snapshot_covers_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for method in (Wal.create, Wal.open):
        defaults = method.__func__.__kwdefaults__  # type: ignore[attr-defined]
        monkeypatch.setitem(defaults, "segment_bytes", 1 << 14)
    wals = tmp_path / "member" / "wal"
    async with running(tmp_path, **SMALL, max_wals=2) as server:
        first = min(wals.glob("*.wal")).name
        await fill(server)
        segments = sorted(path.name for path in wals.glob("*.wal"))
        assert first not in segments
        assert len(segments) <= 5
        before = rows(server)
    async with running(tmp_path, **SMALL) as server:
        assert rows(server) == before
