"""Row T6: the client library on a cluster whose members are killed, paused and moved."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeVar

import pytest

from kvorum.client import Client, ClientOptions, Watcher, op_get
from kvorum.client.txn import compare_create, op_put
from kvorum.errors import (
    CompactedError,
    NoLeaderError,
    StatusError,
    UnavailableError,
    WireError,
)
from tests.cluster import Cluster, start_cluster
from tests.unit.client.fakes import Proxy as LinkProxy

pytestmark = pytest.mark.slow

WAIT_S = 60.0
PAUSE_S = 0.05
SLACK_S = 14.0
"""For a machine that is busy; half of what it would take if nobody pinged."""
T = TypeVar("T")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with start_cluster() as started:
        yield started


@pytest.fixture(params=["kvorum", "stock3.5"])
def either(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of ours, and one that shows that it is not our members that make it easy."""
    with start_cluster([request.param] * 3, proxied=True) as started:
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


async def insisting(change: Callable[[], Awaitable[T]]) -> T:
    """Ask for a change until it is made: members that have just met each other refuse it."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                return await change()
            except WireError:
                await asyncio.sleep(PAUSE_S)


def initial_cluster_of(cluster: Cluster, *indexes: int) -> str:
    return ",".join(f"{cluster.members[i].name}={cluster.advertised[i]}" for i in indexes)


@pytest.mark.soak
async def test_a_watch_leaves_a_member_that_hangs(either: Cluster) -> None:
    """Its connection stays; that nothing answers on it is found out by pings."""
    async with Client(either.targets) as client:
        leader = await asyncio.to_thread(either.wait_leader)
        await asyncio.to_thread(either.move_leader, (leader + 1) % 3)
        watcher = client.watch(b"h/", b"h0", start_revision=1)
        async with gathering(watcher) as revisions:
            newest = (await client.kv.put(b"h/before")).header.revision
            await until(lambda: bool(revisions) and revisions[-1] == newest)
            hanging = either.targets.index(client._transport.ring.current.text)
            either.pause(hanging)
            paused_s = time.monotonic()
            async with Client([t for t in either.targets if t != either.targets[hanging]]) as other:
                for number in range(5):
                    await put(other, b"h/%d" % number)
                newest = (await other.kv.get(b"h/", b"h0", timeout_s=30)).header.revision
            await until(lambda: revisions[-1] == newest)
            options = ClientOptions()
            pings_s = options.keepalive_time_s + options.keepalive_timeout_s
            assert time.monotonic() - paused_s < pings_s + SLACK_S
            either.resume(hanging)
        assert revisions == list(range(2, newest + 1))


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
        await insisting(lambda: client.cluster.member_remove(member_id))
        left = urls - {cluster.members[0].client_url}
        await until(lambda: set(client.endpoints) == left)
        # A new one is found once it votes; a learner would refuse most of what it is asked.
        index = cluster.add_server("kvorum", state="existing")
        joined = cluster.members[index]
        cluster.members[index].extra_flags.append(
            f"--initial-cluster={initial_cluster_of(cluster, 1, 2, index)}"
        )
        added = await insisting(
            lambda: client.cluster.member_add([cluster.advertised[index]], learner=True)
        )
        cluster.start(index)
        await asyncio.to_thread(cluster.wait_healthy, index)
        await client.cluster.sync()
        assert set(client.endpoints) == left
        await insisting(lambda: client.cluster.member_promote(added.member.ID))
        await until(lambda: set(client.endpoints) == left | {joined.client_url})
        result = (
            await client.kv.txn()
            .when(compare_create(b"t", "=", 0))
            .then(op_put(b"t", b"v"), op_get(b"k"))
            .commit()
        )
        assert result.succeeded


async def test_a_write_is_never_made_twice_whatever_happens_to_the_members(either: Cluster) -> None:
    """Every key is put once, by the caller: it has version 1, or was never written."""
    acknowledged: list[bytes] = []
    unknown: list[bytes] = []
    stopped = asyncio.Event()

    async def write(client: Client, writer: int) -> None:
        number = 0
        while not stopped.is_set():
            key = b"once/%d/%d" % (writer, number)
            number += 1
            try:
                await client.kv.put(key, b"v", timeout_s=3)
            except UnavailableError:
                unknown.append(key)
            except StatusError as error:
                # Stock says this while it hands the lead over.
                if error.message != "raft proposal dropped":
                    raise
                unknown.append(key)
            else:
                acknowledged.append(key)

    async with Client(either.targets) as client, asyncio.TaskGroup() as tasks:
        for writer in range(8):
            tasks.create_task(write(client, writer))
        for _ in range(2):
            leader = await asyncio.to_thread(either.wait_leader)
            seen = len(acknowledged)
            either.kill(leader)
            await until(lambda seen=seen: len(acknowledged) > seen + 20)
            either.members[leader].start()
            await asyncio.to_thread(either.wait_healthy, leader)
        leader = await asyncio.to_thread(either.wait_leader)
        seen = len(acknowledged)
        either.pause(leader)
        await until(lambda: len(acknowledged) > seen + 20)
        either.resume(leader)
        await asyncio.to_thread(either.move_leader, (leader + 1) % 3)
        stopped.set()
    async with Client(either.targets) as client:
        found = await client.kv.get(b"once/", b"once0", timeout_s=30)
    versions = {kv.key: kv.version for kv in found.kvs}
    assert set(versions.values()) == {1}
    assert set(acknowledged) <= set(versions)
    assert set(versions) <= {*acknowledged, *unknown}


async def test_writes_go_on_while_a_member_is_cut_off_from_the_others(either: Cluster) -> None:
    """It knows of no leader, says so, and the next one is asked: no write is lost or in doubt."""
    assert either.proxy is not None
    leader = await asyncio.to_thread(either.wait_leader)
    alone = (leader + 1) % 3
    either.proxy.cut([alone], [index for index in range(3) if index != alone])
    async with Client([either.targets[alone]], options=ClientOptions(require_leader=True)) as one:
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    await one.kv.get(b"k", timeout_s=1)
                except NoLeaderError:
                    break
                except WireError:
                    await asyncio.sleep(PAUSE_S)
    async with Client(either.targets, options=ClientOptions(require_leader=True)) as client:
        for number in range(30):
            await client.kv.put(b"cut/%d" % number, b"v")
            await client.kv.get(b"cut/%d" % number)
        assert (await client.kv.get(b"cut/", b"cut0", count_only=True)).count == 30
    either.proxy.heal()
    await asyncio.to_thread(either.wait_healthy)


async def test_a_watch_goes_on_behind_a_compaction_and_ends_when_its_place_is_gone(
    either: Cluster,
) -> None:
    other = Client([either.targets[1]])
    async with LinkProxy(either.targets[0]) as proxy, other, Client([proxy.endpoint]) as client:
        revisions: list[int] = []
        watcher = client.watch(b"c/", b"c0", start_revision=1)

        async def read_until(revision: int) -> None:
            async with asyncio.timeout(WAIT_S):
                while not revisions or revisions[-1] < revision:
                    response = await anext(watcher)
                    revisions.extend(event.kv.mod_revision for event in response.events)

        for number in range(5):
            newest = (await other.kv.put(b"c/%d" % number)).header.revision
        await read_until(newest)
        # What the watch was told of is compacted away while it has no connection.
        proxy.refuse = True
        proxy.cut()
        await other.kv.compact(newest)
        newest = (await other.kv.put(b"c/after")).header.revision
        proxy.refuse = False
        await read_until(newest)
        assert revisions == list(range(2, newest + 1))
        # And now what it has not been told of.
        proxy.refuse = True
        proxy.cut()
        await other.kv.put(b"c/missed")
        last = (await other.kv.put(b"c/kept")).header.revision
        await other.kv.compact(last)
        proxy.refuse = False
        with pytest.raises(CompactedError):
            await read_until(last)
        assert watcher.compact_revision == last
        assert revisions[-1] == newest


async def test_a_lease_that_is_kept_alive_never_ends_while_leaders_die(either: Cluster) -> None:
    """Short enough to end within an election, if its time went on there."""
    async with Client(either.targets) as client:
        granted = await client.leases.grant(5)
        put_at = await client.kv.put(b"kept", b"v", lease=granted.ID)
        watcher = client.watch(b"kept", start_revision=put_at.header.revision + 1)
        async with gathering(watcher) as revisions, client.leases.keep_alive(granted.ID) as kept:
            over = asyncio.create_task(kept.wait_over())
            for _ in range(2):
                leader = await asyncio.to_thread(either.wait_leader)
                either.kill(leader)
                await asyncio.to_thread(either.wait_leader, other_than=leader)
                assert (await client.leases.time_to_live(granted.ID, timeout_s=30)).TTL > 0
                either.members[leader].start()
                await asyncio.to_thread(either.wait_healthy, leader)
            leader = await asyncio.to_thread(either.wait_leader)
            await asyncio.to_thread(either.move_leader, (leader + 1) % 3)
            await put(client, b"later")
            assert not over.done()
            assert revisions == []  # it was never deleted
            over.cancel()
        # Nobody keeps it alive any more.
        await until_gone(client, b"kept")


async def test_a_lease_does_not_end_early_because_the_leader_changed(either: Cluster) -> None:
    async with Client(either.targets) as client:
        granted = await client.leases.grant(6)
        await client.kv.put(b"alone", b"v", lease=granted.ID)
        begun_s = time.monotonic()
        leader = await asyncio.to_thread(either.wait_leader)
        await asyncio.to_thread(either.move_leader, (leader + 1) % 3)
        either.kill((leader + 1) % 3)
        await until_gone(client, b"alone")
        assert time.monotonic() - begun_s >= granted.TTL - 0.5


async def until_gone(client: Client, key: bytes) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            with contextlib.suppress(UnavailableError):
                if not (await client.kv.get(key, count_only=True)).count:
                    return
            await asyncio.sleep(PAUSE_S)
