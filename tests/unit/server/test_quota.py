"""The storage quota: what is counted, what is refused, and the alarm that it raises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kvorum.errors import CorruptClusterError, NoSpaceError, StatusError, WireError
from kvorum.gotext import format_size
from kvorum.proto.rpc_pb2 import (
    AlarmRequest,
    AlarmResponse,
    CompactionRequest,
    DeleteRangeRequest,
    LeaseGrantRequest,
    LeaseRevokeRequest,
    PutRequest,
    RangeRequest,
    RangeResponse,
    RequestOp,
    TxnRequest,
)
from kvorum.server.alarms import alarm_text
from kvorum.server.api import MemberApi
from kvorum.server.log import Event, Logger
from kvorum.server.member import EtcdServer
from kvorum.server.quota import log_quota, put_cost, txn_cost
from tests.unit.server.members import DEADLINE_S, eventually, put, put_nowait, running

NOSPACE, CORRUPT = 1, 2
ACTIVATE, DEACTIVATE = AlarmRequest.ACTIVATE, AlarmRequest.DEACTIVATE


def put_op(key: bytes, value: bytes = b"") -> RequestOp:
    return RequestOp(request_put=PutRequest(key=key, value=value))


def delete_op(key: bytes) -> RequestOp:
    return RequestOp(request_delete_range=DeleteRangeRequest(key=key))


def nested(*operations: RequestOp) -> RequestOp:
    return RequestOp(request_txn=TxnRequest(success=operations))


async def done(response: Any) -> bytes:
    if isinstance(response, bytes):
        return response
    return bytes(await asyncio.wait_for(response, DEADLINE_S))


async def alarm(server: EtcdServer, action: int, kind: int = 0, member_id: int = 0) -> list[int]:
    """The kinds of the alarms that the answer holds."""
    request = AlarmRequest(action=action, alarm=kind, memberID=member_id)  # type: ignore[arg-type]
    raw = await done(MemberApi(server).alarm(request, request.SerializeToString()))
    return [int(one.alarm) for one in AlarmResponse.FromString(raw).alarms]


@pytest.mark.parametrize(
    ("success", "failure", "cost"),
    [
        ([], [], 0),
        ([delete_op(b"k")], [], 0),
        ([put_op(b"key", b"value")], [], 264),
        ([put_op(b"a"), put_op(b"b"), delete_op(b"c")], [], 514),
        ([put_op(b"a")], [put_op(b"a"), put_op(b"b")], 514),
        ([nested(put_op(b"a", b"x" * 1000))], [], 0),  # as stock counts
    ],
)
def test_a_transaction_costs_what_its_dearer_branch_puts(
    success: list[RequestOp], failure: list[RequestOp], cost: int
) -> None:
    assert txn_cost(TxnRequest(success=success, failure=failure)) == cost
    assert put_cost(PutRequest(key=b"key", value=b"value", lease=2**62)) == 264


async def test_a_put_that_does_not_fit_is_refused_when_the_alarm_is_known(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        cost = 256 + len(b"k") + 42
        server.quota._limit_bytes = server.backend.size() + cost
        with pytest.raises(NoSpaceError):
            await put(server, b"k", b"v" * 42)
        assert await alarm(server, AlarmRequest.GET) == [NOSPACE]
        assert server.alarms.active() == [(server.member_id, NOSPACE)]
        await alarm(server, DEACTIVATE, NOSPACE, server.member_id)
        server.quota._limit_bytes = server.backend.size() + cost + 1
        await put(server, b"k", b"v" * 42)


async def test_many_refused_writes_raise_one_alarm(tmp_path: Path) -> None:
    async with running(tmp_path, quota_bytes=1) as server:
        before = server.proposals.applied_index
        refused = await asyncio.gather(
            *(put_nowait(server, b"%d" % n) for n in range(100)), return_exceptions=True
        )
        assert [type(error) for error in refused] == [NoSpaceError] * 100
        assert server.proposals.applied_index == before + 1


async def test_what_adds_nothing_has_room_in_a_full_database(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        await put(server, b"old")
    async with running(tmp_path, quota_bytes=1) as server:
        api = MemberApi(server)

        async def txn(*operations: RequestOp) -> None:
            request = TxnRequest(success=operations)
            await done(api.txn(request, request.SerializeToString()))

        await txn(delete_op(b"none"))
        await txn()
        assert server.alarms.active() == []
        with pytest.raises(NoSpaceError):
            await txn(put_op(b"k"))
        await txn(delete_op(b"old"))
        await txn(nested(put_op(b"inside")))
        assert await keys(server) == [b"inside"]


async def keys(server: EtcdServer) -> list[bytes]:
    request = RangeRequest(key=b"\0", range_end=b"\0")
    raw = await done(MemberApi(server).range(request))
    return [kv.key for kv in RangeResponse.FromString(raw).kvs]


def requests_of(api: MemberApi) -> dict[str, Callable[[], Any]]:
    """One request of each kind, which would succeed if no alarm were active."""

    def sent(method: Callable[[Any, bytes], Any], request: Any) -> Callable[[], Any]:
        return lambda: method(request, request.SerializeToString())

    read = RequestOp(request_range=RangeRequest(key=b"k"))
    return {
        "put": sent(api.put, PutRequest(key=b"k")),
        "txn put": sent(api.txn, TxnRequest(success=[put_op(b"k")])),
        "txn put if not": sent(api.txn, TxnRequest(success=[read], failure=[put_op(b"k")])),
        "grant": lambda: api.lease_grant(LeaseGrantRequest(TTL=60)),
        "delete": sent(api.delete_range, DeleteRangeRequest(key=b"k")),
        "txn delete": sent(api.txn, TxnRequest(success=[delete_op(b"k")])),
        "txn nested put": sent(api.txn, TxnRequest(success=[nested(put_op(b"k"))])),
        "compact": sent(api.compact, CompactionRequest(revision=2)),
        "revoke": sent(api.lease_revoke, LeaseRevokeRequest(ID=7)),
        "range": lambda: api.range(RangeRequest(key=b"k")),
        "txn range": sent(api.txn, TxnRequest(success=[read])),
        "txn of nothing": sent(api.txn, TxnRequest()),
    }


GROWING = {"put", "txn put", "txn put if not", "grant"}
READING = {"range", "txn range", "txn of nothing"}


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize(
    ("kinds", "refused", "error"),
    [
        ([NOSPACE], GROWING, NoSpaceError),
        ([CORRUPT], None, CorruptClusterError),
        ([CORRUPT, NOSPACE], None, CorruptClusterError),
    ],
)
async def test_an_alarm_refuses_what_stock_refuses(
    tmp_path: Path,
    kinds: list[int],
    refused: set[str] | None,
    error: type[WireError],
    restarted: bool,
) -> None:
    async with running(tmp_path) as server:
        await put(server, b"k")
        await put(server, b"k")
        await done(MemberApi(server).lease_grant(LeaseGrantRequest(TTL=600, ID=7)))
        for kind in kinds:
            assert await alarm(server, ACTIVATE, kind, server.member_id) == [kind]
        if not restarted:
            await check_refusals(server, refused, error)
    if restarted:
        async with running(tmp_path) as server:
            assert sorted(await alarm(server, AlarmRequest.GET)) == sorted(kinds)
            await check_refusals(server, refused, error)


async def check_refusals(
    server: EtcdServer, refused: set[str] | None, error: type[WireError]
) -> None:
    found = set()
    for name, request in requests_of(MemberApi(server)).items():
        try:
            await done(request())
        except error:
            found.add(name)
    everything = set(requests_of(MemberApi(server)))
    assert found == (everything - READING if refused is None else refused)


async def test_writes_go_on_when_the_last_alarm_is_disarmed(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        for member_id in (server.member_id, 42):
            assert await alarm(server, ACTIVATE, NOSPACE, member_id) == [NOSPACE]
        assert await alarm(server, DEACTIVATE, NOSPACE, 42) == [NOSPACE]
        with pytest.raises(NoSpaceError):
            await put(server, b"k")
        assert await alarm(server, DEACTIVATE, NOSPACE, server.member_id) == [NOSPACE]
        assert await alarm(server, DEACTIVATE, NOSPACE, server.member_id) == []
        await put(server, b"k")
        assert await alarm(server, AlarmRequest.GET) == []


async def test_a_full_database_raises_its_alarm_again_at_the_next_write(tmp_path: Path) -> None:
    async with running(tmp_path, quota_bytes=1) as server:
        for _ in range(2):
            with pytest.raises(NoSpaceError):
                await put(server, b"k")
            assert await alarm(server, DEACTIVATE, NOSPACE, server.member_id) == [NOSPACE]


async def test_what_others_write_raises_the_alarm_of_a_full_member(tmp_path: Path) -> None:
    events: list[Event] = []
    async with running(tmp_path, quota_bytes=1) as server:
        server.quota._log = Logger(events.append)
        request = PutRequest(key=b"k")
        server.applier.put(request)  # as an entry that another member proposed
        assert server.store.revision == 2
        await eventually(lambda: server.alarms.no_space)
        with pytest.raises(NoSpaceError):
            server.applier.put(request)
    assert [event.message for event in events] == ["message exceeded backend quota; raising alarm"]


async def test_an_alarm_that_would_end_a_stock_member_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        with pytest.raises(StatusError, match="unknown alarm 7"):
            await alarm(server, ACTIVATE, 7, server.member_id)
        assert await alarm(server, ACTIVATE, 0, server.member_id) == []
        assert await alarm(server, AlarmRequest.GET) == []


@pytest.mark.parametrize(
    ("of", "text"),
    [
        ((5, NOSPACE), "memberID:5 alarm:NOSPACE "),
        ((5, CORRUPT), "memberID:5 alarm:CORRUPT "),
        ((0, NOSPACE), "alarm:NOSPACE "),
    ],
)
def test_alarms_are_told_as_stock_tells_them(of: tuple[int, int], text: str) -> None:
    assert alarm_text(of) == text


@pytest.mark.parametrize(
    ("configured", "limit", "lines"),
    [
        (0, 2 << 30, [("enabled backend quota with default value", "2.1 GB")]),
        (-1, None, [("disabled backend quota", None)]),
        (16_000_000, 16_000_000, [("enabled backend quota", "16 MB")]),
        (8 << 30, 8 << 30, [("enabled backend quota", "8.6 GB")]),
        (
            9_000_000_000,
            9_000_000_000,
            [("quota exceeds the maximum value", "9.0 GB"), ("enabled backend quota", "9.0 GB")],
        ),
    ],
)
def test_the_log_says_which_quota_holds(
    configured: int, limit: int | None, lines: list[tuple[str, str | None]]
) -> None:
    events: list[Event] = []
    log_quota(Logger(events.append), configured, limit)
    assert [(event.message, event.fields.get("quota-size")) for event in events] == lines


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (20_480, "20 kB"), (9_960_000, "10 MB")],
)
def test_sizes_are_written_in_powers_of_a_thousand(size: int, text: str) -> None:
    assert format_size(size) == text
