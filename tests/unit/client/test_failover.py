"""What is tried again, where, and what is not."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from kvorum.client import (
    Client,
    ClientClosedError,
    ClientOptions,
    ConnectDeadlineError,
    ConnectionLostError,
    DeadlineExceededError,
    Failure,
)
from kvorum.client.methods import PUT, RANGE
from kvorum.errors import (
    Code,
    EmptyKeyError,
    LeaderChangedError,
    NoLeaderError,
    NotSupportedForLearnerError,
    OldLearnerError,
    StatusError,
    UnhealthyClusterError,
    WireError,
)
from kvorum.proto.rpc_pb2 import PutResponse, RangeResponse
from tests.unit.client.fakes import FakeMember, Proxy, serving, until

DEAD = "127.0.0.1:1"

ANSWER = RangeResponse(count=1)


def answering() -> FakeMember:
    member = FakeMember()

    async def range_(request: object, context: object) -> RangeResponse:
        return ANSWER

    async def put(request: object, context: object) -> PutResponse:
        return PutResponse()

    member.unary[RANGE.path] = range_
    member.unary[PUT.path] = put
    return member


def refusing(*errors: WireError) -> FakeMember:
    """Refuses with each error in turn, and then answers."""
    member = answering()
    left = list(errors)

    def first_refuse(path: str) -> None:
        answer = member.unary[path]

        async def handler(request: object, context: object) -> object:
            if left:
                raise left.pop(0)
            return await answer(request, context)

        member.unary[path] = handler

    first_refuse(RANGE.path)
    first_refuse(PUT.path)
    return member


async def test_a_request_goes_to_the_next_endpoint_when_the_first_refuses_connections() -> None:
    async with serving(answering()) as member, Client([DEAD, member.endpoint]) as client:
        assert await client.kv.get(b"k") == ANSWER
        await client.kv.put(b"k", b"v")
        assert member.calls == [RANGE.path, PUT.path]


async def test_a_request_goes_to_the_next_endpoint_when_the_first_never_answers() -> None:
    """A host that takes connections and then says nothing, as a frozen one does."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        options = ClientOptions(dial_timeout_s=0.2)
        async with (
            serving(answering()) as member,
            Client([endpoint, member.endpoint], options=options) as client,
        ):
            start_s = time.monotonic()
            await client.kv.put(b"k", b"v")
            assert time.monotonic() - start_s < 2.0


async def test_an_address_that_cannot_be_dialled_does_not_spoil_the_others() -> None:
    async with serving(answering()) as member, Client(["nonsense", member.endpoint]) as client:
        assert await client.kv.get(b"k") == ANSWER


async def test_requests_take_turns_over_the_endpoints() -> None:
    async with (
        serving(answering()) as one,
        serving(answering()) as other,
        Client([one.endpoint, other.endpoint]) as client,
    ):
        for _ in range(6):
            await client.kv.get(b"k")
        assert (len(one.calls), len(other.calls)) == (3, 3)


async def test_requests_stay_with_the_endpoint_that_works_when_they_are_not_spread() -> None:
    async with (
        serving(answering()) as one,
        serving(answering()) as other,
        Client([one.endpoint, other.endpoint], options=ClientOptions(spread=False)) as client,
    ):
        for _ in range(5):
            await client.kv.get(b"k")
        assert (len(one.calls), len(other.calls)) == (5, 0)


async def test_an_endpoint_that_failed_gets_no_turn_while_others_work() -> None:
    """Else every other request would begin with a wait for the dead one."""
    told: list[Failure] = []
    member = answering()
    silent = FakeMember()
    goes_on = asyncio.Event()

    async def never(request: object, context: object) -> RangeResponse:
        await goes_on.wait()
        return ANSWER

    silent.unary[RANGE.path] = never
    options = ClientOptions(read_attempt_s=0.1)
    async with serving(member), serving(silent):
        endpoints = [silent.endpoint, member.endpoint]
        async with Client(endpoints, options=options, on_failure=told.append) as client:
            for _ in range(6):
                assert await client.kv.get(b"k") == ANSWER
        assert (len(silent.calls), len(member.calls)) == (1, 6)
        goes_on.set()


