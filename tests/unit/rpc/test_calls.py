"""Deadlines, cancellation, errors and parts of messages, call by call."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from kvorum.errors import Code, DeadlineError, StatusError
from kvorum.rpc.metadata import parse_timeout_s
from tests.unit.rpc.peer import (
    BUG,
    DATA,
    EAGER,
    ECHO,
    FAIL,
    LATER,
    RST,
    STREAM,
    H2Client,
    RawClient,
    grpc_frame,
    http2_frame,
    messages_in,
)

BUG_TOLD = ("13", "internal error; the member's log has the details")


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def later(client: H2Client, *more: tuple[str, str]) -> tuple[int, asyncio.Future[bytes]]:
    stream = client.open(LATER, *more)
    client.send(stream, key=b"k", end=True)
    client.exchange()
    return stream, client.server.methods.futures[-1]


async def test_an_answer_may_come_later() -> None:
    client = H2Client()
    stream, future = await later(client)
    wakes = client.server.wakes
    future.set_result(b"late")
    await settle()
    assert client.server.wakes == wakes + 1
    client.exchange()
    assert messages_in(client.responses[stream].body) == [b"late"]


async def test_an_error_may_come_later() -> None:
    client = H2Client()
    stream, future = await later(client)
    other, bug = await later(client)
    third, cancelled = await later(client)
    future.set_exception(StatusError(Code.ABORTED, "no"))
    bug.set_exception(RuntimeError("bug"))
    cancelled.cancel()
    await settle()
    client.exchange()
    assert client.responses[stream].status == ("10", "no")
    assert client.responses[other].status == BUG_TOLD
    assert client.responses[third].status == ("1", "etcdserver: request canceled")
    assert [str(error) for error in client.server.methods.log.errors] == ["bug"]


async def test_a_deadline_ends_a_call() -> None:
    client = H2Client()
    unary, future = await later(client, ("grpc-timeout", "1m"))
    stream = client.open(STREAM, ("grpc-timeout", "1000u"))
    client.exchange()
    async with asyncio.timeout(5):
        while not (client.responses[unary].ended and client.responses[stream].ended):
            await asyncio.sleep(0.001)
            client.exchange()
    assert client.responses[unary].status == ("4", DeadlineError().message)
    assert client.responses[stream].status == ("4", DeadlineError().message)
    assert client.server.methods.calls[0].closes == 1
    assert future.cancelled()  # nobody waits for it: a lock is not to be got any more
    await settle()
    assert client.server.output() == b""


async def test_an_answer_in_time_stops_the_clock() -> None:
    client = H2Client()
    stream, future = await later(client, ("grpc-timeout", "1H"))
    future.set_result(b"soon")
    call = client.open(STREAM, ("grpc-timeout", "1H"))
    client.h2.end_stream(call)
    await settle()
    client.exchange()
    assert client.responses[stream].ended
    assert client.responses[call].status == ("0", "")
    assert len(client.server.methods.app.deadlines) == 0
    loop = asyncio.get_running_loop()
    loop_timers = [timer for timer in getattr(loop, "_scheduled", []) if not timer.cancelled()]
    assert len(loop_timers) <= 1  # the one that looks through all calls, once more


async def test_a_client_that_leaves_is_answered_nothing() -> None:
    client = H2Client()
    calls = [await later(client, ("grpc-timeout", "1H")) for _ in range(4)]
    for stream, _ in calls:
        client.h2.reset_stream(stream)
    (_, future), (_, error), (_, bug), (_, waiting) = calls
    future.set_result(b"late")
    error.set_exception(StatusError(Code.ABORTED, "late"))
    bug.set_exception(RuntimeError("late"))
    client.exchange()
    assert waiting.cancelled()
    await settle()
    assert client.server.output() == b""
    assert client.server.methods.log.errors == []
    assert not client.server.connection.streams


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("1H", 3600), ("2M", 120), ("5S", 5), ("5m", 0.005), ("99999999u", 99.999999), ("7n", 7e-9)],
)
def test_a_timeout_is_read_in_its_unit(value: str, seconds: float) -> None:
    assert parse_timeout_s(value.encode()) == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["", "S", "5", "-5S", "5s", "1.5S", "123456789S", "²S", "\xffS"])
def test_a_malformed_timeout_is_refused(value: str) -> None:
    with pytest.raises(StatusError, match="malformed grpc-timeout"):
        parse_timeout_s(value.encode("latin-1"))


@pytest.mark.parametrize("path", [ECHO, STREAM])
def test_a_call_with_a_malformed_timeout_is_refused(path: str) -> None:
    client = H2Client()
    response = client.call(path, ("grpc-timeout", "soon"))
    assert response.status == ("13", 'malformed grpc-timeout: "soon"')


@pytest.mark.parametrize("path", [ECHO, STREAM])
def test_a_call_that_wants_a_leader_is_refused_without_one(path: str) -> None:
    client = H2Client()
    assert client.call(path, ("hasleader", "true")).status == ("0", "")
    client.server.methods.has_leader = False
    assert client.call(path, ("hasleader", "true")).status == ("14", "etcdserver: no leader")
    assert client.call(path, ("hasleader", "false")).status == ("0", "")


def test_a_bug_of_a_method_is_told_to_the_log_and_ends_one_call() -> None:
    client = H2Client()
    assert client.call(BUG).status == BUG_TOLD
    assert client.call("/t.T/Watch").status == BUG_TOLD
    assert client.call(STREAM, key=b"bug").status == BUG_TOLD
    assert len(client.server.methods.log.errors) == 3
    assert not client.server.methods.app.open_calls
    assert client.call(ECHO, key=b"a").body == grpc_frame(b"a")


def test_a_bug_in_the_end_of_one_call_leaves_the_others_their_end() -> None:
    client = RawClient()
    client.receive(client.open(1, STREAM) + client.open(3, STREAM))
    first, second = client.server.methods.calls

    def closed() -> None:
        raise RuntimeError("bug of a method")

    first.closed = closed  # type: ignore[method-assign]
    client.server.connection.lost()
    assert second.closes == 1
    assert len(client.server.methods.log.errors) == 1


def test_a_stream_that_fails_at_once_ends_with_its_status() -> None:
    client = H2Client()
    assert client.call("/t.T/KeepAlive").status == ("3", "etcdserver: key is not provided")
    assert not client.server.methods.app.open_calls


def test_all_streams_can_be_ended() -> None:
    client = H2Client()
    quiet, eager = client.open(STREAM), client.open(EAGER)
    client.exchange()
    assert client.responses[eager].headers
    client.server.methods.app.finish_all(StatusError(Code.UNAVAILABLE, "bye"))
    client.exchange()
    for stream in (quiet, eager):
        assert client.responses[stream].status == ("14", "bye")
    assert [call.closes for call in client.server.methods.calls] == [1, 1]
    # Nothing happens to calls that are over.
    client.server.methods.calls[0].call.finish()
    assert client.server.methods.calls[0].call.send(b"x")
    assert client.server.output() == b""


@pytest.mark.parametrize("path", [ECHO, STREAM])
@pytest.mark.parametrize("size", [1, 3, 5, 6, 9])
def test_a_message_may_come_in_parts(path: str, size: int) -> None:
    client = H2Client()
    stream = client.open(path)
    body = grpc_frame(b"\x0a\x03key")
    for at in range(0, len(body), size):
        client.h2.send_data(stream, body[at : at + size])
        client.exchange()
    if not client.responses[stream].ended:
        client.h2.end_stream(stream)
    client.exchange()
    assert messages_in(client.responses[stream].body) == [b"key"]
    assert client.server.connection.held_bytes == 0


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (ECHO, b"", ("2", "EOF")),
        (ECHO, grpc_frame(b"\x0a\x03key")[:-1], ("2", "unexpected EOF")),
        (STREAM, b"", ("0", "")),
        (STREAM, grpc_frame(b"\x0a\x03key")[:-1], ("13", "unexpected EOF")),
    ],
)
def test_a_request_that_is_cut_short_is_refused(
    path: str, body: bytes, status: tuple[str, str]
) -> None:
    client = H2Client()
    stream = client.open(path)
    client.h2.send_data(stream, body, end_stream=True)
    client.exchange()
    assert client.responses[stream].status == status


@pytest.mark.parametrize("path", [ECHO, STREAM])
def test_a_compressed_message_is_unpacked(path: str) -> None:
    client = H2Client()
    stream = client.open(path, ("grpc-encoding", "gzip"))
    packed = gzip.compress(b"\x0a\x03key")
    body = b"\1" + len(packed).to_bytes(4, "big") + packed
    client.h2.send_data(stream, body, end_stream=True)
    client.exchange()
    assert messages_in(client.responses[stream].body) == [b"key"]


@pytest.mark.parametrize("path", [ECHO, STREAM])
def test_an_unknown_compression_is_refused(path: str) -> None:
    status, text = H2Client().call(path, ("grpc-encoding", "br")).status
    assert status == "12"
    assert text == 'grpc: Decompressor is not installed for grpc-encoding "br"'


def test_a_second_message_of_a_unary_call_changes_nothing() -> None:
    client = RawClient()
    body = grpc_frame(b"\x0a\x01a")
    found = client.receive(
        client.open(1, ECHO) + http2_frame(DATA, 0, 1, body) + http2_frame(DATA, 1, 1, body)
    )
    assert [kind for kind, *_ in found] == [1, 0, 1, RST]


def test_a_failed_call_has_one_header_block() -> None:
    client = RawClient()
    found = client.receive(client.request(1, FAIL))
    assert [(kind, flags) for kind, flags, *_ in found] == [(1, 5)]
