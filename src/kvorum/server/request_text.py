"""Requests as etcd's log shows them: compact text of protobuf, without the values of keys.

    put:<key:"a" value_size:1 >

Source: log lines of 3.5.1 with `--experimental-warning-apply-duration=1ns`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from kvorum.proto.raft_internal_pb2 import InternalRaftRequest
from kvorum.proto.rpc_pb2 import (
    Compare,
    LeaseGrantRequest,
    LeaseRevokeRequest,
    PutRequest,
    RequestOp,
    TxnRequest,
)

_ESCAPES = {
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
    ord('"'): '\\"',
    ord("\\"): "\\\\",
}
_SECRET_FIELDS = frozenset({"password", "hashedPassword", "token", "simple_token"})


def entry_text(entry: InternalRaftRequest) -> str:
    """An entry of the log."""
    head = f"header:<{compact(entry.header)}>"
    if entry.HasField("put"):
        return f"{head} put:<{put_text(entry.put)}>"
    if entry.HasField("txn"):
        return f"{head} txn:<{txn_text(entry.txn)}>"
    if entry.HasField("lease_grant"):
        return f"{head} lease_grant:<{_lease_text(entry.lease_grant)}>"
    if entry.HasField("lease_revoke"):
        return f"{head} lease_revoke:<{_lease_text(entry.lease_revoke)}>"
    rest = (pair for pair in entry.ListFields() if pair[0].name != "header")
    return f"{head} {''.join(_field_text(*pair) for pair in rest)}"


def request_text(request: Any) -> str:
    """A request of a client."""
    if isinstance(request, PutRequest):
        return put_text(request)
    if isinstance(request, TxnRequest):
        return txn_text(request)
    return compact(request)


def put_text(request: PutRequest) -> str:
    return _with_size(request, "value")


def _lease_text(request: LeaseGrantRequest | LeaseRevokeRequest) -> str:
    life = f"ttl:{request.TTL}-second " if isinstance(request, LeaseGrantRequest) else ""
    return f"{life}id:{request.ID & (2**64 - 1):016x}"


def txn_text(request: TxnRequest) -> str:
    compares = " ".join(map(_compare_text, request.compare))
    success, failure = (
        " ".join(map(_operation_text, branch)) for branch in (request.success, request.failure)
    )
    return f"compare:<{compares}> success:<{success}> failure:<{failure}>"


def _compare_text(compare: Compare) -> str:
    return _with_size(compare, "value") if compare.HasField("value") else compact(compare)


def _operation_text(operation: RequestOp) -> str:
    if operation.HasField("request_put"):
        return f"request_put:<{put_text(operation.request_put)}>"
    if operation.HasField("request_txn"):
        return f"request_txn:<{txn_text(operation.request_txn)}>"
    return compact(operation)


def _with_size(message: Any, hidden: str) -> str:
    """As `compact`, with the size of one field in place of its bytes."""
    return "".join(
        f"{hidden}_size:{len(value)} " if field.name == hidden else _field_text(field, value)
        for field, value in message.ListFields()
    )


def compact(message: Any) -> str:
    """A message as Go's compact text: `key:"a" range_end:"b" `. Passwords are left out."""
    return "".join(_field_text(field, value) for field, value in message.ListFields())


def _field_text(field: Any, value: Any) -> str:
    if field.name in _SECRET_FIELDS:
        return ""
    single = isinstance(value, bytes | str | int | float) or hasattr(value, "DESCRIPTOR")
    values: Iterable[Any] = (value,) if single else value
    return "".join(f"{field.name}:{_value_text(field, one)} " for one in values)


def _value_text(field: Any, value: Any) -> str:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return f"<{compact(value)}>"
    if field.type == FieldDescriptor.TYPE_ENUM:
        known = field.enum_type.values_by_number.get(value)
        return str(value) if known is None else str(known.name)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes | str):
        return quoted(value if isinstance(value, bytes) else value.encode())
    return str(value)


def quoted(text: bytes) -> str:
    """Bytes in quotes; what is no printable ASCII in octal."""
    parts = (
        _ESCAPES.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}")
        for byte in text
    )
    return f'"{"".join(parts)}"'