async def test_a_write_without_an_answer_is_not_made_again_and_the_next_goes_elsewhere() -> None:
    member, silent = answering(), FakeMember()
    goes_on = asyncio.Event()

    async def never(request: object, context: object) -> PutResponse:
        await goes_on.wait()
        return PutResponse()

    silent.unary[PUT.path] = never
    async with serving(member), serving(silent), Client([silent.endpoint, member.endpoint]) as c:
        with pytest.raises(DeadlineExceededError) as caught:
            await c.kv.put(b"k", b"v", timeout_s=0.2)
        assert caught.value.maybe_done
        assert member.calls == []
        await c.kv.put(b"k", b"v")
        await c.kv.put(b"k", b"v")
        goes_on.set()
        assert (len(silent.calls), len(member.calls)) == (1, 2)


async def test_every_request_asks_for_a_leader_when_told_so() -> None:
    options = ClientOptions(require_leader=True)
    async with serving(answering()) as member, Client([member.endpoint], options=options) as client:
        await client.kv.put(b"k", b"v")
        assert member.metadata[0]["hasleader"] == "true"


async def test_a_read_survives_a_connection_that_breaks_while_it_waits() -> None:
    member = answering()
    arrived, goes_on = asyncio.Event(), asyncio.Event()

    async def slow_once(request: object, context: object) -> RangeResponse:
        if not arrived.is_set():
            arrived.set()
            await goes_on.wait()
        return ANSWER

    member.unary[RANGE.path] = slow_once
    async with (
        serving(member),
        Proxy(member.endpoint) as proxy,
        Client([proxy.endpoint]) as client,
    ):
        reading = asyncio.create_task(client.kv.get(b"k"))
        await arrived.wait()
        proxy.cut()
        assert await reading == ANSWER
        goes_on.set()


async def test_a_write_whose_connection_breaks_is_not_sent_twice() -> None:
    member = answering()
    arrived, goes_on = asyncio.Event(), asyncio.Event()

    async def slow(request: object, context: object) -> PutResponse:
        arrived.set()
        await goes_on.wait()
        return PutResponse()

    member.unary[PUT.path] = slow
    async with (
        serving(member),
        Proxy(member.endpoint) as proxy,
        Client([proxy.endpoint]) as client,
    ):
        writing = asyncio.create_task(client.kv.put(b"k", b"v"))
        await arrived.wait()
        proxy.cut()
        with pytest.raises(ConnectionLostError) as caught:
            await writing
        goes_on.set()
        assert caught.value.maybe_done
        assert caught.value.endpoint == proxy.endpoint
        assert member.calls.count(PUT.path) == 1


async def test_a_write_that_was_surely_not_done_is_tried_on_the_next_endpoint() -> None:
    async with (
        serving(refusing(NoLeaderError())) as one,
        serving(answering()) as other,
        Client([one.endpoint, other.endpoint]) as client,
    ):
        await client.kv.put(b"k", b"v")
        assert (len(one.calls), len(other.calls)) == (1, 1)


async def test_a_write_that_may_have_been_done_is_left_to_the_caller() -> None:
    async with (
        serving(refusing(LeaderChangedError())) as one,
        serving(answering()) as other,
        Client([one.endpoint, other.endpoint]) as client,
    ):
        with pytest.raises(LeaderChangedError):
            await client.kv.put(b"k", b"v")
        assert len(other.calls) == 0


async def test_a_read_is_tried_again_whatever_may_have_been_done() -> None:
    async with serving(refusing(LeaderChangedError())) as member, Client([member.endpoint]) as c:
        assert await c.kv.get(b"k") == ANSWER


