"""Why bytes are no message, in stock's words; expectations as stock etcd 3.5.1 answered."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from kvorum.proto.rpc_pb2 import PutRequest, RangeRequest, TxnRequest, WatchRequest
from kvorum.rpc import strict


@pytest.mark.parametrize(
    ("kind", "data", "reason"),
    [
        (PutRequest, b"", None),
        (PutRequest, b"\x0a\x01k\x12\x01v", None),
        (PutRequest, b"\x0a\x05ab", "unexpected EOF"),
        (PutRequest, b"\x0a", "unexpected EOF"),
        (PutRequest, b"\x18\x80", "unexpected EOF"),
        (PutRequest, b"\x18" + b"\xff" * 11, "proto: integer overflow"),
        (PutRequest, b"\x08\x05", "proto: wrong wireType = 0 for field Key"),
        (RangeRequest, b"\x10\x05", "proto: wrong wireType = 0 for field RangeEnd"),
        (PutRequest, b"\x02\x01a", "proto: PutRequest: illegal tag 0 (wire type 2)"),
        (PutRequest, b"\x0c", "proto: PutRequest: wiretype end group for non-group"),
        (PutRequest, b"\xf8\x07\x01", None),  # a field that is not known
        (PutRequest, b"\xfd\x07abcd", None),
        (PutRequest, b"\xfd\x07ab", "unexpected EOF"),
        (PutRequest, b"\xf9\x07" + b"a" * 8, None),
        (PutRequest, b"\xfa\x07\x03abc", None),
        (PutRequest, b"\xfe\x07", "proto: illegal wireType 6"),
        (TxnRequest, b"\x12\x02\x12\x00", None),
        (TxnRequest, b"\x12\x04\x12\x02\x0a\x09", "unexpected EOF"),
        (WatchRequest, b"\x0a\x02\x08\x01", "proto: wrong wireType = 0 for field Key"),
    ],
)
def test_the_first_fault_is_named(kind: Any, data: bytes, reason: str | None) -> None:
    assert strict.fault(kind, data) == reason


@given(st.binary(max_size=40))
def test_any_bytes_are_judged(data: bytes) -> None:
    reason = strict.fault(TxnRequest, data)
    assert reason is None or reason
    if reason is None:
        try:
            TxnRequest.FromString(data)
        except DecodeError:
            # The library is stricter about groups and text that is not UTF-8; there are neither.
            assert any(byte & 7 in {3, 4} for byte in data)


@given(st.binary(), st.binary(), st.integers(-(2**63), 2**63 - 1))
def test_a_message_has_no_fault(key: bytes, value: bytes, lease: int) -> None:
    data = PutRequest(key=key, value=value, lease=lease, prev_kv=True).SerializeToString()
    assert strict.fault(PutRequest, data) is None


def test_names_are_those_of_go() -> None:
    assert strict.go_name("range_end") == "RangeEnd"
    assert strict.go_name("ID") == "ID"
