"""The data of log entries, field by field and without secrets."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import DecodeError as ProtobufDecodeError
from google.protobuf.message import Message

from kvorum.errors import DecodeError
from kvorum.proto.etcdserver_pb2 import Metadata
from kvorum.proto.etcdserver_pb2 import Request as V2Request
from kvorum.proto.raftpb import ConfChange, ConfChangeType, Entry, EntryType
from kvorum.server.entries import decode

REDACTED: Final = "<redacted>"
_SECRETS: Final = frozenset({"password", "hashedPassword", "simple_token"})


def decoded_metadata(data: bytes) -> dict[str, Any]:
    """Whose log it is.

    Raises:
        DecodeError: the record cannot be read.
    """
    try:
        metadata = Metadata.FromString(data)
    except ProtobufDecodeError as error:
        raise DecodeError(f"the metadata record cannot be read: {error}") from None
    return {"node_id": metadata.NodeID, "cluster_id": metadata.ClusterID}


def decoded_entry(entry: Entry) -> tuple[str, dict[str, Any]]:
    """What an entry asks for, and its fields; `unknown` where it cannot be read."""
    if not entry.data:
        return "empty", {}
    if entry.type != EntryType.NORMAL:
        return "conf_change", _conf_change(entry)
    try:
        request = decode(entry.data)
    except DecodeError as error:
        return "unknown", {"error": str(error)}
    if isinstance(request, V2Request):
        return "v2_request", message_fields(request)
    fields = message_fields(request)
    for name in fields:
        if name not in {"header", "ID"}:
            return ("v2_request" if name == "v2" else name), fields
    return "unknown", fields


def _conf_change(entry: Entry) -> dict[str, Any]:
    if entry.type != EntryType.CONF_CHANGE:
        return {"error": "a change of the second form, which etcd does not write"}
    try:
        change = ConfChange.decode(entry.data or b"")
    except DecodeError as error:
        return {"error": str(error)}
    try:
        kind = ConfChangeType(change.type).name.lower()
    except ValueError:
        kind = str(change.type)
    fields = {"id": change.id, "type": kind, "node_id": change.node_id}
    if change.context:
        fields["context"] = change.context.decode(errors="backslashreplace")
    return fields


def message_fields(message: Message) -> dict[str, Any]:
    """The fields that are set, by name; secrets are blanked; enums are names."""
    return {field.name: _shown(field, value) for field, value in message.ListFields()}


def _shown(field: Any, value: Any) -> Any:
    if field.name in _SECRETS:
        return REDACTED
    one = _shown_one
    if field.is_repeated:
        return [one(field, item) for item in value]
    return one(field, value)


def _shown_one(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return message_fields(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return value if known is None else known.name
    return value
