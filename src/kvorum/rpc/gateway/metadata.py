"""From the headers of an HTTP request to the metadata of a call.

Source: grpc-gateway's annotation of contexts: `Authorization` as it is, what stands behind
`Grpc-Metadata-`, and the well-known headers of HTTP with `grpcgateway-` in front.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from kvorum.errors import Code, StatusError
from kvorum.rpc.http2.hpack import Headers

_PREFIX: Final = b"grpc-metadata-"
_MARK: Final = b"grpcgateway-"
_AUTHORIZATION: Final = b"authorization"
_BINARY: Final = b"-bin"
_PERMANENT_NAMES: Final = """
accept accept-charset accept-language accept-ranges authorization cache-control content-type cookie
date expect from host if-match if-modified-since if-none-match if-schedule-tag-match
if-unmodified-since max-forwards origin pragma referer user-agent via warning
"""
_PERMANENT: Final = frozenset(name.encode() for name in _PERMANENT_NAMES.split())
_UNITS_S: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_TIMEOUT_DIGITS_MAX: Final = 18


def to_metadata(headers: Headers) -> Headers:
    """The metadata of a call.

    Raises:
        StatusError: the value of a binary header is no base64.
    """
    metadata: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        if name == _AUTHORIZATION:
            metadata.append((name, value))
        if name in _PERMANENT:
            metadata.append((_MARK + name, value))
        elif name.startswith(_PREFIX):
            key = name.removeprefix(_PREFIX)
            metadata.append((key, _binary(value) if key.endswith(_BINARY) else value))
    return metadata


def timeout_s(value: str) -> float | None:
    """Seconds in a `Grpc-Timeout` header; None: no header, or one that says 0.

    Raises:
        StatusError: it is malformed.
    """
    if not value:
        return None
    unit, digits = _UNITS_S.get(value[-1]), value[:-1]
    if unit is None or not digits.isascii() or not digits.isdigit():
        raise StatusError(Code.INVALID_ARGUMENT, f"invalid grpc-timeout: {value}")
    return int(digits[:_TIMEOUT_DIGITS_MAX]) * unit or None


def _binary(value: bytes) -> bytes:
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        shown = value.decode("latin-1")
        raise StatusError(
            Code.INVALID_ARGUMENT, f"invalid binary header {shown}: not base64"
        ) from None
