"""The client against a real member, with a network that breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from kvorum.client import (
    Client,
    compare_version,
    op_get,
    op_put,
    prefix_range,
)
from kvorum.errors import CompactedError, LeaseNotFoundError
from tests.servers import Server, start_server
from tests.stock import require_stock_35
from tests.unit.client.fakes import Proxy


@pytest.fixture(scope="module")
def member() -> Iterator[Server]:
    require_stock_35()
    with start_server("stock") as server:
        yield server


async def test_watches_lose_and_repeat_nothing_while_connections_break(member: Server) -> None:
    writes_count = 300
    async with (
        Proxy(member.target) as proxy,
        Client([member.target]) as writer,
        Client([proxy.endpoint]) as reader,
    ):
        first = (await writer.kv.put(b"w/begin")).header.revision
        watchers = [
            reader.watch(*prefix_range(b"w/"), start_revision=first + 1),
            reader.watch(b"w/key", start_revision=first + 1),
            reader.watch(b"w/key"),
        ]
        for watcher in watchers:
            await watcher.wait_created()

        async def write() -> list[int]:
            revisions = []
            for i in range(writes_count):
                response = await writer.kv.put(b"w/key", b"%d" % i)
                revisions.append(response.header.revision)
                if i % 60 == 30:
                    proxy.cut()
                await asyncio.sleep(0.001)
            return revisions

        writing = asyncio.create_task(write())
        seen: list[list[int]] = []
        async with asyncio.timeout(20):
            for watcher in watchers:
                revisions: list[int] = []
                while len(revisions) < writes_count:
                    response = await anext(watcher)
                    revisions += [event.kv.mod_revision for event in response.events]
                seen.append(revisions)
        written = await writing
        assert proxy.connections_count > 3
        assert seen == [written] * 3


async def test_a_watch_that_was_compacted_away_while_the_network_was_down_says_so(
    member: Server,
) -> None:
    async with (
        Proxy(member.target) as proxy,
        Client([member.target]) as writer,
        Client([proxy.endpoint]) as reader,
    ):
        revision = (await writer.kv.put(b"c", b"1")).header.revision
        watcher = reader.watch(b"c", start_revision=revision)
        await anext(watcher)
        proxy.refuse = True
        proxy.cut()
        for value in (b"2", b"3"):
            revision = (await writer.kv.put(b"c", value)).header.revision
        await writer.kv.compact(revision)
        proxy.refuse = False
        with pytest.raises(CompactedError):
            async with asyncio.timeout(20):
                await anext(watcher)
        assert watcher.compact_revision == revision


async def test_a_lock_by_transaction_has_one_owner(member: Server) -> None:
    async with Client([member.target]) as client:

        async def take(owner: bytes) -> bool:
            response = await (
                client.kv.txn()
                .when(compare_version(b"lock", "=", 0))
                .then(op_put(b"lock", owner))
                .orelse(op_get(b"lock"))
                .commit()
            )
            return response.succeeded

        taken = await asyncio.gather(*(take(b"%d" % i) for i in range(20)))
        assert taken.count(True) == 1


async def test_a_lease_is_kept_alive_beyond_its_time_and_then_ends_with_its_keys(
    member: Server,
) -> None:
    async with Client([member.target]) as client:
        lease = await client.leases.grant(2)
        await client.kv.put(b"leased", b"v", lease=lease.ID)
        async with client.leases.keep_alive(lease.ID) as kept:
            for _ in range(4):
                assert (await anext(kept)).TTL == 2
        remaining = await client.leases.time_to_live(lease.ID, keys=True)
        assert list(remaining.keys) == [b"leased"]
        assert lease.ID in [one.ID for one in (await client.leases.list()).leases]
        await client.leases.revoke(lease.ID)
        assert (await client.kv.get(b"leased")).count == 0
        with pytest.raises(LeaseNotFoundError):
            await client.leases.revoke(lease.ID)


async def test_members_and_status_are_told(member: Server) -> None:
    async with Client([member.target]) as client:
        members = (await client.cluster.member_list()).members
        assert [one.name for one in members] == ["m1"]
        status = await client.maintenance.status(member.target)
        assert (status.leader, status.version) == (members[0].ID, "3.5.1")
        one = await client.maintenance.hash_kv()
        other = await client.maintenance.hash_kv(member.target)
        assert one.hash == other.hash
        assert list((await client.maintenance.alarms()).alarms) == []
