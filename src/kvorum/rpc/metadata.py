"""What a gRPC request's headers say.

Source: gRPC over HTTP/2, "Requests".
"""

from __future__ import annotations

from typing import Final

from kvorum.errors import Code, StatusError
from kvorum.rpc.http2.hpack import Headers

_UNITS_S: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


class Metadata:
    """Headers of a request, looked at only when somebody asks."""

    __slots__ = ("headers",)

    def __init__(self, headers: Headers) -> None:
        self.headers = headers

    def raw(self, name: bytes) -> bytes:
        """First value of the header `name` (lower case); empty: it is not there."""
        for key, value in self.headers:
            if key == name:
                return value
        return b""


def parse_timeout_s(value: bytes) -> float:
    """Seconds in a `grpc-timeout` header (`"5S"`, `"4999999u"`).

    Raises:
        StatusError: it is not one; grpc-go answers INTERNAL.
    """
    unit = _UNITS_S.get(value[-1:])
    digits = value[:-1]
    if unit is None or not digits.isdigit() or len(digits) > 8:
        text = value.decode("latin-1")
        raise StatusError(Code.INTERNAL, f'malformed grpc-timeout: "{text}"')
    return int(digits) * unit
