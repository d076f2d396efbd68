"""From proto3 JSON to messages, as the gateway reads it.

Fields go by their own name or by their lowerCamelCase one (which wins if both are there); fields
that are not known are passed over; 64-bit and other numbers may be strings, enums names or numbers;
bytes are base64, or an array of numbers; null is as if the field were not there. Of the fields of a
oneof the last one in the message's order counts.

Source: golang/protobuf's jsonpb, as stock etcd 3.4.23 and 3.5.1 behave.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from kvorum.errors import KvorumError
from kvorum.rpc.gateway.base64 import from_base64
from kvorum.rpc.gateway.syntax import fault, go_quoted, whole_fault

_WHITESPACE: Final = re.compile(r"[ \t\r\n]*")
_INTEGER: Final = re.compile(r"-?[0-9]+")
_INTEGER_CHARS_MAX: Final = 20
"""Of any integer that a field can hold."""
_OBJECT: Final = "map[string]json.RawMessage"
_LIST: Final = "[]json.RawMessage"
TOO_DEEP: Final = "exceeded max depth"

Reader = Callable[[Any], Any]
"""From a parsed value to the value of a field."""


class JsonError(KvorumError):
    """A body that is not the message of the method; the text is Go's."""


class Number(str):
    """A number as it was written."""

    __slots__ = ()


class _ConstantError(ValueError):
    """NaN or Infinity, which Python takes and JSON does not know."""


def _refuse_constant(name: str) -> None:
    raise _ConstantError(name)


_parse = json.JSONDecoder(
    parse_int=Number, parse_float=Number, parse_constant=_refuse_constant
).raw_decode
_parse_pairs = json.JSONDecoder(
    parse_int=Number,
    parse_float=Number,
    parse_constant=_refuse_constant,
    object_pairs_hook=tuple,
).raw_decode


def parse_first(text: str, *, pairs: bool = False) -> Any:
    """The first value of `text`; None also stands for a text without any.

    Args:
        text: bytes that are no UTF-8 are in it as `surrogateescape` has them.
        pairs: objects are tuples of their members, so that one that is there twice is seen.

    Raises:
        JsonError
    """
    start = _skip_space(text, 0)
    if start == len(text):
        return None
    try:
        return (_parse_pairs if pairs else _parse)(text, start)[0]
    except (json.JSONDecodeError, _ConstantError):
        raise JsonError(fault(text[start:])) from None
    except RecursionError:
        raise JsonError(TOO_DEEP) from None


def _skip_space(text: str, at: int) -> int:
    match = _WHITESPACE.match(text, at)
    assert match is not None
    return match.end()


def read_message(kind: Any, value: Any, *, names_before_35: bool = False) -> Any:
    """A message of the class `kind` from a parsed value.

    Args:
        kind: the class.
        value: what `parse_first` gave; None: nothing, and the message is empty.
        names_before_35: word errors about enums as 3.4 and older do.

    Raises:
        JsonError
    """
    message = kind()
    if value is not None:
        try:
            _fill(message, value, names_before_35)
        except RecursionError:
            raise JsonError(TOO_DEEP) from None
    return message


def _fill(message: Any, value: Any, old: bool) -> None:
    if type(value) is not dict:
        raise _mismatch(value, _OBJECT)
    for name, json_name, field, reader in _fields(message.DESCRIPTOR, old):
        given = value.get(json_name, value) if json_name != name else value
        if given is value:
            given = value.get(name)
        if given is None:
            continue
        if field.is_repeated:
            _fill_list(getattr(message, name), field, reader, given, old)
        elif field.message_type is not None:
            # What an earlier field of a oneof had set is dropped by the next line.
            part = getattr(message, name)
            part.SetInParent()
            _fill(part, given, old)
        else:
            setattr(message, name, reader(given))


def _fill_list(target: Any, field: FieldDescriptor, reader: Reader, given: Any, old: bool) -> None:
    if type(given) is not list:
        raise _mismatch(given, _LIST)
    if field.message_type is None:
        target.extend([reader(item) for item in given])
        return
    for item in given:
        part = target.add()
        if item is not None:
            _fill(part, item, old)


