"""Applying the log: refusals, replays, alarms, and what this version does not know."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kvorum.errors import DecodeError, LeaseNotFoundError, NoSpaceError, StoppedError
from kvorum.proto.raft_internal_pb2 import InternalRaftRequest
from kvorum.proto.rpc_pb2 import (
    NOSPACE,
    AlarmRequest,
    AuthEnableRequest,
    CompactionRequest,
    RangeRequest,
)
from kvorum.proto.versions import Version
from kvorum.server.api import MemberApi
from kvorum.server.log import NO_LOG, Event, Logger
from kvorum.server.member import EtcdServer
from kvorum.server.opening import open_member
from kvorum.storage import CommitFailedError
from tests.unit.server.members import (
    DEADLINE_S,
    NEVER_S,
    crashed_copy,
    eventually,
    options_of,
    put,
    put_nowait,
    rows,
    running,
)

UNKNOWN = InternalRaftRequest(auth_enable=AuthEnableRequest()).SerializeToString()


async def raise_alarm(server: EtcdServer) -> None:
    request = AlarmRequest(action=AlarmRequest.ACTIVATE, memberID=server.member_id, alarm=NOSPACE)
    response = MemberApi(server).alarm(request, request.SerializeToString())
    assert not isinstance(response, bytes)
    await response


async def test_a_refusal_is_an_answer_and_takes_a_place_in_the_log(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        await put(server, b"a")  # behind what the member says of itself at its start
        index, revision = server.proposals.applied_index, server.store.revision
        with pytest.raises(LeaseNotFoundError):
            await put(server, b"a", lease=77)
        assert (server.proposals.applied_index, server.store.revision) == (index + 1, revision)


async def test_a_replay_comes_to_the_same_state(tmp_path: Path) -> None:
    """Nothing of it had reached the database; refused entries are refused again."""
    async with running(tmp_path / "d", batch_interval_s=NEVER_S) as server:
        for number in range(20):
            await put(server, b"%d" % (number % 7), b"%d" % number)
            with pytest.raises(LeaseNotFoundError):
                await put(server, b"refused", lease=77)
        await raise_alarm(server)
        with pytest.raises(NoSpaceError):
            await put(server, b"full")
        before = (rows(server), server.store.revision, server.store.hash_kv())
        copy = crashed_copy(tmp_path / "d", tmp_path / "copy")
    async with running(copy) as server:
        assert (rows(server), server.store.revision, server.store.hash_kv()) == before
        assert server.alarms.no_space


async def test_an_alarm_survives_a_restart_until_it_is_taken_back(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        await put(server, b"a", b"1")
        await raise_alarm(server)
    async with running(tmp_path) as server:
        api = MemberApi(server)
        with pytest.raises(NoSpaceError):
            await put(server, b"b")
        assert isinstance(api.range(RangeRequest(key=b"a")), bytes)
        assert api.active_alarms() == ["NOSPACE"]
        request = AlarmRequest(
            action=AlarmRequest.DEACTIVATE, memberID=server.member_id, alarm=NOSPACE
        )
        await api.alarm(request, request.SerializeToString())  # type: ignore[misc]
        await put(server, b"b")
    async with running(tmp_path) as server:
        await put(server, b"c")


async def test_the_quota_raises_the_alarm(tmp_path: Path) -> None:
    async with running(tmp_path, quota_bytes=1) as server:
        with pytest.raises(NoSpaceError):
            await put(server, b"a")
        assert server.alarms.active() == [(server.member_id, NOSPACE)]


async def test_a_request_that_is_not_known_here_ends_the_member(tmp_path: Path) -> None:
    """What it would have done is unknown, so nothing after it may be answered."""
    async with running(tmp_path) as server:
        await put(server, b"before")
        server.node.propose(UNKNOWN)
        with pytest.raises(DecodeError, match="auth_enable"):
            await asyncio.wait_for(asyncio.shield(server.failed), DEADLINE_S)
        with pytest.raises(StoppedError):
            put_nowait(server, b"after")
    options = options_of(tmp_path)
    again = EtcdServer(options, open_member(options, NO_LOG), NO_LOG)
    try:
        with pytest.raises(DecodeError, match=r"an entry of the log asks for .*auth_enable"):
            await again.start()
    finally:
        await again.stop()


async def test_garbage_in_the_log_ends_the_member(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        server.node.propose(b"\xff\xff\xff")
        with pytest.raises(DecodeError, match="is no request"):
            await asyncio.wait_for(asyncio.shield(server.failed), DEADLINE_S)


async def test_part_of_a_batch_that_broke_off_is_not_in_the_database(tmp_path: Path) -> None:
    """Else the next start, of a version that knows the request, would apply that part twice."""
    async with running(tmp_path, batch_interval_s=NEVER_S) as server:
        await put(server, b"before")
        server.backend.commit()
        index, before = server.proposals.applied_index, rows(server)
        lost = [put_nowait(server, b"lost%d" % number) for number in range(3)]
        server.node.propose(UNKNOWN)
        with pytest.raises(DecodeError):
            await asyncio.wait_for(asyncio.shield(server.failed), DEADLINE_S)
        assert len(rows(server)) == len(before) + 3
        with pytest.raises(CommitFailedError):
            server.backend.commit()
        await asyncio.gather(*lost, return_exceptions=True)
    options = options_of(tmp_path)
    opened = open_member(options, NO_LOG)
    try:
        assert opened.applied_index == index
        server = EtcdServer(options, opened, NO_LOG)
        assert rows(server) == before
        await server.stop()
    finally:
        opened.close()


@pytest.mark.parametrize("version", [Version(3, 5, 1), Version(3, 6, 0)])
async def test_a_compaction_that_is_done_is_told_as_stock_tells_it(
    tmp_path: Path, version: Version
) -> None:
    """Fields of 3.5.1 and of 3.6.16 (which names the hash, too, where there is one)."""
    events: list[Event] = []
    async with running(tmp_path, version=version) as server:
        server.log = server.applier._log = Logger(events.append)
        server.store.compaction_hashes.enabled = version >= Version(3, 6)
        for _ in range(4):
            await put(server, b"a")
        request = CompactionRequest(revision=4, physical=True)
        response = MemberApi(server).compact(request, request.SerializeToString())
        assert not isinstance(response, bytes)
        await asyncio.wait_for(response, DEADLINE_S)
        await eventually(lambda: len(events) > 1)
    messages = [event.message for event in events if "compact" in event.message]
    assert messages[:2] == ["compact tree index", "finished scheduled compaction"]
    assert events[0].fields == {"revision": 4}
    stored = [event.fields for event in events if event.message == "storing new hash"]
    assert [fields["revision"] for fields in stored] == [4] * (version >= Version(3, 6))
    (told,) = [event for event in events if event.message == "finished scheduled compaction"]
    fields = dict(told.fields)
    assert fields.pop("compact-revision") == 4
    sizes = {"current-db-size-bytes", "current-db-size"}
    sizes |= {"current-db-size-in-use-bytes", "current-db-size-in-use"}
    assert fields.keys() == {"took"} | ({"hash"} | sizes if version >= Version(3, 6) else set())
