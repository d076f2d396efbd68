from __future__ import annotations

import pytest

from kvorum.client.endpoint import EndpointRing, TlsUse, parse_endpoint
from kvorum.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "target", "tls"),
    [
        ("127.0.0.1:2379", "127.0.0.1:2379", TlsUse.IF_CONFIGURED),
        ("http://127.0.0.1:2379", "127.0.0.1:2379", TlsUse.NEVER),
        ("http://127.0.0.1:2379/path", "127.0.0.1:2379", TlsUse.NEVER),
        ("https://etcd.example:2379", "etcd.example:2379", TlsUse.ALWAYS),
        ("https://[::1]:2379", "[::1]:2379", TlsUse.ALWAYS),
        ("unix:///run/etcd.sock", "unix:/run/etcd.sock", TlsUse.IF_CONFIGURED),
        ("unix:etcd.sock", "unix:etcd.sock", TlsUse.IF_CONFIGURED),
        ("unixs:///run/etcd.sock", "unix:/run/etcd.sock", TlsUse.ALWAYS),
    ],
)
def test_an_endpoint_is_read_as_etcd_reads_it(text: str, target: str, tls: TlsUse) -> None:
    endpoint = parse_endpoint(text)
    assert (endpoint.target, endpoint.tls, endpoint.problem) == (target, tls, "")
    assert endpoint.text == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "missing address"),
        ("127.0.0.1", "address 127.0.0.1: missing port in address"),
        ("[::1]", "address [::1]: missing port in address"),
        ("[::1", "address [::1: missing ']' in address"),
        ("::1:2379", "address ::1:2379: too many colons in address"),
        ("ftp://127.0.0.1:1", "address ftp://127.0.0.1:1: too many colons in address"),
        ("127.0.0.1:2379/", "address tcp/2379/: unknown port"),
        ("127.0.0.1:99999", "address tcp/99999: unknown port"),
    ],
)
def test_an_address_that_cannot_be_dialled_has_gos_reason(text: str, problem: str) -> None:
    assert parse_endpoint(text).problem == problem


def test_a_ring_needs_an_endpoint() -> None:
    with pytest.raises(ConfigError, match="no available endpoints"):
        EndpointRing([])


def test_a_failure_moves_the_ring_on_and_around() -> None:
    ring = EndpointRing(["a:1", "b:1"])
    seen = []
    for _ in range(3):
        seen.append(ring.current.text)
        ring.failed(ring.current)
    assert seen == ["a:1", "b:1", "a:1"]


def test_a_hundred_failures_of_one_endpoint_move_the_ring_once() -> None:
    ring = EndpointRing(["a:1", "b:1", "c:1"])
    first = ring.current
    for _ in range(100):
        ring.failed(first)
    assert ring.current.text == "b:1"
