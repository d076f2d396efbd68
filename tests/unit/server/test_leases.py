"""Leases through the log, on a clock that the test moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvorum.proto.rpc_pb2 import LeaseGrantRequest
from kvorum.server.api import MemberApi
from kvorum.server.leases import REVOKES_PER_ROUND_MAX
from kvorum.server.member import EtcdServer
from tests.unit.server.members import Clock, eventually, put, rows, running

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
        assert MemberApi(server).lease_renew(1) == TTL_S
        await eventually(lambda: server.proposals.applied_index == index + 1)  # without a round
        assert await round_of(server) == 0
    async with running(tmp_path, **settings) as server:
        assert remaining_s(server) >= TTL_S
