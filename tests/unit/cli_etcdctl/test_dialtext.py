"""grpcio's reasons, as seen from 1.85, in Go's words."""

from __future__ import annotations

import pytest

from kvorum.cli.etcdctl.dialtext import describe_attempt, describe_connection
from kvorum.client import ConnectDeadlineError, ConnectionFailedError, DeadlineExceededError
from kvorum.errors import EmptyKeyError

PREFIX = "failed to connect to all addresses; last error: "


@pytest.mark.parametrize(
    ("endpoint", "reason", "text"),
    [
        (
            "127.0.0.1:1",
            "UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: Connection refused",
            "transport: Error while dialing dial tcp 127.0.0.1:1: connect: connection refused",
        ),
        (
            "127.0.0.1:1",  # grpcio before 1.80
            "UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: "
            "connect: Connection refused (111)",
            "transport: Error while dialing dial tcp 127.0.0.1:1: connect: connection refused",
        ),
        (
            "[::1]:1",
            "UNKNOWN: ipv6:%5B::1%5D:1: Failed to connect to remote host: Connection refused",
            "transport: Error while dialing dial tcp [::1]:1: connect: connection refused",
        ),
        (
            "unix:///nosuch",
            "FAILED_PRECONDITION: unix:/nosuch: connect failed: addr: unix:/nosuch error: "
            "No such file or directory",
            "transport: Error while dialing dial unix /nosuch: connect: no such file or directory",
        ),
        (
            "https://127.0.0.1:1",
            "UNKNOWN: ipv4:127.0.0.1:1: Tls handshake failed (TSI_PROTOCOL_FAILURE): "
            "SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal:"
            "CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate: OK",
            "transport: authentication handshake failed: "
            "x509: certificate signed by unknown authority",
        ),
        ("127.0.0.1:1", "something new", f"transport: {PREFIX}something new"),
    ],
)
def test_a_reason_is_told_as_go_would(endpoint: str, reason: str, text: str) -> None:
    failure = ConnectionFailedError(PREFIX + reason, endpoint)
    assert describe_connection(failure) == f'connection error: desc = "{text}"'


def test_a_connection_that_is_closed_at_once() -> None:
    failure = ConnectionFailedError(PREFIX + "UNAVAILABLE: ipv4:1.2.3.4:5: Socket closed", "h:1")
    assert describe_connection(failure) == "connection closed"


def test_names_and_addresses_that_lead_nowhere() -> None:
    unknown = ConnectionFailedError("errors resolving foo.invalid:1: [...]", "foo.invalid:1")
    assert "dial tcp: lookup foo.invalid: no such host" in describe_connection(unknown)
    silent = ConnectionFailedError("connection timed out", "10.0.0.1:2379")
    assert "dial tcp 10.0.0.1:2379: i/o timeout" in describe_connection(silent)
    nonsense = ConnectionFailedError("address x: missing port in address", "x")
    assert "dial tcp: address x: missing port in address" in describe_connection(nonsense)


def test_the_log_line_of_a_deadline_tells_of_the_connection_that_was_not_made() -> None:
    failure = ConnectionFailedError("connection timed out", "h:1")
    assert describe_attempt(ConnectDeadlineError(failure)).startswith(
        "rpc error: code = DeadlineExceeded desc = latest balancer error: last connection error: "
    )
    at_once = ConnectionFailedError(DeadlineExceededError.text, "h:1")
    plain = "rpc error: code = DeadlineExceeded desc = context deadline exceeded"
    assert describe_attempt(ConnectDeadlineError(at_once)) == plain
    assert describe_attempt(DeadlineExceededError("h:1")) == plain
    assert describe_attempt(EmptyKeyError()) == (
        "rpc error: code = InvalidArgument desc = etcdserver: key is not provided"
    )
