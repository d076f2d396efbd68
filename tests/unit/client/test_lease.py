"""Leases: the keep-alive loop, against a member that a test directs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest

from kvorum.client import Client, ClientClosedError, ClientOptions, DeadlineExceededError
from kvorum.client.keepalive import UNREAD_RESPONSES_MAX
from kvorum.client.methods import LEASE_KEEP_ALIVE
from kvorum.errors import Code, LeaseNotFoundError, NoLeaderError, StatusError
from kvorum.proto.rpc_pb2 import LeaseKeepAliveRequest, LeaseKeepAliveResponse
from tests.unit.client.fakes import FakeMember, Proxy, fail, serving, until

QUICK = ClientOptions(dial_timeout_s=0.1)


class LeasingMember(FakeMember):
    """Answers keep-alives with the TTL in `ttls` (0: there is no such lease)."""

    def __init__(self, **ttls: int) -> None:
        super().__init__()
        self.ttls = {int(name.removeprefix("l")): ttl for name, ttl in ttls.items()}
        self.asked: list[tuple[int, float]] = []
        self.silent = False
        self.streams[LEASE_KEEP_ALIVE.path] = self.keep_alive

    async def keep_alive(
        self, requests: AsyncIterator[LeaseKeepAliveRequest], context: object
    ) -> AsyncIterator[LeaseKeepAliveResponse]:
        async for request in requests:
            self.asked.append((request.ID, time.monotonic()))
            if not self.silent:
                yield LeaseKeepAliveResponse(ID=request.ID, TTL=self.ttls.get(request.ID, 0))

    def times(self, lease_id: int) -> list[float]:
        return [moment for asked, moment in self.asked if asked == lease_id]


async def test_a_lease_is_asked_for_again_when_a_third_of_its_time_is_over() -> None:
    member = LeasingMember(l1=1)
    async with (
        serving(member),
        Client([member.endpoint]) as client,
        client.leases.keep_alive(1),
    ):
        await until(lambda: len(member.asked) == 4)
    gaps = [after - before for before, after in pairwise(member.times(1))]
    assert all(1 / 3 - 0.02 < gap < 0.9 for gap in gaps), gaps


async def test_the_leases_of_a_client_share_one_stream() -> None:
    member = LeasingMember(l1=60, l2=60, l3=60)
    async with serving(member), Client([member.endpoint]) as client:
        kept = [client.leases.keep_alive(number) for number in (1, 2, 3)]
        for one in kept:
            assert (await anext(one)).TTL == 60
        assert member.calls == [LEASE_KEEP_ALIVE.path]


async def test_a_lease_that_the_member_does_not_know_ends() -> None:
    member = LeasingMember(l2=60)
    async with serving(member), Client([member.endpoint]) as client:
        lost, kept = client.leases.keep_alive(1), client.leases.keep_alive(2)
        with pytest.raises(LeaseNotFoundError):
            await anext(lost)
        assert isinstance(await lost.wait_over(), LeaseNotFoundError)
        assert (await anext(kept)).ID == 2


async def test_a_lease_without_answers_ends_when_its_time_is_over() -> None:
    member = LeasingMember(l1=1)
    async with serving(member), Client([member.endpoint]) as client:
        kept = client.leases.keep_alive(1)
        await anext(kept)
        start_s = time.monotonic()
        member.silent = True
        assert isinstance(await kept.wait_over(), LeaseNotFoundError)
        assert 0.5 < time.monotonic() - start_s < 3.0


async def test_without_any_member_the_first_answer_is_not_waited_for_long() -> None:
    async with Client(["127.0.0.1:1"], options=QUICK) as client:
        with pytest.raises(LeaseNotFoundError):
            await anext(client.leases.keep_alive(1))


async def test_a_broken_stream_is_opened_again_and_every_lease_asked_for() -> None:
    member = LeasingMember(l1=60, l2=60)
    async with (
        serving(member),
        Proxy(member.endpoint) as proxy,
        Client([proxy.endpoint]) as client,
    ):
        kept = [client.leases.keep_alive(number) for number in (1, 2)]
        for one in kept:
            await anext(one)
        proxy.cut()
        for one in kept:
            await anext(one)
        assert len(member.calls) == 2


async def test_a_lease_that_is_no_longer_kept_is_not_asked_for() -> None:
    member = LeasingMember(l1=1, l2=1)
    async with serving(member), Client([member.endpoint]) as client:
        async with client.leases.keep_alive(1) as one:
            await anext(one)
        with pytest.raises(ClientClosedError):
            await anext(one)
        asked_count = len(member.times(1))
        async with client.leases.keep_alive(2):
            await until(lambda: len(member.times(2)) == 3)
        assert len(member.times(1)) == asked_count


async def test_answers_that_nobody_reads_do_not_pile_up() -> None:
    member = LeasingMember(l1=60)
    async with serving(member), Client([member.endpoint]) as client:
        kept = client.leases.keep_alive(1)
        for _ in range(100):
            kept.answered(LeaseKeepAliveResponse(ID=1, TTL=60))
        kept.cancel()
        assert len([await anext(kept) for _ in range(UNREAD_RESPONSES_MAX)]) == 16
        with pytest.raises(ClientClosedError):
            await anext(kept)


async def test_once_is_once() -> None:
    member = LeasingMember(l1=60)
    async with serving(member), Client([member.endpoint]) as client:
        assert (await client.leases.keep_alive_once(1)).TTL == 60
        with pytest.raises(LeaseNotFoundError):
            await client.leases.keep_alive_once(2)
        assert [lease_id for lease_id, _ in member.asked] == [1, 2]


async def test_once_waits_no_longer_than_it_may() -> None:
    member = LeasingMember(l1=60)
    member.silent = True
    async with serving(member), Client([member.endpoint], options=QUICK) as client:
        with pytest.raises(DeadlineExceededError):
            await client.leases.keep_alive_once(1, timeout_s=0.1)


async def test_once_asks_another_member_when_one_does_not_answer() -> None:
    silent, member = LeasingMember(l1=60), LeasingMember(l1=60)
    silent.silent = True
    options = ClientOptions(read_attempt_s=0.1)
    async with (
        serving(silent),
        serving(member),
        Client([silent.endpoint, member.endpoint], options=options) as client,
    ):
        assert (await client.leases.keep_alive_once(1, timeout_s=20)).TTL == 60
        assert len(silent.asked) == 1


@pytest.mark.parametrize("timeout_s", [None, 20.0])
async def test_once_believes_a_member_that_has_no_leader(timeout_s: float | None) -> None:
    """Also without a deadline; but there may be another one that has."""
    member = LeasingMember(l1=60)
    refused = 0

    async def refuse(
        requests: AsyncIterator[LeaseKeepAliveRequest], context: Any
    ) -> AsyncIterator[LeaseKeepAliveResponse]:
        nonlocal refused
        refused += 1
        await fail(context, NoLeaderError())
        yield LeaseKeepAliveResponse()

    leaderless = FakeMember()
    leaderless.streams[LEASE_KEEP_ALIVE.path] = refuse
    async with serving(leaderless), serving(member), asyncio.timeout(10):
        async with Client([leaderless.endpoint]) as client:
            with pytest.raises(NoLeaderError):
                await client.leases.keep_alive_once(1, timeout_s=timeout_s)
        assert refused == 1
        async with Client([leaderless.endpoint, member.endpoint]) as client:
            assert (await client.leases.keep_alive_once(1, timeout_s=timeout_s)).TTL == 60


async def test_a_member_without_leases_ends_them() -> None:
    member = FakeMember()
    async with serving(member), Client([member.endpoint]) as client:
        with pytest.raises(StatusError) as caught:
            await anext(client.leases.keep_alive(1))
        assert caught.value.status is Code.UNIMPLEMENTED