@pytest.mark.parametrize("refusal", [NotSupportedForLearnerError, OldLearnerError])
async def test_what_a_learner_does_not_do_is_asked_of_the_next_endpoint(
    refusal: type[WireError],
) -> None:
    async with (
        serving(refusing(*(refusal() for _ in range(9)))) as learner,
        serving(answering()) as voter,
        Client([learner.endpoint, voter.endpoint]) as client,
    ):
        await client.kv.put(b"k", b"v")
        for _ in range(3):
            assert await client.kv.get(b"k") == ANSWER
        assert (len(learner.calls), len(voter.calls)) == (1, 4)


@pytest.mark.parametrize("refusal", [NotSupportedForLearnerError, OldLearnerError])
async def test_a_learner_alone_is_believed_though_there_is_no_deadline(
    refusal: type[WireError],
) -> None:
    member = refusing(*(refusal() for _ in range(10)))
    async with serving(member), Client([member.endpoint]) as client, asyncio.timeout(10):
        with pytest.raises(refusal):
            await client.kv.get(b"k", timeout_s=None)
        assert len(member.calls) == 3


async def test_a_cluster_that_is_not_well_is_not_asked_again_for_a_change() -> None:
    """Every member would say the same."""
    async with (
        serving(refusing(UnhealthyClusterError())) as one,
        serving(answering()) as other,
        Client([one.endpoint, other.endpoint]) as client,
    ):
        with pytest.raises(UnhealthyClusterError):
            await client.kv.put(b"k", b"v")
        assert (len(one.calls), len(other.calls)) == (1, 0)


async def test_a_deadline_of_the_member_itself_does_not_repeat_a_write() -> None:
    """Stock members of 3.6 say so after seven seconds, whatever time the client had."""
    early = StatusError(Code.DEADLINE_EXCEEDED, "context deadline exceeded")
    async with (
        serving(refusing(early)) as one,
        serving(answering()) as other,
        Client([one.endpoint, other.endpoint]) as client,
    ):
        with pytest.raises(DeadlineExceededError) as caught:
            await client.kv.put(b"k", b"v", timeout_s=30)
        assert caught.value.message == "context deadline exceeded"
        assert caught.value.maybe_done
        assert (len(one.calls), len(other.calls)) == (1, 0)


async def test_an_answer_that_takes_long_everywhere_is_given_more_time() -> None:
    """A large one: to cut every attempt short at the same moment would never get it."""

    async def slow(request: object, context: object) -> RangeResponse:
        await asyncio.sleep(0.3)
        return ANSWER

    one, other = answering(), answering()
    one.unary[RANGE.path] = other.unary[RANGE.path] = slow
    options = ClientOptions(read_attempt_s=0.05)
    async with (
        serving(one),
        serving(other),
        Client([one.endpoint, other.endpoint], options=options) as client,
    ):
        assert await client.kv.get(b"k", timeout_s=20) == ANSWER
        assert len(one.calls) + len(other.calls) <= 5


async def test_connections_that_always_break_end_a_read_that_has_no_deadline() -> None:
    member = answering()

    async def never(request: object, context: object) -> RangeResponse:
        proxy.cut()
        await asyncio.Event().wait()
        return ANSWER

    member.unary[RANGE.path] = never
    options = ClientOptions(lost_attempts_max=3, retry_delay_s_max=0.01)
    async with (
        serving(member),
        Proxy(member.endpoint) as proxy,
        Client([proxy.endpoint], options=options) as client,
        asyncio.timeout(10),
    ):
        with pytest.raises(ConnectionLostError):
            await client.kv.get(b"k", timeout_s=None)
        assert len(member.calls) == 3


async def test_a_member_that_keeps_refusing_is_believed_in_the_end() -> None:
    options = ClientOptions(refused_attempts_max=3)
    member = refusing(*(NoLeaderError() for _ in range(10)))
    async with serving(member), Client([member.endpoint], options=options) as client:
        with pytest.raises(NoLeaderError):
            await client.kv.get(b"k")
        assert len(member.calls) == 3


