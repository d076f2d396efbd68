"""Slow applies and reads are counted, and told in stock's words."""

from __future__ import annotations

from pathlib import Path

from kvorum.proto.rpc_pb2 import PutRequest, RangeRequest, RequestOp, TxnRequest
from kvorum.server import entries
from kvorum.server.api import MemberApi
from kvorum.server.log import Event, Logger
from kvorum.server.metrics.counters import MemberCounters
from kvorum.server.slow import SlowRequests
from tests.unit.server.members import put, running

MESSAGE = "apply request took too long"


class Told:
    """A log that is kept."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.log = Logger(self.events.append)

    @property
    def only(self) -> Event:
        (event,) = self.events
        return event


def test_a_slow_apply_is_told_with_its_entry_and_the_size_of_its_answer() -> None:
    told, counters = Told(), MemberCounters()
    slow = SlowRequests(0.1, counters, told.log)
    data = entries.encode(entries.PUT, PutRequest(key=b"a", value=b"b").SerializeToString(), 7)
    slow.applied(0.2505, data, b"1234")
    assert told.only.message == MESSAGE
    assert dict(told.only.fields) == {
        "took": "250.5ms",
        "expected-duration": "100ms",
        "prefix": "",
        "request": 'header:<ID:7 > put:<key:"a" value_size:1 >',
        "response": "size:4",
    }
    assert counters.slow_applies == 1


def test_a_slow_apply_that_failed_is_told_with_its_error() -> None:
    told = Told()
    error = ValueError("no")
    data = entries.encode(entries.PUT, PutRequest(key=b"a").SerializeToString(), 7)
    SlowRequests(0.1, MemberCounters(), told.log).applied(1, data, error)
    assert told.only.fields["error"] is error
    assert told.only.fields["response"] == ""


def test_reads_without_an_index_are_counted_by_their_reason() -> None:
    told, counters = Told(), MemberCounters()
    slow = SlowRequests(0.1, counters, told.log)
    slow.no_read_index(7, has_leader=True)
    slow.no_read_index(7, has_leader=False)
    assert (counters.slow_reads, counters.reads_failed) == (1, 1)


async def test_every_request_that_is_slow_is_told(tmp_path: Path) -> None:
    """With a limit that all of them exceed."""
    told = Told()
    async with running(tmp_path, warning_apply_s=1e-9) as server:
        server.slow = SlowRequests(1e-9, server.counters, told.log)
        api = MemberApi(server)
        await put(server, b"k", b"12345")
        before = server.counters.slow_applies
        assert before >= 1  # the put; what a start proposes may count, too
        api.range(RangeRequest(key=b"k"))
        operation = RequestOp(request_range=RangeRequest(key=b"k"))
        request = TxnRequest(success=[operation])
        api.txn(request, request.SerializeToString())
        assert server.counters.slow_applies == before + 2
    texts = [(one.fields["prefix"], one.fields["request"]) for one in told.events]
    assert ("read-only range ", 'key:"k" ') in texts
    assert (
        "read-only txn ",
        'compare:<> success:<request_range:<key:"k" > > failure:<>',
    ) in texts
    counts = [one.fields["response"].partition(" size:")[0] for one in told.events]
    assert counts == ["range_response_count:1", "responses:<range_response_count:1>"]


async def test_nothing_is_told_of_what_is_quick(tmp_path: Path) -> None:
    async with running(tmp_path, warning_apply_s=3600.0) as server:
        await put(server, b"k")
        MemberApi(server).range(RangeRequest(key=b"k"))
        assert server.counters.slow_applies == 0
