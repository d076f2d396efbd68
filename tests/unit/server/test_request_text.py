"""Requests in the log: the texts are those of stock 3.5.1 for the same requests."""

from __future__ import annotations

import pytest

from kvorum.gotext import duration_text
from kvorum.proto.raft_internal_pb2 import InternalRaftRequest, RequestHeader
from kvorum.proto.rpc_pb2 import (
    AuthenticateRequest,
    CompactionRequest,
    Compare,
    DeleteRangeRequest,
    LeaseGrantRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    TxnRequest,
)
from kvorum.server.request_text import compact, entry_text, quoted, request_text

HEADER = RequestHeader(ID=11547407559096950021)
HEAD = "header:<ID:11547407559096950021 >"
TXN = TxnRequest(
    compare=[Compare(target=Compare.VALUE, key=b"a2", value=b"x")],
    success=[
        RequestOp(request_put=PutRequest(key=b"z", value=b"1")),
        RequestOp(request_range=RangeRequest(key=b"a2")),
        RequestOp(request_delete_range=DeleteRangeRequest(key=b"q")),
    ],
    failure=[
        RequestOp(request_range=RangeRequest(key=b"a2")),
        RequestOp(request_put=PutRequest(key=b"y", value=b"2")),
    ],
)
TXN_TEXT = (
    'compare:<target:VALUE key:"a2" value_size:1 > success:<request_put:<key:"z" value_size:1 >'
    ' request_range:<key:"a2" >  request_delete_range:<key:"q" > > failure:<request_range:'
    '<key:"a2" >  request_put:<key:"y" value_size:1 >>'
)


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"put": PutRequest(key=b"a", value=b"b")}, f'{HEAD} put:<key:"a" value_size:1 >'),
        (
            {"delete_range": DeleteRangeRequest(key=b"a")},
            f'{HEAD} delete_range:<key:"a" > ',
        ),
        ({"txn": TXN}, f"{HEAD} txn:<{TXN_TEXT}>"),
        (
            {"lease_grant": LeaseGrantRequest(TTL=60, ID=0x2040A1FE84A25D0C)},
            f"{HEAD} lease_grant:<ttl:60-second id:2040a1fe84a25d0c>",
        ),
        ({"compaction": CompactionRequest(revision=3)}, f"{HEAD} compaction:<revision:3 > "),
    ],
)
def test_an_entry_is_told_as_stock_tells_it(entry: dict[str, object], text: str) -> None:
    request = InternalRaftRequest(header=HEADER, **entry)  # type: ignore[arg-type]
    assert entry_text(request) == text


def test_values_are_not_told() -> None:
    assert request_text(PutRequest(key=b"a", value=b"secret")) == 'key:"a" value_size:6 '
    assert "secret" not in request_text(TXN)
    assert "hidden" not in compact(AuthenticateRequest(name="root", password="hidden"))


def test_ranges_are_told_in_full() -> None:
    request = RangeRequest(key=b"a", range_end=b"b", serializable=True, limit=3)
    assert request_text(request) == 'key:"a" range_end:"b" limit:3 serializable:true '


def test_bytes_are_quoted_as_go_quotes_them() -> None:
    assert quoted(b'a"\\\n\t\x00\xff~') == '"a\\"\\\\\\n\\t\\000\\377~"'


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (1e-9, "1ns"),
        (119.457e-6, "119.457µs"),
        (1.114808e-3, "1.114808ms"),
        (0.1, "100ms"),
        (2.5, "2.5s"),
        (3661.25, "1h1m1.25s"),
        (120, "2m0s"),
    ],
)
def test_durations_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
