"""Locks and elections on a real member, without the network."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from kvorum.errors import (
    CompactedError,
    EmptyKeyError,
    LeaderMissingError,
    LeaseNotFoundError,
    NoElectionLeaderError,
    NoSpaceError,
    NotElectionLeaderError,
    SessionExpiredError,
    StoppedError,
    WireError,
)
from kvorum.proto.election_pb2 import (
    CampaignRequest,
    CampaignResponse,
    LeaderKey,
    LeaderRequest,
    LeaderResponse,
    ProclaimRequest,
    ResignRequest,
)
from kvorum.proto.lock_pb2 import LockRequest, LockResponse, UnlockRequest, UnlockResponse
from kvorum.proto.rpc_pb2 import (
    CompactionRequest,
    LeaseGrantRequest,
    LeaseRevokeRequest,
    PutRequest,
    RequestOp,
    TxnRequest,
)
from kvorum.server.api import MemberApi
from kvorum.server.concurrency.election import Elections
from kvorum.server.concurrency.mutex import Mutexes
from kvorum.server.concurrency.observing import observe
from kvorum.server.concurrency.session import Sessions
from kvorum.server.concurrency.watch_reader import HELD_MAX
from kvorum.server.member import EtcdServer
from tests.unit.server.members import DEADLINE_S, eventually, put, rows, running

LEASE = 0x3E8


class Locking:
    """The services of one member, and leases 1001, 1002, … for whoever takes part."""

    def __init__(self, server: EtcdServer) -> None:
        self.server = server
        self.api = MemberApi(server)
        self.sessions = Sessions(self.api)
        self.mutexes = Mutexes(self.api, self.sessions)
        self.elections = Elections(self.api, self.sessions)

    @property
    def queues(self) -> int:
        return len(self.sessions._queues)

    @property
    def watchers(self) -> int:
        return self.server.hub.statistics().watchers

    def keys(self) -> list[bytes]:
        return list(rows(self.server))

    def leases(self) -> list[int]:
        return [lease.id for lease in self.server.lessor.leases()]

    async def grant(self, number: int) -> int:
        request = LeaseGrantRequest(TTL=600, ID=LEASE + number)
        await asyncio.wait_for(_future(self.api.lease_grant(request)), DEADLINE_S)
        return LEASE + number

    async def revoke(self, lease: int) -> None:
        request = LeaseRevokeRequest(ID=lease)
        response = self.api.lease_revoke(request, request.SerializeToString())
        await asyncio.wait_for(_future(response), DEADLINE_S)

    async def lock(self, name: bytes, lease: int = 0) -> LockResponse:
        raw = await self.mutexes.lock(LockRequest(name=name, lease=lease))
        return LockResponse.FromString(raw)

    async def unlock(self, key: bytes) -> UnlockResponse:
        return UnlockResponse.FromString(await self.mutexes.unlock(UnlockRequest(key=key)))

    async def campaign(self, name: bytes, lease: int, value: bytes = b"") -> CampaignResponse:
        request = CampaignRequest(name=name, lease=lease, value=value)
        return CampaignResponse.FromString(await self.elections.campaign(request))

    async def proclaim(self, leader: LeaderKey, value: bytes) -> None:
        await self.elections.proclaim(ProclaimRequest(leader=leader, value=value))

    async def leader(self, name: bytes) -> LeaderResponse:
        raw = await self.elections.leader(LeaderRequest(name=name))
        return LeaderResponse.FromString(raw)

    async def resign(self, leader: LeaderKey) -> None:
        await self.elections.resign(ResignRequest(leader=leader))


def _future(response: Any) -> Any:
    return response


@pytest.fixture
async def locking(tmp_path: Path) -> AsyncIterator[Locking]:
    async with running(tmp_path) as server, asyncio.timeout(60):
        yield Locking(server)


async def waits(task: asyncio.Task[Any], locking: Locking, keys: int) -> None:
    """Return when there are `keys` keys; the task is still waiting then."""
    await eventually(lambda: len(locking.keys()) == keys or task.done())
    await asyncio.sleep(0)
    assert not task.done()


async def test_a_free_lock_is_got_at_once_and_nothing_is_watched(locking: Locking) -> None:
    lease = await locking.grant(1)
    got = await locking.lock(b"l", lease)
    assert (got.key, got.header.revision) == (b"l/3e9", 2)
    again = await locking.lock(b"l", lease)
    assert (again.key, again.header.revision) == (b"l/3e9", 2)
    await asyncio.sleep(0)
    assert (locking.queues, locking.watchers) == (0, 0)
    assert (await locking.unlock(got.key)).header.revision == 3
    assert locking.keys() == []
    assert (await locking.unlock(got.key)).header.revision == 3


async def test_a_lock_goes_to_those_who_wait_in_the_order_of_their_coming(locking: Locking) -> None:
    leases = [await locking.grant(n) for n in range(1, 6)]
    holder = await locking.lock(b"l", leases[0])
    served: list[int] = []

    async def work(lease: int) -> None:
        got = await locking.lock(b"l", lease)
        assert got.key in locking.keys()  # noqa: SIM118
        served.append(lease)
        await locking.unlock(got.key)

    tasks = []
    for place, lease in enumerate(leases[1:], 2):
        tasks.append(asyncio.create_task(work(lease)))
        await waits(tasks[-1], locking, place)
    assert (locking.queues, locking.watchers) == (1, 1)  # however many wait
    await locking.unlock(holder.key)
    await asyncio.gather(*tasks)
    assert served == leases[1:]
    await eventually(lambda: (locking.queues, locking.watchers) == (0, 0))


async def test_a_key_of_another_client_is_waited_for_too(locking: Locking) -> None:
    await put(locking.server, b"l/other")
    task = asyncio.create_task(locking.lock(b"l", await locking.grant(1)))
    await waits(task, locking, 2)
    await locking.unlock(b"l/other")
    got = await task
    assert (got.key, got.header.revision) == (b"l/3e9", 4)


async def test_names_that_begin_alike_are_different_locks(locking: Locking) -> None:
    await locking.lock(b"l", await locking.grant(1))
    await locking.lock(b"l0", await locking.grant(2))
    await locking.lock(b"", await locking.grant(3))
    await locking.lock(b"l/3e9", await locking.grant(4))
    assert sorted(locking.keys()) == [b"/3eb", b"l/3e9", b"l/3e9/3ec", b"l0/3ea"]


async def test_keys_of_one_transaction_do_not_wait_for_each_other(locking: Locking) -> None:
    ops = [RequestOp(request_put=PutRequest(key=key)) for key in (b"l/3e9", b"l/3ea")]
    request = TxnRequest(success=ops)
    await _future(locking.api.txn(request, request.SerializeToString()))
    for number in (1, 2):
        got = await locking.lock(b"l", await locking.grant(number))
        assert got.header.revision == 2


@pytest.mark.parametrize("lease", [0, LEASE + 2])
async def test_a_cancelled_wait_leaves_no_key_and_no_lease_of_its_own(
    locking: Locking, lease: int
) -> None:
    await locking.grant(2)
    await locking.lock(b"l", await locking.grant(1))
    task = asyncio.create_task(locking.lock(b"l", lease))
    await waits(task, locking, 2)
    task.cancel()
    await eventually(lambda: locking.keys() == [b"l/3e9"])
    assert sorted(locking.leases()) == [LEASE + 1, LEASE + 2]
    await eventually(lambda: (locking.queues, locking.watchers) == (0, 0))


@pytest.mark.parametrize("lease", [0, LEASE + 2])
async def test_a_lock_that_is_given_up_before_its_key_is_put_leaves_nothing(
    locking: Locking, lease: int
) -> None:
    await locking.grant(2)
    for turns in range(6):  # of the loop: in the grant, in the put, and between
        task = asyncio.create_task(locking.lock(b"l", lease))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            await locking.unlock(task.result().key)
    await locking.grant(9)  # whatever was proposed has been applied when this has
    await eventually(lambda: locking.keys() == [])
    kept = {LEASE + 2, LEASE + 9}
    await eventually(lambda: lease or set(locking.leases()) == kept)


async def test_the_middle_of_the_queue_may_leave(locking: Locking) -> None:
    leases = [await locking.grant(n) for n in range(1, 4)]
    holder = await locking.lock(b"l", leases[0])
    middle = asyncio.create_task(locking.lock(b"l", leases[1]))
    await waits(middle, locking, 2)
    last = asyncio.create_task(locking.lock(b"l", leases[2]))
    await waits(last, locking, 3)
    middle.cancel()
    await waits(last, locking, 2)
    await locking.unlock(holder.key)
    assert (await last).key == b"l/3eb"


async def test_a_lost_lease_ends_the_wait(locking: Locking) -> None:
    await locking.lock(b"l", await locking.grant(1))
    task = asyncio.create_task(locking.lock(b"l", await locking.grant(2)))
    await waits(task, locking, 2)
    await locking.revoke(LEASE + 2)
    with pytest.raises(SessionExpiredError, match="mutex: session is expired"):
        await task
    await eventually(lambda: locking.queues == 0)


async def test_a_key_that_was_put_anew_does_not_hold_the_old_place(locking: Locking) -> None:
    holder = await locking.lock(b"l", await locking.grant(1))
    lease = await locking.grant(2)
    first = asyncio.create_task(locking.lock(b"l", lease))
    await waits(first, locking, 2)
    await locking.unlock(b"l/3ea")
    second = asyncio.create_task(locking.lock(b"l", lease))
    with pytest.raises(SessionExpiredError):
        await first
    await waits(second, locking, 2)
    await locking.unlock(holder.key)
    assert (await second).key == b"l/3ea"


@pytest.mark.parametrize("lease", [LEASE, -1])
async def test_a_lease_that_does_not_exist_is_told(locking: Locking, lease: int) -> None:
    with pytest.raises(LeaseNotFoundError):
        await locking.lock(b"l", lease)
    with pytest.raises(LeaseNotFoundError):
        await locking.campaign(b"l", lease)
    with pytest.raises(EmptyKeyError):
        await locking.unlock(b"")


async def test_a_lease_made_for_a_lock_that_fails_ends_with_it(locking: Locking) -> None:
    locking.server.quota._limit_bytes = locking.server.backend.size() + 100  # a lease, no key
    with pytest.raises(NoSpaceError):
        await locking.lock(b"l")
    await eventually(lambda: locking.leases() == [])


async def test_compaction_does_not_take_a_waiter_out_of_the_queue(locking: Locking) -> None:
    server = locking.server
    holder = await locking.lock(b"l", await locking.grant(1))
    waiting = asyncio.create_task(locking.lock(b"l", await locking.grant(2)))
    lost = asyncio.create_task(locking.lock(b"l", await locking.grant(3)))
    await waits(lost, locking, 3)
    queue = locking.sessions._queues._by_prefix[b"l/"]
    assert queue._stream is not None
    queue._stream.is_blocked = True  # as a watch that has fallen behind
    await locking.revoke(LEASE + 3)
    revision = await put(server, b"x")
    request = CompactionRequest(revision=revision)
    await _future(locking.api.compact(request, request.SerializeToString()))
    assert not lost.done()
    queue._stream.writable()
    with pytest.raises(SessionExpiredError):
        await lost
    await waits(waiting, locking, 3)
    await locking.unlock(holder.key)
    assert (await waiting).key == b"l/3ea"
    with pytest.raises(CompactedError):
        await _future(locking.api.compact(request, request.SerializeToString()))


async def test_the_cost_of_a_waiter_does_not_grow_with_their_number(locking: Locking) -> None:
    count = 1500
    leases = [await locking.grant(n) for n in range(count + 1)]
    holder = await locking.lock(b"l", leases[0])
    times = []
    tasks = []
    for lease in leases[1:]:
        begun_s = time.perf_counter()
        tasks.append(asyncio.create_task(locking.lock(b"l", lease)))
        for _ in range(1000):
            if locking.server.store.revision == 2 + len(tasks):
                break
            await asyncio.sleep(0)
        times.append(time.perf_counter() - begun_s)
    assert locking.watchers == 1
    early, late = sorted(times[:300])[150], sorted(times[-300:])[150]
    assert late < 3 * early, (early, late)
    await locking.unlock(holder.key)
    assert (await tasks[0]).key == b"l/%x" % leases[1]
    for task in tasks[1:]:
        task.cancel()
    await asyncio.wait(tasks)
    await eventually(lambda: len(locking.keys()) == 1)


async def test_an_election_is_won_in_the_order_of_standing(locking: Locking) -> None:
    with pytest.raises(NoElectionLeaderError, match="election: no leader"):
        await locking.leader(b"e")
    won = await locking.campaign(b"e", await locking.grant(1), b"one")
    assert won.leader == LeaderKey(name=b"e", key=b"e/3e9", rev=2, lease=LEASE + 1)
    task = asyncio.create_task(locking.campaign(b"e", await locking.grant(2), b"two"))
    await waits(task, locking, 2)
    found = await locking.leader(b"e")
    assert (found.kv.key, found.kv.value, found.kv.lease) == (b"e/3e9", b"one", LEASE + 1)
    await locking.resign(won.leader)
    second = await task
    assert (second.leader.rev, second.header.revision) == (3, 3)  # of the campaign's beginning
    assert (await locking.leader(b"e")).kv.value == b"two"
    await locking.resign(won.leader)  # once more is no error, and changes nothing
    assert (await locking.leader(b"e")).kv.value == b"two"


async def test_the_leader_changes_its_value_and_nobody_else_does(locking: Locking) -> None:
    won = await locking.campaign(b"e", await locking.grant(1), b"one")
    await locking.proclaim(won.leader, b"more")
    assert (await locking.leader(b"e")).kv.value == b"more"
    again = await locking.campaign(b"e", LEASE + 1, b"again")
    assert again.leader == won.leader
    assert (await locking.leader(b"e")).kv.value == b"again"
    stale = LeaderKey()
    stale.CopyFrom(won.leader)
    stale.rev += 1
    with pytest.raises(NotElectionLeaderError, match="election: not leader"):
        await locking.proclaim(stale, b"stale")
    await locking.resign(stale)
    assert (await locking.leader(b"e")).kv.value == b"again"


async def test_a_request_without_a_leader_is_refused(locking: Locking) -> None:
    for call in (
        locking.elections.proclaim(ProclaimRequest(value=b"v")),
        locking.elections.resign(ResignRequest()),
    ):
        with pytest.raises(LeaderMissingError, match='"leader" field must be provided'):
            await call
    for call in (locking.proclaim(LeaderKey(), b"v"), locking.resign(LeaderKey())):
        with pytest.raises(EmptyKeyError):
            await call
    await eventually(lambda: locking.leases() == [])  # one was made for the proclamation


async def test_who_loses_the_lease_while_standing_does_not_win(locking: Locking) -> None:
    won = await locking.campaign(b"e", await locking.grant(1))
    task = asyncio.create_task(locking.campaign(b"e", await locking.grant(2)))
    await waits(task, locking, 2)
    await locking.revoke(LEASE + 2)
    with pytest.raises(LeaseNotFoundError):
        await task
    assert (await locking.leader(b"e")).kv.key == won.leader.key


async def test_a_cancelled_campaign_leaves_no_key(locking: Locking) -> None:
    await locking.campaign(b"e", await locking.grant(1))
    task = asyncio.create_task(locking.campaign(b"e", await locking.grant(2), b"v"))
    await waits(task, locking, 2)
    task.cancel()
    await eventually(lambda: locking.keys() == [b"e/3e9"])


class Observer:
    """What an Observe call has been told."""

    def __init__(self, locking: Locking, name: bytes) -> None:
        self.seen: list[tuple[bytes, bytes, int, int]] = []
        self.task = asyncio.create_task(self._run(locking, name))

    async def _run(self, locking: Locking, name: bytes) -> None:
        async with aclosing(observe(locking.api, name)) as responses:
            async for raw in responses:
                told = LeaderResponse.FromString(raw)
                kv = told.kv
                self.seen.append((kv.key, kv.value, kv.mod_revision, told.header.revision))

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait((self.task,))


async def test_an_observer_sees_each_leader_and_each_value(locking: Locking) -> None:
    early = Observer(locking, b"e")
    await eventually(lambda: locking.watchers == 1)
    one = await locking.campaign(b"e", await locking.grant(1), b"1")
    await eventually(lambda: len(early.seen) == 1)
    await locking.proclaim(one.leader, b"1b")
    task = asyncio.create_task(locking.campaign(b"e", await locking.grant(2), b"2"))
    await waits(task, locking, 2)
    late = Observer(locking, b"e")
    await eventually(lambda: len(late.seen) == 1)
    await locking.resign(one.leader)
    await task
    await eventually(lambda: len(early.seen) == 3 and len(late.seen) == 2)
    assert early.seen == [
        (b"e/3e9", b"1", 2, 2),
        (b"e/3e9", b"1b", 3, 3),
        (b"e/3ea", b"2", 4, 5),
    ]
    assert late.seen == [(b"e/3e9", b"1b", 3, 4), (b"e/3ea", b"2", 4, 5)]
    await early.stop()
    await late.stop()
    assert locking.watchers == 0


async def test_a_slow_observer_misses_no_value_and_holds_few(locking: Locking) -> None:
    won = await locking.campaign(b"e", await locking.grant(1), b"-1")
    count = 10 * HELD_MAX
    async with aclosing(observe(locking.api, b"e")) as responses:
        assert LeaderResponse.FromString(await anext(responses)).kv.value == b"-1"
        await locking.proclaim(won.leader, b"0")
        values = [LeaderResponse.FromString(await anext(responses)).kv.value]
        for number in range(1, count):
            await locking.proclaim(won.leader, b"%d" % number)
        while len(values) < count:
            values.append(LeaderResponse.FromString(await anext(responses)).kv.value)
    assert values == [b"%d" % number for number in range(count)]


async def test_an_observer_whom_compaction_overtakes_is_told_the_leader_of_now(
    locking: Locking,
) -> None:
    won = await locking.campaign(b"e", await locking.grant(1), b"first")
    async with aclosing(observe(locking.api, b"e")) as responses:
        await anext(responses)
        pending = asyncio.ensure_future(anext(responses))
        await eventually(lambda: locking.watchers == 1)
        stream = next(iter(locking.server.hub._streams))
        stream.is_blocked = True
        for value in (b"second", b"third"):
            await locking.proclaim(won.leader, value)
        request = CompactionRequest(revision=4)
        await _future(locking.api.compact(request, request.SerializeToString()))
        stream.writable()
        assert LeaderResponse.FromString(await pending).kv.value == b"third"


async def test_who_waits_when_the_member_stops_is_told_and_leaves_no_key(locking: Locking) -> None:
    await locking.lock(b"l", await locking.grant(1))
    task = asyncio.create_task(locking.lock(b"l", await locking.grant(2)))
    await waits(task, locking, 2)
    locking.sessions.stop(StoppedError())
    with pytest.raises(StoppedError):
        await task
    with pytest.raises(StoppedError):
        await locking.campaign(b"l", await locking.grant(3))
    await eventually(lambda: locking.keys() == [b"l/3e9"])


async def test_a_wait_that_outlives_its_member_ends(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        locking = Locking(server)
        await locking.lock(b"l", await locking.grant(1))
        task = asyncio.create_task(locking.lock(b"l", await locking.grant(2)))
        await waits(task, locking, 2)
    task.cancel()
    with pytest.raises((asyncio.CancelledError, WireError)):
        await task
