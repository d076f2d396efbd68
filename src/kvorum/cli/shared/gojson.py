r"""JSON as Go's encoding/json writes etcd's structs.

Protobuf messages become objects with the fields in the order of their declaration, under the names
of the `.proto` text; fields that are zero are left out; bytes are base64, enums numbers; `<`, `>`
and `&` are written as `\u003c` and so on.

Source: Go 1.16 encoding/json; gogo/protobuf's struct tags, as stock etcdctl 3.5.1 prints them.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

_ESCAPED = re.compile('[\x00-\x1f"\\\\<>&\u2028\u2029\udc80-\udcff]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def encode(value: Any) -> str:
    """Write a value: None, bool, int, str, bytes, messages, and mappings and sequences of those."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return encode_string(value)
    if isinstance(value, bytes):
        return f'"{b64encode(value).decode("ascii")}"'
    if isinstance(value, Message):
        return encode(fields_of(value))
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{encode_string(k)}:{encode(v)}" for k, v in value.items()) + "}"
    assert isinstance(value, Sequence) or hasattr(value, "__iter__"), value
    return "[" + ",".join(map(encode, value)) + "]"


def encode_string(text: str) -> str:
    """Write a string."""
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    short = _SHORT.get(character)
    if short is not None:
        return short
    if character >= "\udc80":
        return "\\ufffd"  # a byte that is not UTF-8
    return f"\\u{ord(character):04x}"


def fields_of(message: Message) -> dict[str, Any]:
    """The fields of a message that Go would write, by name."""
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if field.containing_oneof is not None:
            if message.HasField(field.name):
                # gogo wraps the chosen one in a field that is called like the oneof.
                name = field.containing_oneof.name.capitalize()
                found[name] = {field.name: getattr(message, field.name)}
        elif _is_set(message, field):
            found[field.name] = getattr(message, field.name)
    return found


def _is_set(message: Message, field: Any) -> bool:
    if field.is_repeated:
        return len(getattr(message, field.name)) > 0
    if field.message_type is not None:
        return message.HasField(field.name)
    return bool(getattr(message, field.name))
