"""Watches against a member that a test directs."""

from __future__ import annotations

import asyncio

import pytest

from kvorum.client import Client, ClientClosedError, WatchLimits
from kvorum.client.methods import WATCH
from kvorum.errors import (
    Code,
    CompactedError,
    FutureRevisionError,
    NoLeaderError,
    PermissionDeniedError,
    StatusError,
)
from kvorum.proto.rpc_pb2 import (
    ResponseHeader,
    WatchResponse,
)
from tests.unit.client.fakes import FakeMember, Proxy, serving, until
from tests.unit.client.watched import WatchedMember, revisions


async def test_many_watches_share_one_stream_and_get_their_own_events() -> None:
    member = WatchedMember()
    async with serving(member), Client([member.endpoint]) as client:
        watchers = [client.watch(b"k%d" % i) for i in range(20)]
        for watcher in watchers:
            await watcher.wait_created()
        for i, watcher in enumerate(watchers):
            member.send(watcher.watch_id, 100 + i)
        for i, watcher in enumerate(watchers):
            assert revisions(await anext(watcher)) == [100 + i]
        assert member.calls == [WATCH.path]
        assert [created.key for created in member.created] == [b"k%d" % i for i in range(20)]


async def test_a_broken_watch_goes_on_at_the_revision_after_the_last_event() -> None:
    member = WatchedMember()
    async with (
        serving(member),
        Proxy(member.endpoint) as proxy,
        Client([proxy.endpoint]) as client,
    ):
        watcher = client.watch(b"k", start_revision=5)
        await watcher.wait_created()
        member.send(watcher.watch_id, 5, 9)
        assert revisions(await anext(watcher)) == [5, 9]
        proxy.cut()
        await until(lambda: len(member.created) == 2)
        assert [created.start_revision for created in member.created] == [5, 10]


async def test_a_watch_from_now_on_that_breaks_goes_on_where_it_began() -> None:
    member = WatchedMember()
    member.revision = 41
    async with (
        serving(member),
        Proxy(member.endpoint) as proxy,
        Client([proxy.endpoint]) as client,
    ):
        await client.watch(b"k").wait_created()
        proxy.cut()
        await until(lambda: len(member.created) == 2)
        assert [created.start_revision for created in member.created] == [0, 42]


async def test_a_broken_watch_goes_on_at_another_endpoint() -> None:
    one, other = WatchedMember(), WatchedMember()
    async with (
        serving(one),
        serving(other),
        Proxy(one.endpoint) as proxy,
        Client([proxy.endpoint, other.endpoint]) as client,
    ):
        await client.watch(b"k", start_revision=3).wait_created()
        proxy.cut()
        await until(lambda: len(other.created) == 1)
        assert other.created[0].start_revision == 3


async def test_progress_of_one_watch_moves_the_place_where_it_would_go_on() -> None:
    member = WatchedMember()
    async with serving(member), Client([member.endpoint]) as client:
        watcher = client.watch(b"k", start_revision=5, progress_notify=True)
        await watcher.wait_created()
        header = ResponseHeader(revision=70)
        member.outgoing.put_nowait(WatchResponse(header=header, watch_id=watcher.watch_id))
        response = await anext(watcher)
        assert (len(response.events), watcher.next_revision) == (0, 71)


async def test_progress_for_all_reaches_every_watch_and_moves_none() -> None:
    """Members before 3.4.25 and 3.5.8 send it while a watch is still catching up."""
    member = WatchedMember()
    member.revision = 70
    async with serving(member), Client([member.endpoint]) as client:
        watchers = [client.watch(b"k", start_revision=5) for _ in range(3)]
        for watcher in watchers:
            await watcher.wait_created()
        watchers[0].request_progress()
        for watcher in watchers:
            response = await anext(watcher)
            assert (len(response.events), response.header.revision) == (0, 70)
            assert watcher.next_revision == 5


async def test_events_that_come_twice_are_given_once() -> None:
    member = WatchedMember()
    async with serving(member), Client([member.endpoint]) as client:
        watcher = client.watch(b"k", start_revision=5)
        await watcher.wait_created()
        for sent in ((5, 6), (5, 6), (7,)):
            member.send(watcher.watch_id, *sent)
        assert revisions(await anext(watcher)) == [5, 6]
        assert revisions(await anext(watcher)) == [7]