async def test_a_refusal_of_the_request_itself_is_never_repeated() -> None:
    async with serving(refusing(EmptyKeyError())) as member, Client([member.endpoint]) as client:
        with pytest.raises(EmptyKeyError):
            await client.kv.get(b"")
        assert len(member.calls) == 1


async def test_without_any_connection_the_deadline_ends_it_and_says_why() -> None:
    async with Client([DEAD, "nonsense"]) as client:
        with pytest.raises(ConnectDeadlineError) as caught:
            await client.kv.put(b"k", b"v", timeout_s=0.2)
    assert not caught.value.maybe_done
    assert caught.value.message == "context deadline exceeded"
    assert caught.value.connection_error.endpoint in {DEAD, "nonsense"}


async def test_a_member_that_comes_up_late_is_waited_for() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with Client([f"127.0.0.1:{port}"]) as client:
        writing = asyncio.create_task(client.kv.put(b"k", b"v", timeout_s=None))
        await asyncio.sleep(0)
        async with serving(answering()) as member, _forwarding(port, member.endpoint):
            async with asyncio.timeout(10):
                await writing


def _forwarding(port: int, target: str) -> Proxy:
    proxy = Proxy(target)
    proxy.port = port
    return proxy


async def test_an_answer_that_does_not_come_ends_with_the_deadline() -> None:
    member = answering()
    goes_on = asyncio.Event()

    async def never(request: object, context: object) -> PutResponse:
        await goes_on.wait()
        return PutResponse()

    member.unary[PUT.path] = never
    async with serving(member), Client([member.endpoint]) as client:
        with pytest.raises(DeadlineExceededError) as caught:
            await client.kv.put(b"k", b"v", timeout_s=0.1)
        goes_on.set()
    assert caught.value.maybe_done
    assert not isinstance(caught.value, ConnectDeadlineError)


async def test_a_request_above_the_send_limit_is_not_sent() -> None:
    async with serving(answering()) as member, Client([member.endpoint]) as client:
        with pytest.raises(StatusError) as caught:
            await client.kv.put(b"k", b"x" * 2_097_200)
        assert member.calls == []
    assert caught.value.status is Code.RESOURCE_EXHAUSTED
    assert caught.value.message.startswith("trying to send message larger than max (")


async def test_a_closed_client_says_so() -> None:
    async with serving(answering()) as member:
        client = Client([member.endpoint])
        await client.kv.get(b"k")
        await client.close()
        with pytest.raises(ClientClosedError):
            await client.kv.get(b"k")


async def test_closing_ends_calls_under_way() -> None:
    member = answering()
    arrived, goes_on = asyncio.Event(), asyncio.Event()

    async def slow(request: object, context: object) -> PutResponse:
        arrived.set()
        await goes_on.wait()
        return PutResponse()

    member.unary[PUT.path] = slow
    async with serving(member):
        client = Client([member.endpoint])
        writing = asyncio.create_task(client.kv.put(b"k", b"v"))
        await arrived.wait()
        await client.close()
        with pytest.raises(WireError):
            await writing
        goes_on.set()


async def test_failures_are_told_but_not_the_search_for_an_endpoint() -> None:
    told: list[Failure] = []
    async with (
        serving(refusing(NoLeaderError())) as member,
        Client([DEAD, member.endpoint], on_failure=told.append) as client,
    ):
        await client.kv.get(b"k")
    assert [(failure.path, type(failure.error)) for failure in told] == [
        (RANGE.path, NoLeaderError)
    ]


async def test_a_call_can_be_made_to_one_endpoint_alone() -> None:
    async with (
        serving(answering()) as one,
        serving(answering()) as other,
        Client([one.endpoint]) as client,
    ):
        del other.unary[RANGE.path]
        with pytest.raises(StatusError) as caught:
            await client.maintenance.status(other.endpoint)
        assert caught.value.status is Code.UNIMPLEMENTED
        await until(lambda: len(other.calls) == 1)
        assert one.calls == []