@cache
def _fields(message: Descriptor, old: bool) -> tuple[tuple[str, str, FieldDescriptor, Reader], ...]:
    return tuple(
        (field.name, field.json_name, field, _reader(field, old)) for field in message.fields
    )


def _reader(field: FieldDescriptor, old: bool) -> Reader:
    if field.enum_type is not None:
        return _enum_reader(field.enum_type, old)
    return _READERS.get(field.type, _read_nothing)


def _read_nothing(_: Any) -> Any:
    raise AssertionError("a message is no scalar")


def _integer_reader(go_type: str, low: int, high: int) -> Reader:
    def read(value: Any) -> int:
        if type(value) is str:
            value = _unquoted(value)
        if value is None:
            return 0
        if type(value) is not Number:
            raise _mismatch(value, go_type)
        if len(value) <= _INTEGER_CHARS_MAX and _INTEGER.fullmatch(value):
            number = int(value)
            if low <= number <= high:
                return number
        raise _mismatch(value, go_type, f"number {value}")

    return read


def _unquoted(text: str) -> Any:
    """What a number that is written as a string says."""
    if text.isascii() and text.isdigit() and (text[0] != "0" or text == "0"):
        return Number(text)  # by far the usual case
    try:
        value, end = _parse(text, _skip_space(text, 0))
    except (json.JSONDecodeError, _ConstantError, RecursionError):
        raise JsonError(whole_fault(text)) from None
    if _skip_space(text, end) < len(text):
        raise JsonError(whole_fault(text))
    return value


def _enum_reader(enum: EnumDescriptor, old: bool) -> Reader:
    go_name = enum.full_name
    if old and enum.containing_type is not None:
        go_name = f"{enum.containing_type.full_name}_{enum.name}"
    read_number = _integer_reader(
        go_name if old else "protoreflect.EnumNumber", -(2**31), 2**31 - 1
    )

    def read(value: Any) -> int:
        if type(value) is not str:
            return int(read_number(value))
        known = enum.values_by_name.get(value)
        if known is None:
            # Newer ones quote the text with its quotes.
            shown = go_quoted(value if old else f'"{value}"')
            raise JsonError(f"unknown value {shown} for enum {go_name}")
        return int(known.number)

    return read


def _read_bool(value: Any) -> bool:
    if value is None:
        return False
    if type(value) is not bool:
        raise _mismatch(value, "bool")
    return value


def _read_string(value: Any) -> str:
    if value is None:
        return ""
    if type(value) is not str:
        raise _mismatch(value, "string")
    if not value.isascii():
        # Halves of surrogate pairs cannot be stored; Go puts the replacement character there.
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return str(value)


_read_octet: Final = _integer_reader("uint8", 0, 255)


def _read_bytes(value: Any) -> bytes:
    if type(value) is str:
        try:
            return from_base64(value)
        except ValueError as error:
            raise JsonError(str(error)) from None
    if value is None:
        return b""
    if type(value) is not list:
        raise _mismatch(value, "[]uint8")
    for item in value:
        if type(item) is str:
            raise _mismatch(item, "uint8")
    return bytes([_read_octet(item) for item in value])


_READERS: Final[dict[int, Reader]] = {
    FieldDescriptor.TYPE_BOOL: _read_bool,
    FieldDescriptor.TYPE_BYTES: _read_bytes,
    FieldDescriptor.TYPE_INT32: _integer_reader("int32", -(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: _integer_reader("int64", -(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_STRING: _read_string,
    FieldDescriptor.TYPE_UINT32: _integer_reader("uint32", 0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: _integer_reader("uint64", 0, 2**64 - 1),
}

_KINDS: Final = {
    bool: "bool",
    dict: "object",
    list: "array",
    Number: "number",
    str: "string",
    type(None): "null",
}


def _mismatch(value: Any, go_type: str, shown: str = "") -> JsonError:
    shown = shown or _KINDS[type(value)]
    return JsonError(f"json: cannot unmarshal {shown} into Go value of type {go_type}")


__all__ = ["TOO_DEEP", "JsonError", "Number", "parse_first", "read_message"]
