"""From proto3 JSON to messages, as the gateway of 3.6 reads it.

It differs from `decode` in what is taken: base64 of either alphabet, with padding or without; whole
numbers in any notation; names of enums that are not known are passed over like fields that are not.
And in what is refused: a field twice, two fields of a oneof, null in a list. An error tells where.

Source: Go's protojson, as stock etcd 3.6.16 behaves. (Behind "proto:" Go puts a blank or U+00A0,
which of them differs from build to build.)
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from kvorum.rpc.gateway.decode import TOO_DEEP, JsonError, Number, parse_first

_SPACE: Final = " \t\r\n"
_NUMBER: Final = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,4}))?")
_NO_DELIMITER: Final = re.compile(r"[-+._a-zA-Z0-9]")
_DIGITS_MAX: Final = 64
"""Of a number with all its zeros. No field holds one with more than 20."""
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*")
_FROM_URL: Final = str.maketrans("-_+/", "+/!!")
_WITHOUT_BREAKS: Final = dict.fromkeys(map(ord, "\r\n"))
_skip: Final = re.compile(rf"[{_SPACE}]*").match
_parse: Final = json.JSONDecoder().raw_decode
_UNKNOWN: Final = object()
"""The name of an enum that is not known."""

Scalar = Callable[[Any], Any]
"""From a parsed value to a field's; raises `ValueError`."""


class _Fault(Exception):
    """What is wrong, but not where.

    Args:
        text: the reason.
        on_key: the reason is in the name of the field, not in the value.
        is_syntax: the value is of another kind than the message wants.
        shows_value: the value as it is written ends the text.
    """

    def __init__(
        self,
        text: str,
        *,
        on_key: bool = False,
        is_syntax: bool = False,
        shows_value: bool = False,
    ) -> None:
        super().__init__(text)
        self.on_key = on_key
        self.is_syntax = is_syntax
        self.shows_value = shows_value


class _Field(NamedTuple):
    field: FieldDescriptor
    scalar: Scalar | None
    """None: a message."""
    oneof: str
    """Full name; empty: it is in none."""


def read_message(kind: Any, text: str) -> Any:
    """A message of the class `kind` from the first value of `text`; an empty one from no text.

    Raises:
        JsonError
    """
    value = parse_first(text, pairs=True)
    message = kind()
    if value is None and not text.strip(_SPACE):
        return message
    path: list[int] = []
    try:
        _fill(message, value, path)
    except _Fault as fault:
        raise JsonError(_told(fault, text, path)) from None
    except RecursionError:
        raise JsonError(TOO_DEEP) from None
    return message


def _fill(message: Any, value: Any, path: list[int]) -> None:
    """Set fields. `path`: numbers of the members and items on the way to what is being read."""
    if type(value) is not tuple:
        raise _unexpected()
    fields = _fields(message.DESCRIPTOR)
    seen: set[str] = set()
    path.append(0)
    for path[-1], (key, given) in enumerate(value):
        if not key.isascii():
            _check_text(key, on_key=True)
        found = fields.get(key)
        if found is None:
            continue
        field, scalar, oneof = found
        name = field.name
        if name in seen:
            raise _Fault(f'duplicate field "{key}"', on_key=True)
        seen.add(name)
        if given is None:
            continue
        if oneof:
            if oneof in seen:
                text = f'error parsing "{key}", oneof {oneof} is already set'
                raise _Fault(text, on_key=True)
            seen.add(oneof)
        if field.is_repeated:
            _fill_list(getattr(message, name), found, given, path)
        elif scalar is None:
            part = getattr(message, name)
            part.SetInParent()
            _fill(part, given, path)
        elif (read := _scalar(found, given)) is not _UNKNOWN:
            setattr(message, name, read)
    path.pop()


def _fill_list(target: Any, found: _Field, given: Any, path: list[int]) -> None:
    if type(given) is not list:
        raise _unexpected()
    path.append(0)
    for path[-1], item in enumerate(given):
        if found.scalar is None:
            _fill(target.add(), item, path)
        elif (read := _scalar(found, item)) is not _UNKNOWN:
            target.append(read)
    path.pop()


def _unexpected() -> _Fault:
    return _Fault("unexpected token ", is_syntax=True, shows_value=True)


def _scalar(found: _Field, value: Any) -> Any:
    field, scalar, _ = found
    assert scalar is not None
    if type(value) is str and not value.isascii():
        _check_text(value)
    try:
        return scalar(value)
    except ValueError:
        text = f"invalid value for {_KINDS[field.type]} field {field.json_name}: "
        raise _Fault(text, shows_value=True) from None


