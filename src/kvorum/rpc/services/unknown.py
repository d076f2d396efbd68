"""Errors of the lock and election services: the member's own texts, all with code UNKNOWN.

Stock runs these services on a client of its own, and the code is lost on the way. Programs look at
the text.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from kvorum.errors import Code, StatusError, StoppedError, WireError


def as_unknown(error: WireError) -> WireError:
    """The status that a client is told for `error`.

    A member that stops is told as such, so that clients turn to another one: from stock they hear
    at that moment that the connection is gone, which is the same to them.
    """
    return error if isinstance(error, StoppedError) else StatusError(Code.UNKNOWN, error.message)


def with_unknown_code(
    method: Callable[[Any], Awaitable[bytes]],
) -> Callable[[Any, bytes], Awaitable[bytes]]:
    """A unary method of a service whose errors are all UNKNOWN."""

    async def call(request: Any, _: bytes) -> bytes:
        try:
            return await method(request)
        except WireError as error:
            raise as_unknown(error) from None

    return call
