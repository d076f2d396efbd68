"""From the failure of a gRPC call to an error of ours.

A status that a member sent is looked up in the table of `kvorum.errors`. A status that gRPC made on
this side has texts of gRPC's core, and one question decides what may be done next: was the request
sent? Only the texts listed here say that it was not; every other one is taken to mean that it may
have been.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvorum.client.errors import (
    ClientClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    DeadlineExceededError,
)
from kvorum.errors import Code, StatusError, WireError, from_wire

if TYPE_CHECKING:
    import grpc.aio

# Source: grpc core 1.66 to 1.85. The first is what a channel answers while no connection attempt
# has succeeded; the others come from the name lookup that precedes it.
NOT_SENT_TEXTS = (
    "failed to connect to all addresses",
    "errors resolving ",
    "DNS resolution failed",
    "empty address list",
)

# A stream that was torn down under gRPC: it has no better word for it than "unknown".
LOST_TEXTS = ("Stream removed",)


def wire_error(failure: grpc.aio.AioRpcError, endpoint: str) -> WireError:
    """The error that `failure` of a call to `endpoint` stands for."""
    code, text = Code(failure.code().value[0]), failure.details() or ""
    if code is Code.DEADLINE_EXCEEDED:
        return DeadlineExceededError(endpoint)  # whichever side was the first to notice
    error = from_wire(code, text)
    if not isinstance(error, StatusError):
        return error
    if code is Code.UNAVAILABLE:
        if text.startswith(NOT_SENT_TEXTS):
            return ConnectionFailedError(text, endpoint)
        return ConnectionLostError(text, endpoint)
    if code is Code.UNKNOWN and text.startswith(LOST_TEXTS):
        return ConnectionLostError(text, endpoint)
    if code is Code.CANCELLED and "Channel closed" in text:
        return ClientClosedError()
    return error