def _check_text(text: str, *, on_key: bool = False) -> None:
    """Refuse bytes that are no UTF-8, and halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeError:
        raise _Fault("invalid UTF-8 in string", is_syntax=True, on_key=on_key) from None


@cache
def _fields(message: Descriptor) -> dict[str, _Field]:
    """By both names that each field has."""
    fields: dict[str, _Field] = {}
    for field in message.fields:
        scalar = None if field.message_type is not None else _scalar_reader(field)
        oneof = field.containing_oneof.full_name if field.containing_oneof is not None else ""
        fields[field.name] = fields[field.json_name] = _Field(field, scalar, oneof)
    return fields


def _scalar_reader(field: FieldDescriptor) -> Scalar:
    return _READERS[field.type] if field.enum_type is None else _enum_reader(field.enum_type)


def _integer_reader(low: int, high: int) -> Scalar:
    def read(value: Any) -> int:
        if type(value) is str:
            match = _NUMBER.match(value)
            if match is None or value.strip() != value or _NO_DELIMITER.match(value, match.end()):
                raise ValueError
        elif type(value) is not Number or (match := _NUMBER.fullmatch(value)) is None:
            raise ValueError
        number = _whole(*match.groups())
        if not low <= number <= high:
            raise ValueError
        return number

    return read


def _whole(sign: str, digits: str, fraction: str | None, exponent: str | None) -> int:
    """A number in any notation, if it is a whole one. Raises ValueError: it is not."""
    fraction = (fraction or "").rstrip("0")
    shift = int(exponent or 0) - len(fraction)
    digits = (digits + fraction).lstrip("0") or "0"
    if len(digits) + abs(shift) > _DIGITS_MAX:
        raise ValueError
    if shift < 0:
        if digits[shift:].strip("0"):
            raise ValueError
        digits = digits[:shift] or "0"
    return int(sign + digits + "0" * max(shift, 0))


def _enum_reader(enum: EnumDescriptor) -> Scalar:
    read_number = _integer_reader(-(2**31), 2**31 - 1)

    def read(value: Any) -> Any:
        if type(value) is not str:
            return read_number(value)
        known = enum.values_by_name.get(value)
        return _UNKNOWN if known is None else known.number

    return read


def _read_bool(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError
    return value


def _read_string(value: Any) -> str:
    if type(value) is not str:
        raise ValueError
    return value


def _read_bytes(value: Any) -> bytes:
    if type(value) is not str:
        raise ValueError
    plain = value.translate(_WITHOUT_BREAKS)
    if "-" in plain or "_" in plain:
        plain = plain.translate(_FROM_URL)
    if len(value) % 4 == 0:
        unpadded = plain[:-2] + plain[-2:].rstrip("=")
        if len(plain) % 4:
            raise ValueError
    else:
        unpadded = plain
    if len(unpadded) % 4 == 1 or not _BASE64.fullmatch(unpadded):
        raise ValueError
    return binascii.a2b_base64(unpadded + "=" * (-len(unpadded) % 4))


_READERS: Final[dict[int, Scalar]] = {
    FieldDescriptor.TYPE_BOOL: _read_bool,
    FieldDescriptor.TYPE_BYTES: _read_bytes,
    FieldDescriptor.TYPE_INT32: _integer_reader(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: _integer_reader(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_STRING: _read_string,
    FieldDescriptor.TYPE_UINT32: _integer_reader(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: _integer_reader(0, 2**64 - 1),
}
_KINDS: Final = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_ENUM: "enum",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
}


def _told(fault: _Fault, text: str, path: list[int]) -> str:
    """The whole text of an error."""
    text = text.lstrip(_SPACE)
    at = _position(text, path, on_key=fault.on_key)
    line = text.count("\n", 0, at) + 1
    column = at - text.rfind("\n", 0, at)
    shown = str(fault)
    if fault.shows_value:
        shown += text[at] if text[at] in "{[" else text[at : _parse(text, at)[1]]
    return f"proto: {'syntax error ' if fault.is_syntax else ''}(line {line}:{column}): {shown}"


def _position(text: str, path: list[int], *, on_key: bool) -> int:
    """Where in `text`, which is JSON, the value at the end of `path` begins, or its key."""
    key_at = at = 0
    for number in path:
        is_object = text[at] == "{"
        at = _behind_space(text, at + 1)
        for before in range(number + 1):
            if before:  # the value before it, and the comma
                at = _behind_space(text, _parse(text, at)[1])
                at = _behind_space(text, at + 1)
            if is_object:
                key_at = at
                at = _behind_space(text, _parse(text, at)[1])
                at = _behind_space(text, at + 1)
    return key_at if on_key else at


def _behind_space(text: str, at: int) -> int:
    match = _skip(text, at)
    assert match is not None
    return match.end()


__all__ = ["read_message"]
