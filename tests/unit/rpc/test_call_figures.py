"""Calls are counted by method and status, whichever way they end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from kvorum.errors import Code, EmptyKeyError, StatusError
from kvorum.proto.rpc_pb2 import PutRequest, PutResponse, TxnRequest, TxnResponse
from kvorum.rpc.metrics.calls import CallFigures, EndedCall, known_methods
from kvorum.rpc.metrics.slow_calls import SlowCalls
from kvorum.server.log import Event, Level, Logger
from tests.unit.rpc.peer import ECHO, FAIL, LATER, STREAM, H2Client

LABELS = {ECHO: ("Echo", "t.T", "unary"), LATER: ("Later", "t.T", "unary")}


def rows(figures: CallFigures, name: str) -> Mapping[tuple[str, ...], Any]:
    found = figures.values()[name]
    assert isinstance(found, Mapping)
    return found


def handled(client: H2Client, method: str) -> dict[str, int]:
    """Calls of a method that ended, by status."""
    found = rows(client.server.methods.app.figures, "grpc_server_handled_total")
    return {labels[0]: count for labels, count in found.items() if labels[1] == method and count}


def call(client: H2Client, path: str, *more: tuple[str, str]) -> int:
    stream = client.open(path, *more)
    client.send(stream, key=b"k", end=True)
    client.exchange()
    return stream


def test_methods_of_etcd_are_shown_before_they_are_used() -> None:
    started = rows(CallFigures(), "grpc_server_started_total")
    assert started["Put", "etcdserverpb.KV", "unary"] == 0
    assert started["Watch", "etcdserverpb.Watch", "bidi_stream"] == 0
    assert started["Snapshot", "etcdserverpb.Maintenance", "server_stream"] == 0
    assert not any(service.startswith("v3") for _, service, _ in started)
    assert known_methods()["/v3electionpb.Election/Observe"] == "server_stream"


def test_calls_are_counted_by_their_status() -> None:
    client = H2Client()
    call(client, ECHO)
    call(client, ECHO)
    call(client, FAIL)
    figures = client.server.methods.app.figures
    assert rows(figures, "grpc_server_started_total")[LABELS[ECHO]] == 2
    assert rows(figures, "grpc_server_msg_received_total")[LABELS[ECHO]] == 2
    assert rows(figures, "grpc_server_msg_sent_total")[LABELS[ECHO]] == 2
    assert handled(client, "Echo") == {"OK": 2}
    assert "OK" not in handled(client, "Fail")
    assert sum(handled(client, "Fail").values()) == 1


async def test_a_call_that_the_client_gives_up_is_canceled_and_counted_once() -> None:
    client = H2Client()
    stream = call(client, LATER)
    client.h2.reset_stream(stream)
    client.exchange()
    future = client.server.methods.futures[-1]
    if not future.done():
        future.set_result(b"late")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert handled(client, "Later") == {"Canceled": 1}


async def test_an_error_that_comes_later_is_counted() -> None:
    client = H2Client()
    call(client, LATER)
    client.server.methods.futures[-1].set_exception(StatusError(Code.ABORTED, "no"))
    for _ in range(3):
        await asyncio.sleep(0)
    assert handled(client, "Later") == {"Aborted": 1}


async def test_messages_of_streams_are_counted_in_both_directions() -> None:
    client = H2Client()
    stream = client.open(STREAM)
    client.exchange()
    client.send(stream, key=b"a")
    client.send(stream, key=b"b", end=True)
    client.exchange()
    figures = client.server.methods.app.figures.method(STREAM)
    assert figures.started == 1
    assert figures.received == 2
    assert figures.received_bytes > 0


def test_versions_of_clients_are_told_apart() -> None:
    client = H2Client()
    call(client, ECHO, ("client-api-version", "3.5"))
    call(client, ECHO, ("client-api-version", "3.5"))
    call(client, ECHO)
    found = rows(client.server.methods.app.figures, "etcd_server_client_requests_total")
    assert found == {("3.5", "unary"): 2, ("unknown", "unary"): 1}


async def test_calls_of_the_gateway_are_counted_like_others() -> None:
    client = H2Client()
    app = client.server.methods.app

    def called(path: str) -> Any:
        found = app.unary(path)
        assert found is not None
        kind, method = found
        return method(kind(key=b"k"), kind(key=b"k").SerializeToString())

    assert called(ECHO) == b"k"
    with pytest.raises(EmptyKeyError):
        called(FAIL)
    later = called(LATER)
    client.server.methods.futures[-1].set_result(b"late")
    assert await later == b"late"
    await asyncio.sleep(0)
    assert handled(client, "Echo") == {"OK": 1}
    assert handled(client, "Fail") == {"InvalidArgument": 1}
    assert handled(client, "Later") == {"OK": 1}
    assert app.figures.method(ECHO).sent_bytes == 1


def test_a_client_cannot_fill_the_memory_with_versions() -> None:
    figures = CallFigures()
    for number in range(1000):
        figures.count_version(figures.unary_versions, b"%d" % number)
    assert len(figures.unary_versions) == 32


def test_with_extensive_metrics_every_call_is_timed() -> None:
    figures = CallFigures(extensive=True)
    method = figures.method("/etcdserverpb.KV/Put")
    figures.finished(method, 0.004, None)
    timed = rows(figures, "grpc_server_handling_seconds")["Put", "etcdserverpb.KV", "unary"]
    assert timed.counts[0] == 1
    assert method.notable_s < 0
    assert rows(CallFigures(), "grpc_server_handling_seconds") == {}


def test_a_slow_call_is_told_with_what_it_was_about() -> None:
    events: list[Event] = []
    figures = CallFigures(warning_s=0.3, slow=SlowCalls(Logger(events.append), 0.3))
    method = figures.method("/etcdserverpb.KV/Put")
    request = PutRequest(key=b"a", value=b"b").SerializeToString()
    response = PutResponse().SerializeToString()
    quick = EndedCall(0.1, "", PutRequest, request, response)
    figures.finished(method, quick.took_s, quick)
    assert not events
    slow = EndedCall(0.412, "127.0.0.1:5276", PutRequest, request, response)
    figures.finished(method, slow.took_s, slow)
    (event,) = events
    assert event.message == "request stats"
    fields = dict(event.fields)
    fields.pop("start time")
    assert fields == {
        "time spent": "412ms",
        "remote": "127.0.0.1:5276",
        "response type": "/etcdserverpb.KV/Put",
        "request count": 1,
        "request size": 6,
        "response count": 0,
        "response size": 0,
        "request content": 'key:"a" value_size:1 ',
    }


def test_at_level_debug_every_call_is_told() -> None:
    events: list[Event] = []
    log = Logger(events.append)
    figures = CallFigures(warning_s=0.3, slow=SlowCalls(log, 0.3))
    before, took_s = figures.method("/etcdserverpb.KV/Put"), 0.001
    assert before.notable_s == 0.3
    figures.tell_all(True)
    later = figures.method("/etcdserverpb.KV/Range")
    quick = EndedCall(took_s, "", PutRequest, b"", None)
    for method in (before, later):
        assert method.notable_s < 0
        figures.finished(method, took_s, quick)
    assert not events, "the level of the log is info"
    log.set_level(Level.DEBUG)
    figures.finished(later, took_s, quick)
    slow = EndedCall(0.4, "", PutRequest, b"", None)
    figures.finished(later, slow.took_s, slow)
    assert [event.level for event in events] == [Level.DEBUG, Level.WARN]
    figures.tell_all(False)
    assert [method.notable_s for method in (before, later)] == [0.3, 0.3]
    figures.finished(later, took_s, quick)
    assert len(events) == 2


def test_a_slow_call_that_failed_keeps_its_content_to_itself() -> None:
    events: list[Event] = []
    tell = SlowCalls(Logger(events.append), 0.3)
    tell("/etcdserverpb.KV/Txn", EndedCall(1, "", TxnRequest, b"", None))
    assert events[0].fields["request content"] == ""
    assert events[0].fields["request count"] == -1
    tell(
        "/etcdserverpb.KV/Txn", EndedCall(1, "", TxnRequest, b"", TxnResponse().SerializeToString())
    )
    assert events[1].fields["request content"] == "compare:<> success:<> failure:<>"
