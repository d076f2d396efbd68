"""Row T6: the client library on a cluster whose members are killed, paused and moved."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from kvorum.client import Client, ClientOptions, Watcher, op_get
from kvorum.client.txn import compare_create, op_put
from kvorum.errors import NoLeaderError, UnavailableError, WireError
from tests.cluster import Cluster, start_cluster

pytestmark = pytest.mark.slow

WAIT_S = 60.0
PAUSE_S = 0.05


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with start_cluster() as started:
        yield started


async def put(client: Client, key: bytes) -> None:
    """Write, again where nobody can know whether it was done. One key is put once or more."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                await client.kv.put(key, b"v")
                return
            except UnavailableError:
                await asyncio.sleep(PAUSE_S)


@contextlib.asynccontextmanager
async def gathering(watcher: Watcher) -> AsyncIterator[list[int]]:
    """The revisions of a watch's events, as they come."""
    revisions: list[int] = []

    async def gather() -> None:
        async for response in watcher:
            revisions.extend(event.kv.mod_revision for event in response.events)

    task = asyncio.create_task(gather())
    try:
        yield revisions
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            if condition():
                return
            await asyncio.sleep(PAUSE_S)


async def test_reads_and_writes_go_on_when_members_die_one_after_the_other(
    cluster: Cluster,
) -> None:
    async with Client(cluster.targets) as client:
        await put(client, b"k0")
        for index in range(3):
            cluster.kill(index)
            await put(client, b"k%d" % (index + 1))
            found = await client.kv.get(b"k", b"l", timeout_s=30)
            assert found.count == index + 2
            cluster.members[index].start()
            await asyncio.to_thread(cluster.wait_healthy, index)


async def test_a_read_is_answered_within_its_deadline_though_a_member_hangs(
    cluster: Cluster,
) -> None:
    leader = await asyncio.to_thread(cluster.wait_leader)
    hanging = next(index for index in range(3) if index != leader)
    async with Client(cluster.targets, options=ClientOptions(timeout_s=8.0)) as client:
        for _ in range(3):  # a connection to each
            await client.kv.get(b"k")
        cluster.pause(hanging)
        for _ in range(6):
            await client.kv.get(b"k")
        cluster.resume(hanging)


async def test_a_watch_is_told_of_every_event_once_while_members_die(cluster: Cluster) -> None:
    async with Client(cluster.targets) as client:
        watcher = client.watch(b"w/", b"w0", start_revision=1)
        async with gathering(watcher) as revisions:
            for index in (0, 1, 2, 0):
                for number in range(5):
                    await put(client, b"w/%d/%d" % (index, number))
                cluster.kill(index)
                for number in range(5, 10):
                    await put(client, b"w/%d/%d" % (index, number))
                cluster.members[index].start()
                await asyncio.to_thread(cluster.wait_healthy, index)
            newest = (await client.kv.get(b"w/", b"w0", timeout_s=30)).header.revision
            await until(lambda: bool(revisions) and revisions[-1] == newest)
    assert revisions == list(range(2, newest + 1))


async def test_a_lease_is_kept_alive_through_failures_and_a_member_that_hangs(
    cluster: Cluster,
) -> None:
    async with Client(cluster.targets) as client:
        granted = await client.leases.grant(15)
        await client.kv.put(b"kept", b"v", lease=granted.ID)
        async with client.leases.keep_alive(granted.ID) as kept:
            answers = 0

            async def count() -> None:
                nonlocal answers
                async for _ in kept:
                    answers += 1

            counting = asyncio.create_task(count())
            leader = await asyncio.to_thread(cluster.wait_leader)
            cluster.kill(leader)
            seen = answers
            await until(lambda: answers > seen + 1)
            cluster.members[leader].start()
            await asyncio.to_thread(cluster.wait_healthy, leader)
            hanging = cluster.targets.index(client._transport.ring.current.text)
            cluster.pause(hanging)
            seen = answers
            await until(lambda: answers > seen + 3)  # each a third of the lease's time
            assert not counting.done()
            cluster.resume(hanging)
            counting.cancel()
        assert (await client.kv.get(b"kept", timeout_s=30)).count == 1


async def test_without_a_majority_a_call_that_asks_for_a_leader_is_refused_at_once(
    cluster: Cluster,
) -> None:
    left = cluster.targets[2]
    cluster.kill(0)
    cluster.kill(1)
    options = ClientOptions(require_leader=True)
    async with Client([left], options=options) as client, asyncio.timeout(WAIT_S):
        while True:
            try:
                await client.kv.get(b"k", timeout_s=10)
            except NoLeaderError:
                break
            except WireError:
                await asyncio.sleep(PAUSE_S)
        async with client.watch(b"k", require_leader=True) as watcher:
            with pytest.raises(NoLeaderError):
                await anext(watcher)


async def test_the_endpoints_follow_the_members(cluster: Cluster) -> None:
    """One endpoint given, all found; and again after one was replaced."""
    options = ClientOptions(auto_sync_interval_s=0.2)
    async with Client([cluster.targets[0]], options=options) as client:
        urls = {member.client_url for member in cluster.members}
        assert set(await client.cluster.sync()) == urls
        cluster.kill(0)
        await put(client, b"k")
        member_id = next(
            one.ID
            for one in (await client.cluster.member_list(timeout_s=30)).members
            if one.name == "m1"
        )
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    await client.cluster.member_remove(member_id)
                    break
                except WireError:
                    await asyncio.sleep(PAUSE_S)
        await until(lambda: set(client.endpoints) == urls - {cluster.members[0].client_url})
        result = (
            await client.kv.txn()
            .when(compare_create(b"t", "=", 0))
            .then(op_put(b"t", b"v"), op_get(b"k"))
            .commit()
        )
        assert result.succeeded
