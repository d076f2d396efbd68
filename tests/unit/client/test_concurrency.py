"""Sessions, locks and elections against a real member."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from kvorum.client import (
    Client,
    Election,
    Mirror,
    Mutex,
    prefix_range,
)
from kvorum.errors import NotElectionLeaderError, SessionExpiredError
from tests.servers import Server, start_server

DEADLINE_S = 20


@pytest.fixture(scope="module")
def member() -> Iterator[Server]:
    with start_server() as server:
        yield server


async def keys_of(client: Client, prefix: bytes) -> list[bytes]:
    return [kv.key for kv in (await client.kv.get(*prefix_range(prefix))).kvs]


async def wait_for_keys(client: Client, prefix: bytes, count: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while len(await keys_of(client, prefix)) != count:  # noqa: ASYNC110 - what we wait for is a count
            await asyncio.sleep(0.01)


async def test_one_session_after_the_other_holds_a_lock(member: Server) -> None:
    held: list[int] = []

    async def work(number: int) -> None:
        async with (
            Client([member.target]) as client,
            client.session(ttl_s=5) as session,
            session.lock(b"one/after") as mutex,
        ):
            assert mutex.key == b"one/after/%x" % session.lease_id
            assert mutex.revision >= mutex.created > 0
            held.append(number)
            await asyncio.sleep(0.02)
            assert held[-1] == number
            held.append(-number)

    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(work(number) for number in range(1, 6)))
    assert sorted(held) == [-5, -4, -3, -2, -1, 1, 2, 3, 4, 5]


async def test_who_gives_up_leaves_the_queue(member: Server) -> None:
    async with (
        Client([member.target]) as client,
        client.session() as first,
        client.session() as second,
        client.session() as third,
        asyncio.timeout(DEADLINE_S),
    ):
        await first.lock(b"queue").acquire()
        waiting = asyncio.ensure_future(second.lock(b"queue").acquire())
        await wait_for_keys(client, b"queue/", 2)
        after = asyncio.ensure_future(third.lock(b"queue").acquire())
        await wait_for_keys(client, b"queue/", 3)
        waiting.cancel()
        await wait_for_keys(client, b"queue/", 2)
        assert not after.done()
        await first.lock(b"queue").release()
        await after


async def test_a_lock_is_lost_with_its_session(member: Server) -> None:
    async with Client([member.target]) as client, asyncio.timeout(DEADLINE_S):
        async with client.session() as holder, client.session(ttl_s=2) as waiter:
            await holder.lock(b"lost").acquire()
            mutex = waiter.lock(b"lost")
            waiting = asyncio.ensure_future(mutex.acquire())
            await wait_for_keys(client, b"lost/", 2)
            await client.leases.revoke(waiter.lease_id)
            await holder.close()
            with pytest.raises(SessionExpiredError):
                await waiting
            await waiter.wait_over()
        assert await keys_of(client, b"lost/") == []


async def test_a_lock_that_is_held_is_acquired_again_at_once(member: Server) -> None:
    async with (
        Client([member.target]) as client,
        client.session() as session,
        asyncio.timeout(DEADLINE_S),
    ):
        first, again = session.lock(b"again"), session.lock(b"again")
        await first.acquire()
        await again.acquire()
        assert isinstance(again, Mutex)
        assert again.created == first.created
        await again.release()


async def test_an_election_has_one_leader_and_tells_every_change(member: Server) -> None:
    async with (
        Client([member.target]) as client,
        client.session() as one,
        client.session() as other,
        asyncio.timeout(DEADLINE_S),
    ):
        first, second = one.election(b"e"), other.election(b"e")
        assert await first.leader() is None
        async with aclosing(second.observe()) as leaders:
            told = asyncio.ensure_future(anext(leaders))
            await first.campaign(b"first")
            assert (await told).kvs[0].value == b"first"
            standing = asyncio.ensure_future(second.campaign(b"second"))
            await wait_for_keys(client, b"e/", 2)
            await first.proclaim(b"first again")
            assert (await anext(leaders)).kvs[0].value == b"first again"
            await first.resign()
            await standing
            response = await anext(leaders)
            assert response.kvs[0].value == b"second"
            assert response.header.member_id
        leader = await first.leader()
        assert leader is not None
        assert leader.key == second.key
        with pytest.raises(NotElectionLeaderError):
            await first.proclaim(b"late")
        await second.resign()
        assert isinstance(second, Election)
        assert await second.leader() is None


async def test_who_stops_campaigning_stands_no_longer(member: Server) -> None:
    async with (
        Client([member.target]) as client,
        client.session() as one,
        client.session() as other,
        asyncio.timeout(DEADLINE_S),
    ):
        await one.election(b"stop").campaign(b"1")
        standing = asyncio.ensure_future(other.election(b"stop").campaign(b"2"))
        await wait_for_keys(client, b"stop/", 2)
        standing.cancel()
        await wait_for_keys(client, b"stop/", 1)


async def test_a_mirror_has_every_key_and_every_change(member: Server) -> None:
    async with Client([member.target]) as client, asyncio.timeout(DEADLINE_S):
        wanted = [b"mirror/%04d" % number for number in range(1500)]
        for start in range(0, 1500, 100):
            await asyncio.gather(*(client.kv.put(key, b"v") for key in wanted[start : start + 100]))
        mirror = Mirror(client, b"mirror/")
        found = [kv.key async for kvs in mirror.pages() for kv in kvs]
        assert found == wanted
        await client.kv.delete(wanted[0])
        async with mirror.changes() as watcher:
            response = await anext(watcher)
        assert response.events[0].kv.key == wanted[0]


async def test_all_alarms_are_disarmed_at_once(member: Server) -> None:
    from kvorum.client.methods import ALARM  # noqa: PLC0415 - nobody but a test raises alarms
    from kvorum.proto.rpc_pb2 import NOSPACE, AlarmRequest  # noqa: PLC0415

    async with Client([member.target]) as client:
        for member_id in (1, 2):
            request = AlarmRequest(action=AlarmRequest.ACTIVATE, memberID=member_id, alarm=NOSPACE)
            await client.maintenance._call(ALARM, request, 5.0)
        response = await client.maintenance.disarm()
        assert [alarm.memberID for alarm in response.alarms] == [1, 2]
        assert not (await client.maintenance.alarms()).alarms
        await client.maintenance.defragment()
