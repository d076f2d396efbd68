"""What a gRPC request's headers say.

Source: gRPC over HTTP/2, "Requests".
"""

from __future__ import annotations

from typing import Final

from kvorum.errors import Code, StatusError
from kvorum.rpc.http2.hpack import Headers

_UNITS_S: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


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
    text = value.decode("latin-1")
    unit = _UNITS_S.get(text[-1:])
    digits = text[:-1]
    if unit is None or not digits.isascii() or not digits.isdigit() or len(digits) > 8:
        raise StatusError(Code.INTERNAL, f'malformed grpc-timeout: "{text}"')
    return int(digits) * unit
