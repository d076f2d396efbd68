"""Scenarios with aetcd 1.0, an asyncio client on grpc.aio."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import aetcd

WAIT_S = 15.0


def connect(target: str) -> Any:
    host, port = target.rsplit(":", 1)
    return aetcd.Client(host=host, port=int(port), timeout=10)


async def keys(target: str) -> None:
    async with connect(target) as client:
        assert await client.get(b"keys/a") is None
        await client.put(b"keys/a", b"1")
        await client.put(b"keys/b", b"\x00\xff")
        found = await client.get(b"keys/a")
        assert (found.value, found.version, found.lease) == (b"1", 1, 0)
        replaced = await client.put(b"keys/a", b"2", prev_kv=True)
        assert replaced.prev_kv.value == b"1"
        listed = [(kv.key, kv.value) async for kv in aiter_of(await client.get_prefix(b"keys/"))]
        assert listed == [(b"keys/a", b"2"), (b"keys/b", b"\x00\xff")]
        deleted = await client.delete(b"keys/a", prev_kv=True)
        assert deleted.prev_kv.value == b"2"
        assert await client.delete(b"keys/a") is None
        assert (await client.delete_prefix(b"keys/")).deleted == 1


async def aiter_of(items: Any) -> Any:
    for item in items:
        yield item


async def transaction(target: str) -> None:
    async with connect(target) as client:
        on = client.transactions
        await client.put(b"txn/a", b"1")
        succeeded, responses = await client.transaction(
            compare=[on.value(b"txn/a") == b"1", on.version(b"txn/a") > 0],
            success=[on.put(b"txn/a", b"2"), on.get(b"txn/a")],
            failure=[on.delete(b"txn/a")],
        )
        assert succeeded
        assert responses[1][0][0] == b"2"
        succeeded, responses = await client.transaction(
            compare=[on.value(b"txn/a") == b"1"],
            success=[on.delete(b"txn/a")],
            failure=[on.get(b"txn/a")],
        )
        assert not succeeded
        assert responses[0][0][0] == b"2"
        assert await client.replace(b"txn/a", b"2", b"3")
        assert (await client.get(b"txn/a")).value == b"3"


async def watch(target: str) -> None:
    """Events from a revision in the past on, then those that happen now."""
    async with connect(target) as client:
        start = (await client.put(b"watch/a", b"1")).header.revision
        await client.put(b"watch/a", b"2")
        await client.delete(b"watch/a")
        events = await client.watch_prefix(b"watch/", start_revision=start, prev_kv=True)
        seen: list[Any] = []
        async with asyncio.timeout(WAIT_S):
            async for event in events:
                seen.append(event)
                if len(seen) == 3:
                    await client.put(b"watch/b", b"now")
                if len(seen) == 4:
                    await events.cancel()
                    break
        assert [event.kind for event in seen] == ["PUT", "PUT", "DELETE", "PUT"]
        assert [event.kv.mod_revision for event in seen] == [start + n for n in range(4)]
        assert [event.prev_kv.value for event in seen[1:3]] == [b"1", b"2"]
        assert (seen[3].kv.key, seen[3].kv.value) == (b"watch/b", b"now")


async def lease(target: str) -> None:
    """A key lives as long as its lease: kept alive, revoked, or expired."""
    async with connect(target) as client:
        short, kept = await client.lease(2), await client.lease(600)
        await client.put(b"lease/short", b"v", lease=short)
        await client.put(b"lease/kept", b"v", lease=kept)
        assert await kept.keys() == [b"lease/kept"]
        assert await kept.granted_ttl() == 600
        assert 0 < await kept.remaining_ttl() <= 600
        await kept.refresh()
        give_up = time.monotonic() + WAIT_S
        while await client.get(b"lease/short") is not None:
            assert time.monotonic() < give_up, "the lease did not expire"
            await asyncio.sleep(0.1)
        assert (await client.get(b"lease/kept")).value == b"v"
        await kept.revoke()
        assert await client.get(b"lease/kept") is None


async def lock(target: str) -> None:
    async with connect(target) as one, connect(target) as two:
        mine, yours = one.lock(b"door", ttl=20), two.lock(b"door", ttl=20)
        assert await mine.acquire(timeout=5)
        assert await mine.is_acquired()
        assert not await yours.acquire(timeout=1)
        waiting = asyncio.create_task(yours.acquire(timeout=10))
        await mine.release()
        assert await waiting
        assert await yours.is_acquired()
        await yours.release()


SCENARIOS = {f.__name__: f for f in (keys, transaction, watch, lease, lock)}

if __name__ == "__main__":
    asyncio.run(SCENARIOS[sys.argv[2]](sys.argv[1]))
    print("passed", sys.argv[2])
