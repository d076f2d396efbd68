"""Why bytes are not the message they should be, in the words of stock's generated parsers.

The protobuf library says only that it could not parse, and takes a field of the wrong wire type
for an unknown one. This walk over the bytes finds the first fault in the order in which stock's
parsers meet it. It is used when a request is refused anyway, so its cost does not matter.

Source: gogo/protobuf's generated Unmarshal methods, by what stock etcd 3.5.1 answered.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = range(6)
VARINT_BITS_MAX: Final = 64
_EOF: Final = "unexpected EOF"
_OVERFLOW: Final = "proto: integer overflow"

_WIRE_TYPES: Final = {
    FieldDescriptor.TYPE_STRING: BYTES,
    FieldDescriptor.TYPE_BYTES: BYTES,
    FieldDescriptor.TYPE_MESSAGE: BYTES,
}


class _Fault(Exception):
    """The first fault; its text is the reason."""


def fault(kind: Any, data: bytes) -> str | None:
    """What is wrong with `data` as a message of the class `kind`; None: nothing."""
    try:
        _check(kind.DESCRIPTOR, data)
    except _Fault as found:
        return str(found)
    return None


def _check(message: Descriptor, data: bytes) -> None:
    offset = 0
    while offset < len(data):
        tag, offset = _varint(data, offset)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == END_GROUP:
            raise _Fault(f"proto: {message.name}: wiretype end group for non-group")
        if number == 0 or number >= 1 << 31:
            raise _Fault(f"proto: {message.name}: illegal tag {number} (wire type {wire_type})")
        field = message.fields_by_number.get(number)
        if field is None:
            offset = _skip(wire_type, data, offset)
        else:
            offset = _check_field(field, wire_type, data, offset)


def _check_field(field: FieldDescriptor, wire_type: int, data: bytes, offset: int) -> int:
    wanted = _WIRE_TYPES.get(field.type, VARINT)
    packed = field.is_repeated and wanted == VARINT and wire_type == BYTES
    if wire_type != wanted and not packed:
        raise _Fault(f"proto: wrong wireType = {wire_type} for field {go_name(field.name)}")
    if wire_type == VARINT:
        return _varint(data, offset)[1]
    payload, offset = _bytes(data, offset)
    if field.message_type is not None:
        _check(field.message_type, payload)
    return offset


def _skip(wire_type: int, data: bytes, offset: int) -> int:
    if wire_type == VARINT:
        return _varint(data, offset)[1]
    if wire_type == BYTES:
        return _bytes(data, offset)[1]
    sizes = {FIXED64: 8, FIXED32: 4}
    if wire_type not in sizes:
        raise _Fault(f"proto: illegal wireType {wire_type}")
    offset += sizes[wire_type]
    if offset > len(data):
        raise _Fault(_EOF)
    return offset


def _bytes(data: bytes, offset: int) -> tuple[bytes, int]:
    size, offset = _varint(data, offset)
    end = offset + size
    if end > len(data):
        raise _Fault(_EOF)
    return data[offset:end], end


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if shift >= VARINT_BITS_MAX:
            raise _Fault(_OVERFLOW)
        if offset >= len(data):
            raise _Fault(_EOF)
        byte = data[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, offset
        shift += 7


def go_name(name: str) -> str:
    """The name that Go's generator gives a field: `range_end` is `RangeEnd`."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))
