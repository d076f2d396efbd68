"""A leader's snapshot on its way to being the state, and what a crash there leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kvorum.cluster import v2store
from kvorum.cluster.member import Member
from kvorum.errors import StatusError
from kvorum.mvcc.store import Store
from kvorum.proto.raftpb import ConfState, Message, MessageType, Snapshot, SnapshotMetadata
from kvorum.proto.versions import Version
from kvorum.server.log import NO_LOG
from kvorum.server.member import EtcdServer
from kvorum.server.opening import OpenedMember, open_member
from kvorum.storage import Backend
from kvorum.storage.buckets import CONSISTENT_INDEX, META, TERM, decode_u64
from tests.unit.server.members import (
    NEVER_S,
    PLAN,
    crashed_copy,
    eventually,
    options_of,
    put_many,
    rows,
    running,
)

LEADER = Member(id=0xBEEF, peer_urls=("http://127.0.0.1:1",), name="leader")
AHEAD = 1000
# A database of such a member does not name its format, and its rows of members are not to be
# trusted.
OLD: dict[str, Any] = {"version": Version(3, 5, 0), "batch_interval_s": NEVER_S}


def snapshot_of(server: EtcdServer) -> Snapshot:
    """What a leader says that is far ahead, and whose cluster has one member more."""
    own = PLAN.members[0]
    return Snapshot(
        v2store.encode([own, LEADER], [], Version(3, 5, 0)),
        SnapshotMetadata(
            ConfState(voters=sorted([own.id, LEADER.id])),
            server.proposals.applied_index + AHEAD,
            server.node.raw.term + 1,
        ),
    )


async def receive(server: EtcdServer, folder: Path, snapshot: Snapshot) -> None:
    """Have the member take its own database as that of a leader."""
    path = folder / "member" / "snap" / "tmp-received"
    source = await server.snapshot_sources.open()
    try:
        with path.open("wb") as file:
            while piece := await source.read():
                file.write(piece)
    finally:
        await source.close()
    message = Message(
        MessageType.SNAP,
        server.member_id,
        LEADER.id,
        snapshot.metadata.term,
        snapshot=snapshot,
    )
    await server.inbox.receive_snapshot(message, str(path))
    await eventually(lambda: server.proposals.applied_index == snapshot.metadata.index)


def reopened(folder: Path) -> OpenedMember:
    return open_member(options_of(folder, version=Version(3, 5, 0)), NO_LOG)


def stored(opened: OpenedMember, name: bytes) -> int:
    return decode_u64(opened.backend.get(META, name) or bytes(8))


async def test_a_crash_right_after_a_snapshot_was_taken_is_started_from(tmp_path: Path) -> None:
    """Nothing was applied behind it that would have made the database say its index."""
    async with running(tmp_path / "data", **OLD) as server:
        await put_many(server, 20)
        before = rows(server)
        snapshot = snapshot_of(server)
        await receive(server, tmp_path / "data", snapshot)
        assert rows(server) == before
        crashed = crashed_copy(tmp_path / "data", tmp_path / "crashed")
    opened = reopened(crashed)
    try:
        assert opened.applied_index == opened.snapshot_index == snapshot.metadata.index
        assert stored(opened, CONSISTENT_INDEX) == snapshot.metadata.index
        assert stored(opened, TERM) == snapshot.metadata.term
        assert [one.id for one in opened.cluster.members()] == snapshot.metadata.conf_state.voters
    finally:
        opened.close()


async def test_a_database_that_took_the_place_says_all_that_the_snapshot_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the moment when the file has its name."""
    replace = Backend.replace

    def replace_and_copy(backend: Backend, path: Path) -> None:
        replace(backend, path)
        crashed_copy(tmp_path / "data", tmp_path / "crashed")

    monkeypatch.setattr(Backend, "replace", replace_and_copy)
    async with running(tmp_path / "data", **OLD) as server:
        await put_many(server, 20)
        snapshot = snapshot_of(server)
        await receive(server, tmp_path / "data", snapshot)
    opened = reopened(tmp_path / "crashed")
    try:
        assert opened.applied_index == snapshot.metadata.index
        assert [one.id for one in opened.cluster.members()] == snapshot.metadata.conf_state.voters
        assert (
            sorted(opened.storage.initial_state()[1].voters) == snapshot.metadata.conf_state.voters
        )
    finally:
        opened.close()


async def test_what_is_written_without_an_entry_leaves_the_term_of_the_snapshot(
    tmp_path: Path,
) -> None:
    """A compaction's step, for one. A leader tells this term to whom it sends the database."""
    async with running(tmp_path / "data", **OLD) as server:
        await put_many(server, 20)
        snapshot = snapshot_of(server)
        await receive(server, tmp_path / "data", snapshot)
        server.backend.put(META, b"x", b"")
        server.backend.commit()
        assert decode_u64(server.backend.get(META, TERM) or b"") == snapshot.metadata.term


async def test_who_waits_for_a_commit_when_the_database_is_replaced_is_let_go(
    tmp_path: Path,
) -> None:
    async with running(tmp_path / "data", **OLD) as server:
        await put_many(server, 20)
        snapshot = snapshot_of(server)
        await put_many(server, 20)
        awaited = server.backend.expedite()
        assert server.backend.settled_count < awaited
        await receive(server, tmp_path / "data", snapshot)
        assert server.backend.settled_count >= awaited


async def test_a_snapshot_that_was_never_committed_does_not_count_later(tmp_path: Path) -> None:
    """Killed between the log's record of a snapshot and the state that says it is committed.

    The member gets entries instead of the snapshot after that, and is killed when they have passed
    the snapshot's index in the log and not yet in the database.
    """
    async with running(tmp_path / "data", **OLD) as server:
        await put_many(server, 20)
        snapshot = snapshot_of(server)
        metadata = snapshot.metadata
        metadata.index = server.proposals.applied_index + 10
        server.receiver.save(snapshot)
        assert server.wal_figures.bytes_written
    async with running(tmp_path / "data", **OLD) as server:
        assert server.proposals.applied_index < metadata.index
        await put_many(server, 20)
        server.node.flush_state()
        before = rows(server)
        await eventually(lambda: not server._disk._handed_over)
        crashed = crashed_copy(tmp_path / "data", tmp_path / "crashed")
    async with running(crashed, **OLD) as server:
        assert server.proposals.applied_index > metadata.index
        assert rows(server) == before


async def test_the_keys_are_read_before_the_database_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading all of them takes seconds, and nothing else is done in the turn that replaces."""
    async with running(tmp_path / "data", **OLD) as server:
        await put_many(server, 20)
        before, old = rows(server), server.store.index

        def read(*_: object) -> None:
            raise AssertionError("the keys are read while everybody waits")

        monkeypatch.setattr(Store, "_read", read)
        await receive(server, tmp_path / "data", snapshot_of(server))
        assert server.store.index is not old
        assert rows(server) == before
        await eventually(lambda: not old.records)


async def test_a_damaged_database_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    async with running(tmp_path / "data", **OLD) as server:
        await put_many(server, 20)
        before, folder = rows(server), tmp_path / "data" / "member" / "snap"
        received = folder / "tmp-received"
        received.write_bytes(b"this is no database" * 1000)
        with pytest.raises(StatusError, match="a worker failed"):
            await server.receiver.take(received, 1234)
        assert {path.name for path in folder.iterdir()} == {"db", "db-lock", "tmp-received"}
        assert rows(server) == before
