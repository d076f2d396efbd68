"""The node loop of a running member: batches, limits, reads, the state record that waits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kvorum.cluster.members import add_change
from kvorum.errors import (
    NoLeaderError,
    RequestTimeoutError,
    RequestTooLargeError,
    TooManyRequestsError,
)
from kvorum.proto.rpc_pb2 import RangeRequest, RangeResponse
from kvorum.server.api import MemberApi
from kvorum.server.log import NO_LOG
from kvorum.server.node import ProposalLimits
from kvorum.server.opening import open_member
from kvorum.wal import Wal, WalSnapshot
from tests.unit.server.members import (
    NEVER_S,
    PLAN,
    Clock,
    crashed_copy,
    options_of,
    put,
    put_many,
    put_nowait,
    rows,
    running,
)


class Waiter:
    """A read that waits for its index."""

    def __init__(self) -> None:
        self.told: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def indexed(self, index: int) -> None:
        self.told.set_result(index)

    def is_over(self) -> bool:
        return self.told.done()


async def test_proposals_of_one_turn_share_a_write(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        wal, counts = server._disk._wal, []
        save = wal.save

        def counted(state, entries, *, must_sync):  # type: ignore[no-untyped-def]
            counts.append(len(entries))
            save(state, entries, must_sync=must_sync)

        wal.save = counted  # type: ignore[method-assign]
        await put_many(server, 300)
        assert max(counts) == 300
        assert len(rows(server)) == 300
        del wal.save


async def test_at_the_count_limit_a_proposal_is_refused_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as server:
        server.node._limits = ProposalLimits(count_max=3)
        taken = [put_nowait(server, b"%d" % n) for n in range(3)]
        with pytest.raises(TooManyRequestsError):
            put_nowait(server, b"refused")
        await asyncio.gather(*taken)
        await put(server, b"later")
        assert sorted(rows(server)) == [b"0", b"1", b"2", b"later"]
        assert len(server.proposals.pending) == 0


async def test_at_the_size_limit_a_proposal_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        server.node._limits = ProposalLimits(size_bytes_max=3000)
        taken = put_nowait(server, b"a", b"x" * 2000)
        with pytest.raises(TooManyRequestsError):
            put_nowait(server, b"b", b"x" * 2000)
        await taken
        await put(server, b"c", b"x" * 2000)
        assert sorted(rows(server)) == [b"a", b"c"]


async def test_a_proposal_over_the_request_limit_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, max_request_bytes=1000) as server:
        with pytest.raises(RequestTooLargeError):
            await put_nowait(server, b"a", b"x" * 1000)
        await put(server, b"a", b"x" * 900)


async def test_a_proposal_without_an_answer_in_time_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a virtual clock: 5 seconds and two election timeouts."""
    clock = Clock()
    monkeypatch.setattr("kvorum.server.proposals.monotonic_s", clock)
    monkeypatch.setattr("kvorum.server.member.monotonic_s", clock)
    async with running(tmp_path) as server:
        server.node._scheduled = True  # a loop that never comes to its turn
        future = put_nowait(server, b"a")
        clock.now_s += server.options.request_timeout_s - 0.001
        server._lease_round()
        assert not future.done()
        clock.now_s += 0.001
        server._lease_round()
        with pytest.raises(RequestTimeoutError):
            await future


async def test_a_proposal_that_the_core_refuses_is_told_so(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        future = put_nowait(server, b"a")
        (data,) = server.node._proposals
        server.proposals.dropped([data], NoLeaderError())
        with pytest.raises(NoLeaderError):
            await future


async def test_a_linearizable_read_sees_every_write_answered_before(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        api = MemberApi(server)
        for number in range(20):
            await put(server, b"a", b"%d" % number)
            response = api.range(RangeRequest(key=b"a"))
            assert isinstance(response, bytes)  # a lone leader need not ask anybody
            assert RangeResponse.FromString(response).kvs[0].value == b"%d" % number


async def test_reads_of_one_turn_share_a_round(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        await put(server, b"a")
        before, waiters = server.node.read_rounds, [Waiter() for _ in range(50)]
        for waiter in waiters:
            server.node.read_index(waiter)
        await asyncio.wait_for(waiters[-1].told, 10)
        assert {waiter.told.result() for waiter in waiters} == {server.proposals.applied_index}
        assert server.node.read_rounds == before + 1


async def test_the_commit_index_is_in_the_log_after_a_stop(tmp_path: Path) -> None:
    """It is not worth a write of its own for each batch; see `take_late_state`."""
    async with running(tmp_path, heartbeat_interval_s=NEVER_S) as server:
        await put(server, b"a")
        last = server.proposals.applied_index
    wal, contents = Wal.open(tmp_path / "member" / "wal", WalSnapshot(0, 0), fsync=False)
    wal.close()
    assert contents.hard_state.commit == last == contents.entries[-1].index


async def test_a_commit_index_that_never_reached_the_log_is_not_missed(tmp_path: Path) -> None:
    """A crash before the tick: neither the log nor the database knows of the commit."""
    quiet = {"heartbeat_interval_s": NEVER_S, "batch_interval_s": NEVER_S}
    async with running(tmp_path / "d", **quiet) as server:
        for number in range(10):
            await put(server, b"%d" % number)
        before, last = rows(server), server.proposals.applied_index
        copy = crashed_copy(tmp_path / "d", tmp_path / "copy")
    opened = open_member(options_of(copy), NO_LOG)
    commit = opened.storage.initial_state()[0].commit
    opened.close()
    assert commit < last
    async with running(copy) as server:
        assert rows(server) == before


async def test_a_change_of_members_that_cannot_be_is_a_no_op(tmp_path: Path) -> None:
    """The member exists already. The log goes on behind it."""
    async with running(tmp_path) as server:
        await put(server, b"a")
        index = server.proposals.applied_index
        server.node.propose_conf_change(add_change(1, PLAN.members[0]))
        await put(server, b"b")
        assert server.proposals.applied_index == index + 2
        assert len(server.cluster.members()) == 1
        assert not server.failed.done()
