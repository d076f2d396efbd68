"""What can go wrong between a client and a member, beside what the member itself answers.

The member's own refusals are the classes of `kvorum.errors`. These here are made by the client:

    UnavailableError
    └── TransportError             which endpoint, and why
        ├── ConnectionFailedError  no connection: the request was not sent
        ├── ConnectionLostError    the connection ended while the answer was awaited
        └── DeadlineExceededError  the caller's time is over
            └── ConnectDeadlineError   ... and in all that time there was no connection
    RequestError
    └── ClientClosedError          the client was closed by its owner

`maybe_done` tells for each whether a write may have happened.
"""

from __future__ import annotations

from typing import ClassVar

from kvorum.errors import Code, RequestError, StatusError, UnavailableError, WireError, status_of


class TransportError(UnavailableError):
    """The network or the caller's deadline stood between the request and its answer.

    `endpoint` is the one that was tried last, as the user wrote it.
    """

    def __init__(self, text: str, endpoint: str = "") -> None:
        super().__init__(text)
        self.endpoint = endpoint


class ConnectionFailedError(TransportError):
    """No connection could be made. Nothing was sent: a retry is always safe."""

    maybe_done: ClassVar[bool] = False


class ConnectionLostError(TransportError):
    """The connection broke after the request was handed to it. The member may have done it."""

    maybe_done: ClassVar[bool] = True


class DeadlineExceededError(TransportError):
    """The time given for the request is over."""

    code: ClassVar[Code] = Code.DEADLINE_EXCEEDED
    text: ClassVar[str] = "context deadline exceeded"
    maybe_done: ClassVar[bool] = True

    def __init__(self, endpoint: str = "") -> None:
        super().__init__(self.text, endpoint)


class ConnectDeadlineError(DeadlineExceededError):
    """The time given for the request is over, and no endpoint could be connected to."""

    maybe_done: ClassVar[bool] = False

    def __init__(self, connection_error: ConnectionFailedError) -> None:
        super().__init__(connection_error.endpoint)
        self.connection_error = connection_error


class ClientClosedError(RequestError):
    """The client was closed before or while the call was made."""

    code: ClassVar[Code] = Code.CANCELLED
    text: ClassVar[str] = "the client connection is closing"


def is_refusal(error: WireError) -> bool:
    """Whether the error came from the member or the caller, and not from the way between."""
    return not isinstance(error, TransportError)


def describe_status(error: WireError) -> str:
    """The error as Go's grpc prints a status.

    Source: grpc-go internal/status, Status.Error: `rpc error: code = X desc = Y`.
    """
    return f"rpc error: code = {status_of(error).go_name} desc = {error.message}"


def describe(error: WireError) -> str:
    """The error as etcd's Go client words it, and so as etcdctl prints it.

    A text of etcd's own table stands alone; any other status is printed with its code.
    """
    return describe_status(error) if isinstance(error, StatusError) else error.message
