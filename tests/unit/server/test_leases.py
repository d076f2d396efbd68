"""Leases through the log, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvorum.errors import LeaseNotFoundError, NotLeaderError, RequestTimeoutError
from kvorum.lease import Lessor
from kvorum.proto.rpc_pb2 import LeaseGrantRequest
from kvorum.server.api import MemberApi
from kvorum.server.leases import REVOKES_PER_ROUND_MAX, LeaseKeeper
from kvorum.server.member import EtcdServer
from kvorum.storage import Backend
from tests.unit.server.members import Clock, eventually, options_of, put, rows, running

TTL_S = 1000
CHECKPOINT_S = 300.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("kvorum.server.proposals.monotonic_s", clock)
    monkeypatch.setattr("kvorum.server.member.monotonic_s", clock)
    return clock


async def grant(server: EtcdServer, lease_id: int, ttl_s: int = TTL_S) -> None:
    response = MemberApi(server).lease_grant(LeaseGrantRequest(ID=lease_id, TTL=ttl_s))
    assert not isinstance(response, bytes)
    await response


async def round_of(server: EtcdServer) -> int:
    """A round of the leader's; returns how many entries it made, once they are applied."""
    before = server.proposals.applied_index
    server.leases.round()
    await eventually(lambda: server.leases._under_way == 0)
    return server.proposals.applied_index - before


def remaining_s(server: EtcdServer, lease_id: int = 1) -> int:
    return server.lessor.time_to_live(lease_id)[1]


async def test_an_expired_lease_is_revoked_through_the_log_with_its_keys(
    tmp_path: Path, clock: Clock
) -> None:
    async with running(tmp_path) as server:
        await grant(server, 1)
        await put(server, b"bound", lease=1)
        await put(server, b"free")
        clock.now_s += TTL_S - 1
        assert await round_of(server) == 0
        clock.now_s += 2
        assert await round_of(server) == 1
        assert not server.lessor.exists(1)
        assert list(rows(server)) == [b"free"]
    async with running(tmp_path) as server:
        assert not server.lessor.exists(1)
        assert list(rows(server)) == [b"free"]


async def test_a_renewed_lease_is_not_revoked(tmp_path: Path, clock: Clock) -> None:
    async with running(tmp_path) as server:
        await grant(server, 1)
        for _ in range(5):
            clock.now_s += TTL_S - 1
            assert MemberApi(server).lease_renew(1) == TTL_S
            assert await round_of(server) == 0
        assert server.lessor.exists(1)


async def test_leases_that_expire_together_are_revoked_in_portions(
    tmp_path: Path, clock: Clock
) -> None:
    count = REVOKES_PER_ROUND_MAX + 20
    async with running(tmp_path) as server:
        for number in range(count):
            await grant(server, number + 1)
        clock.now_s += TTL_S + 1
        assert await round_of(server) == REVOKES_PER_ROUND_MAX
        assert await round_of(server) == 20
        assert server.lessor.leases() == []


async def test_without_checkpoints_a_restart_gives_a_lease_its_full_time(
    tmp_path: Path, clock: Clock
) -> None:
    async with running(tmp_path) as server:
        await grant(server, 1)
        clock.now_s += 400
        assert await round_of(server) == 0
        assert remaining_s(server) == TTL_S - 400
    async with running(tmp_path) as server:
        assert remaining_s(server) >= TTL_S


async def test_with_persisted_checkpoints_a_restart_does_not_extend_a_lease(
    tmp_path: Path, clock: Clock
) -> None:
    settings = {"lease_checkpoint_interval_s": CHECKPOINT_S, "lease_checkpoint_persist": True}
    async with running(tmp_path, **settings) as server:
        await grant(server, 1)
        clock.now_s += 400
        assert await round_of(server) == 1
    async with running(tmp_path, **settings) as server:
        assert TTL_S - 400 <= remaining_s(server) <= TTL_S - 400 + 1
        clock.now_s += 400
        assert await round_of(server) == 1
    async with running(tmp_path, **settings) as server:
        assert TTL_S - 800 <= remaining_s(server) <= TTL_S - 800 + 2
        clock.now_s += TTL_S - 800 + 2
        assert await round_of(server) == 1
        assert not server.lessor.exists(1)


async def test_a_renewal_takes_the_checkpoint_back(tmp_path: Path, clock: Clock) -> None:
    settings = {"lease_checkpoint_interval_s": CHECKPOINT_S, "lease_checkpoint_persist": True}
    async with running(tmp_path, **settings) as server:
        await grant(server, 1)
        clock.now_s += 400
        assert await round_of(server) == 1
        index = server.proposals.applied_index
        renewal = MemberApi(server).lease_renew(1)
        assert not isinstance(renewal, int)
        assert await renewal == TTL_S
        assert server.proposals.applied_index == index + 1  # without a round
        assert await round_of(server) == 0
    async with running(tmp_path, **settings) as server:
        assert remaining_s(server) >= TTL_S