async def test_fragments_come_as_one_response() -> None:
    member = WatchedMember()
    async with serving(member), Client([member.endpoint]) as client:
        watcher = client.watch(b"k", start_revision=1, fragment=True)
        await watcher.wait_created()
        member.send(watcher.watch_id, 5, fragment=True)
        member.send(watcher.watch_id, 6, fragment=True)
        member.send(watcher.watch_id, 7)
        response = await anext(watcher)
        assert revisions(response) == [5, 6, 7]
        assert not response.fragment


async def test_fragments_that_a_break_cut_short_are_asked_for_again() -> None:
    member = WatchedMember()
    async with (
        serving(member),
        Proxy(member.endpoint) as proxy,
        Client([proxy.endpoint]) as client,
    ):
        watcher = client.watch(b"k", start_revision=5, fragment=True)
        other = client.watch(b"k")
        await other.wait_created()
        member.send(watcher.watch_id, 5, fragment=True)
        member.send(other.watch_id, 6)
        await anext(other)  # so the fragment has arrived too
        proxy.cut()
        await until(lambda: len(member.created) == 4)
        await until(lambda: watcher.watch_id == member.created[2].watch_id)
        assert member.created[2].start_revision == 5
        member.send(watcher.watch_id, 5, 6)
        assert revisions(await anext(watcher)) == [5, 6]


