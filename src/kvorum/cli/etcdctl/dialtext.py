"""Why a connection failed, in the words of Go's network and TLS packages.

grpcio's reasons are gRPC core's. Those that users meet are turned into what stock etcdctl prints;
any other is passed on as it is.

Source: what stock etcdctl 3.5.1 prints; grpcio 1.66 to 1.85 for the texts it is made from.
"""

from __future__ import annotations

import re

from kvorum.client import ConnectDeadlineError, ConnectionFailedError, parse_endpoint
from kvorum.client.channels import DIAL_TIMED_OUT
from kvorum.client.errors import DeadlineExceededError, describe_status
from kvorum.errors import WireError

_REFUSED = re.compile(r"ipv[46]:(\S+): Failed to connect to remote host: (.*)")
_SOCKET = re.compile(r"connect failed: addr: \S+ error: (.*)")
_HANDSHAKES = (
    ("ALERT_BAD_CERTIFICATE", "remote error: tls: bad certificate"),
    ("CERTIFICATE_REQUIRED", "remote error: tls: bad certificate"),
    ("unable to get local issuer certificate", "x509: certificate signed by unknown authority"),
    ("self signed certificate", "x509: certificate signed by unknown authority"),
    ("self-signed certificate", "x509: certificate signed by unknown authority"),
    ("certificate has expired", "x509: certificate has expired or is not yet valid"),
    ("Handshake read failed", "EOF"),
)


def describe_attempt(error: WireError) -> str:
    """What the log line about a failed call says of its error."""
    if isinstance(error, ConnectDeadlineError):
        failure = error.connection_error
        if failure.message != DeadlineExceededError.text:
            return (
                "rpc error: code = DeadlineExceeded desc = latest balancer error: "
                f"last connection error: {describe_connection(failure)}"
            )
    return describe_status(error)


def describe_connection(failure: ConnectionFailedError) -> str:
    """Why no connection could be made."""
    reason, endpoint = failure.message, parse_endpoint(failure.endpoint)
    if endpoint.problem:
        return _quoted(f"transport: Error while dialing dial tcp: {endpoint.problem}")
    if reason == DIAL_TIMED_OUT:
        return _quoted(f"transport: Error while dialing dial tcp {endpoint.address}: i/o timeout")
    refused = _REFUSED.search(reason)
    if refused is not None:
        address = refused[1].replace("%5B", "[").replace("%5D", "]")
        return _quoted(f"transport: Error while dialing dial tcp {address}: {_connect(refused[2])}")
    socket = _SOCKET.search(reason)
    if socket is not None:
        return _quoted(
            f"transport: Error while dialing dial unix {endpoint.address}: {_connect(socket[1])}"
        )
    if "errors resolving" in reason or "DNS resolution failed" in reason:
        host = endpoint.address.rpartition(":")[0]
        return _quoted(f"transport: Error while dialing dial tcp: lookup {host}: no such host")
    for mark, text in _HANDSHAKES:
        if mark in reason:
            return _quoted(f"transport: authentication handshake failed: {text}")
    if reason.endswith("Socket closed"):
        return "connection closed"
    return _quoted(f"transport: {reason}")


def _connect(reason: str) -> str:
    text = re.sub(r" \(\d+\)$", "", reason).removeprefix("connect: ")
    return f"connect: {text[:1].lower()}{text[1:]}"


def _quoted(text: str) -> str:
    return f'connection error: desc = "{text}"'