class Log:
    """The ways of a keeper to the log and to the other members, which the test answers for."""

    def __init__(self) -> None:
        self.proposed: list[asyncio.Future[bytes]] = []
        self.asked: list[asyncio.Future[None]] = []

    def propose(self, tag: bytes, request: Any) -> asyncio.Future[bytes]:
        del tag, request
        self.proposed.append(asyncio.get_running_loop().create_future())
        return self.proposed[-1]

    async def wait_linearizable(self) -> None:
        self.asked.append(asyncio.get_running_loop().create_future())
        await self.asked[-1]


@pytest.fixture
def kept(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[LeaseKeeper, Lessor, Log]]:
    """The keeper of a member that leads, one of several, with lease 1."""
    monkeypatch.setattr("kvorum.server.leases.monotonic_s", clock)
    log = Log()
    with Backend.open(tmp_path / "db", fsync=False) as backend:
        lessor = Lessor(backend, clock, 1, checkpoint_interval_s=CHECKPOINT_S)
        lessor.promote(0)
        lessor.grant(1, TTL_S)
        keeper = LeaseKeeper(
            lessor,
            log.propose,
            options_of(tmp_path, lease_checkpoint_interval_s=CHECKPOINT_S),
            leads_surely=lambda: False,
            wait_linearizable=log.wait_linearizable,
        )
        yield keeper, lessor, log
        keeper.stop()


async def turns() -> None:
    """Let everything go on that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_member_that_was_held_up_asks_whether_it_leads_before_it_revokes(
    kept: tuple[LeaseKeeper, Lessor, Log], clock: Clock
) -> None:
    """Etcd issue 15247: its clients have gone on with another leader."""
    keeper, lessor, log = kept
    clock.now_s += TTL_S + 1
    keeper.round()
    await turns()
    assert (len(log.asked), log.proposed) == (1, [])
    keeper.round()
    await turns()
    assert len(log.asked) == 1  # not again while it waits
    lessor.demote()
    log.asked[0].set_result(None)
    await turns()
    assert log.proposed == []


async def test_a_leader_that_is_confirmed_revokes(
    kept: tuple[LeaseKeeper, Lessor, Log], clock: Clock
) -> None:
    keeper, _, log = kept
    clock.now_s += TTL_S + 1
    keeper.round()
    await turns()
    log.asked[0].set_exception(RequestTimeoutError())
    await turns()
    assert log.proposed == []
    keeper.round()
    await turns()
    log.asked[1].set_result(None)
    await turns()
    assert len(log.proposed) == 1


async def test_a_member_that_was_held_up_asks_whether_it_leads_before_it_renews(
    kept: tuple[LeaseKeeper, Lessor, Log], clock: Clock
) -> None:
    keeper, lessor, log = kept
    assert keeper.renew(1) == TTL_S
    clock.now_s += 100
    renewal = keeper.renew(1)
    assert not isinstance(renewal, int)
    task = asyncio.ensure_future(renewal)
    await turns()
    lessor.demote()
    log.asked[0].set_result(None)
    with pytest.raises(NotLeaderError):
        await task


@pytest.mark.parametrize("is_revoked", [True, False])
async def test_a_lease_that_has_run_out_is_not_called_gone_before_it_is(
    kept: tuple[LeaseKeeper, Lessor, Log], clock: Clock, is_revoked: bool
) -> None:
    """Another leader may keep it: the client would give up what is still its own."""
    keeper, lessor, _ = kept
    clock.now_s += TTL_S + 1
    keeper.round()
    renewal = keeper.renew(1)
    assert not isinstance(renewal, int)
    task = asyncio.ensure_future(renewal)
    await turns()
    assert not task.done()
    if is_revoked:
        lessor.revoke(1)
    else:
        lessor.demote()
    with pytest.raises(LeaseNotFoundError if is_revoked else NotLeaderError):
        await task


async def test_a_renewal_is_told_when_the_log_has_taken_the_checkpoint_back(
    kept: tuple[LeaseKeeper, Lessor, Log], clock: Clock
) -> None:
    """Else a leader that comes now goes by the checkpoint, and ends the lease too early."""
    keeper, lessor, log = kept
    lessor.checkpoint(1, 10)
    keeper.round()
    renewal = keeper.renew(1)
    assert not isinstance(renewal, int)
    task = asyncio.ensure_future(renewal)
    await turns()
    assert not task.done()
    log.proposed[-1].set_result(b"")
    assert await task == TTL_S