@pytest.mark.parametrize(
    ("response", "error", "text"),
    [
        (WatchResponse(compact_revision=9), CompactedError, CompactedError.text),
        (WatchResponse(cancel_reason=CompactedError.text), CompactedError, CompactedError.text),
        (WatchResponse(), FutureRevisionError, FutureRevisionError.text),
        (
            WatchResponse(cancel_reason="mvcc: watcher range is empty"),
            StatusError,
            "mvcc: watcher range is empty",
        ),
        (
            WatchResponse(
                cancel_reason="rpc error: code = PermissionDenied desc = "
                "etcdserver: permission denied"
            ),
            PermissionDeniedError,
            PermissionDeniedError.text,
        ),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_what_the_member_says_at_the_end_of_a_watch_is_raised(
    response: WatchResponse, error: type[Exception], text: str, at_once: bool
) -> None:
    member = WatchedMember()
    answer = WatchResponse()
    answer.CopyFrom(response)
    answer.canceled = True
    if at_once:
        answer.created, answer.watch_id = True, -1
        member.refusal = answer
    async with serving(member), Client([member.endpoint]) as client:
        watcher = client.watch(b"k", start_revision=5)
        if not at_once:
            await watcher.wait_created()
            answer.watch_id = watcher.watch_id
            member.outgoing.put_nowait(answer)
        with pytest.raises(error) as caught:
            await anext(watcher)
        assert str(caught.value) == text
        assert watcher.last_response == answer
        assert watcher.compact_revision == response.compact_revision
        with pytest.raises(error):
            await anext(watcher)


async def test_what_came_before_the_end_is_read_before_the_error() -> None:
    member = WatchedMember()
    async with serving(member), Client([member.endpoint]) as client:
        watcher = client.watch(b"k", start_revision=5)
        await watcher.wait_created()
        member.send(watcher.watch_id, 5)
        member.outgoing.put_nowait(
            WatchResponse(watch_id=watcher.watch_id, canceled=True, compact_revision=9)
        )
        assert revisions(await anext(watcher)) == [5]
        with pytest.raises(CompactedError):
            await anext(watcher)


async def test_the_end_of_one_watch_leaves_the_others() -> None:
    member = WatchedMember()
    async with serving(member), Client([member.endpoint]) as client:
        one, other = client.watch(b"k", start_revision=5), client.watch(b"k", start_revision=5)
        await other.wait_created()
        member.outgoing.put_nowait(
            WatchResponse(watch_id=one.watch_id, canceled=True, compact_revision=9)
        )
        member.send(other.watch_id, 6)
        with pytest.raises(CompactedError):
            await anext(one)
        assert revisions(await anext(other)) == [6]


async def test_a_slow_reader_holds_up_to_its_limit_and_loses_nothing() -> None:
    member = WatchedMember()
    limits = WatchLimits(responses_max=3)
    async with serving(member), Client([member.endpoint], watch_limits=limits) as client:
        slow = client.watch(b"k", start_revision=1)
        quick = client.watch(b"k", start_revision=1)
        await quick.wait_created()
        for revision in range(1, 11):
            member.send(slow.watch_id, revision)
        member.send(quick.watch_id, 99)
        assert revisions(await anext(quick)) == [99]  # nobody waits for the slow one
        assert slow.backlog[0] == 3
        await until(lambda: any(r.HasField("cancel_request") for r in member.requests))
        assert [revisions(await anext(slow)) for _ in range(3)] == [[1], [2], [3]]
        await until(lambda: len(member.created) == 3)
        assert member.created[2].start_revision == 4
        await until(lambda: slow.watch_id == member.created[2].watch_id)
        member.send(slow.watch_id, 4, 5)
        assert revisions(await anext(slow)) == [4, 5]


async def test_a_slow_reader_is_bounded_in_bytes_too() -> None:
    member = WatchedMember()
    limits = WatchLimits(events_size_bytes_max=1000)
    async with serving(member), Client([member.endpoint], watch_limits=limits) as client:
        watcher = client.watch(b"k", start_revision=1)
        await watcher.wait_created()
        for revision in range(1, 6):
            member.send(watcher.watch_id, revision, value=b"x" * 600)
        await until(lambda: any(r.HasField("cancel_request") for r in member.requests))
        assert watcher.backlog[0] == 2


async def test_a_cancelled_watch_is_cancelled_at_the_member_and_ends() -> None:
    member = WatchedMember()
    async with serving(member), Client([member.endpoint]) as client:
        async with client.watch(b"k", start_revision=5) as watcher:
            await watcher.wait_created()
            member.send(watcher.watch_id, 5)
            assert revisions(await anext(watcher)) == [5]
        with pytest.raises(StopAsyncIteration):
            await anext(watcher)
        await until(lambda: any(r.HasField("cancel_request") for r in member.requests))


async def test_a_watch_cancelled_before_it_began_is_not_left_at_the_member() -> None:
    member = WatchedMember()
    async with serving(member), Client([member.endpoint]) as client:
        client.watch(b"k").cancel()
        await until(lambda: len(member.created) == 1 and member.open_count == 0)
        running = client.watch(b"k")
        await running.wait_created()
        client.watch(b"k").cancel()
        await until(lambda: any(r.HasField("cancel_request") for r in member.requests))
        assert member.open_count == 1


async def test_a_watch_can_begin_after_all_others_have_ended() -> None:
    member = WatchedMember()
    async with serving(member), Client([member.endpoint]) as client:
        for turn in range(5):
            watcher = client.watch(b"k", start_revision=5)
            await watcher.wait_created()
            watcher.cancel()
            for _ in range(turn):
                await asyncio.sleep(0)  # meet the stream at different stages of its end


async def test_a_leader_can_be_required() -> None:
    member = WatchedMember()
    async with serving(member), Client([member.endpoint]) as client:
        strict = client.watch(b"k", require_leader=True)
        await strict.wait_created()
        member.outgoing.put_nowait(NoLeaderError())
        with pytest.raises(NoLeaderError):
            await anext(strict)
        await client.watch(b"k").wait_created()
        assert [m.get("hasleader") for m in member.metadata] == ["true", None]


async def test_without_that_a_missing_leader_is_waited_for() -> None:
    member = WatchedMember()
    async with serving(member), Client([member.endpoint]) as client:
        watcher = client.watch(b"k", start_revision=7)
        await watcher.wait_created()
        member.outgoing.put_nowait(NoLeaderError())
        await until(lambda: len(member.created) == 2)
        assert member.created[1].start_revision == 7


async def test_a_member_that_knows_no_watches_ends_them() -> None:
    member = FakeMember()
    async with serving(member), Client([member.endpoint]) as client:
        with pytest.raises(StatusError) as caught:
            await anext(client.watch(b"k"))
        assert caught.value.status is Code.UNIMPLEMENTED


async def test_closing_the_client_ends_its_watches() -> None:
    member = WatchedMember()
    async with serving(member):
        client = Client([member.endpoint])
        watcher = client.watch(b"k")
        await watcher.wait_created()
        waiting = asyncio.create_task(anext(watcher))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(ClientClosedError):
            await waiting
