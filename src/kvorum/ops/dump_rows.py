"""The rows of a database's buckets, decoded for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.message import DecodeError as ProtobufDecodeError
from google.protobuf.message import Message

from kvorum.errors import DecodeError
from kvorum.ops.dump_requests import message_fields
from kvorum.proto.auth_pb2 import Role, User
from kvorum.proto.kv_pb2 import KeyValue
from kvorum.proto.lease_pb2 import Lease
from kvorum.proto.rpc_pb2 import AlarmMember
from kvorum.storage.buckets import (
    ALARM,
    AUTH,
    AUTH_ENABLED,
    AUTH_ROLES,
    AUTH_USERS,
    CLUSTER,
    CONF_STATE,
    CONSISTENT_INDEX,
    DOWNGRADE,
    FINISHED_COMPACT_REV,
    KEY,
    LEASE,
    MEMBERS,
    MEMBERS_REMOVED,
    META,
    SCHEDULED_COMPACT_REV,
    TERM,
    decode_u64,
    parse_lease_key,
    parse_revision_key,
)

Shown = tuple[str, dict[str, Any]]
_REVISIONS: Final = frozenset({SCHEDULED_COMPACT_REV, FINISHED_COMPACT_REV})
_JSON: Final = frozenset({CONF_STATE, DOWNGRADE})


def decoded_row(bucket: bytes, key: bytes, value: bytes) -> tuple[str, dict[str, Any], bool]:
    """`(key for people, fields of the value, whether the value holds a secret)`."""
    decode = _DECODERS.get(bucket, _text_row)
    try:
        shown, fields = decode(key, value)
    except (DecodeError, ProtobufDecodeError, ValueError) as error:
        shown, fields = _text(key), {"error": str(error)}
    return shown, fields, bucket == AUTH_USERS.name


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _text_row(key: bytes, value: bytes) -> Shown:
    return _text(key), {"value": _text(value)}


def _revision(key: bytes) -> str:
    main, sub, is_tombstone = parse_revision_key(key)
    return f"{main}/{sub}" + (" tombstone" if is_tombstone else "")


def _key_row(key: bytes, value: bytes) -> Shown:
    return _revision(key), message_fields(KeyValue.FromString(value))


def _lease_row(key: bytes, value: bytes) -> Shown:
    return f"{parse_lease_key(key) & (1 << 64) - 1:016x}", message_fields(Lease.FromString(value))


def _alarm_row(key: bytes, value: bytes) -> Shown:
    alarm = AlarmMember.FromString(key)
    return f"{alarm.memberID:x}", message_fields(alarm)


def _meta_row(key: bytes, value: bytes) -> Shown:
    name = _text(key)
    if key in {CONSISTENT_INDEX, TERM}:
        return name, {"value": decode_u64(value)}
    if key in _REVISIONS:
        return name, {"value": _revision(value)}
    if key in _JSON:
        return name, _json(value)
    return name, {"value": _text(value)}


def _json_row(key: bytes, value: bytes) -> Shown:
    return _text(key), _json(value)


def _json(value: bytes) -> dict[str, Any]:
    found = json.loads(value)
    return found if isinstance(found, dict) else {"value": found}


def _cluster_row(key: bytes, value: bytes) -> Shown:
    return _json_row(key, value) if key in _JSON else _text_row(key, value)


def _auth_row(key: bytes, value: bytes) -> Shown:
    if key == AUTH_ENABLED:
        return _text(key), {"value": value == b"\1"}
    return _text(key), {"value": decode_u64(value)}


def _message_row(message: type[Message]) -> Callable[[bytes, bytes], Shown]:
    return lambda key, value: (_text(key), message_fields(message.FromString(value)))


_DECODERS: Final[dict[bytes, Callable[[bytes, bytes], Shown]]] = {
    ALARM.name: _alarm_row,
    AUTH.name: _auth_row,
    AUTH_ROLES.name: _message_row(Role),
    AUTH_USERS.name: _message_row(User),
    CLUSTER.name: _cluster_row,
    KEY.name: _key_row,
    LEASE.name: _lease_row,
    MEMBERS.name: _json_row,
    MEMBERS_REMOVED.name: _text_row,
    META.name: _meta_row,
}
