"""Records of a real name server on this machine."""

from __future__ import annotations

import pytest

from kvorum.client.srv import (
    SERVER_VARIABLE,
    LookupFailedError,
    Target,
    client_endpoints,
    lookup,
    service_name,
)
from tests.dns import name_server


def test_records_come_by_priority_and_then_by_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [
        (2, 9, 1, "last.example.com"),
        (1, 1, 2, "b.example.com"),
        (1, 5, 3, "a.example.com"),
    ]
    with name_server({"_etcd-client._tcp.example.com": records}) as server:
        monkeypatch.setenv(SERVER_VARIABLE, server)
        found = lookup("etcd-client", "example.com")
    assert found == [
        Target("a.example.com", 3),
        Target("b.example.com", 2),
        Target("last.example.com", 1),
    ]


def test_endpoints_with_tls_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    records = {
        "_etcd-client._tcp.example.com": [(0, 0, 2379, "plain.example.com")],
        "_etcd-client-ssl._tcp.example.com": [(0, 0, 2379, "secure.example.com")],
    }
    with name_server(records) as server:
        monkeypatch.setenv(SERVER_VARIABLE, server)
        assert client_endpoints("example.com") == [
            "https://secure.example.com:2379",
            "http://plain.example.com:2379",
        ]


def test_a_suffix_goes_behind_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    records = {"_etcd-client-prod._tcp.example.com": [(0, 0, 2379, "one.example.com")]}
    with name_server(records) as server:
        monkeypatch.setenv(SERVER_VARIABLE, server)
        assert client_endpoints("example.com", "prod") == ["http://one.example.com:2379"]
    assert service_name("etcd-client", "") == "etcd-client"


def test_a_name_without_records_is_told_as_go_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with name_server({}) as server:
        monkeypatch.setenv(SERVER_VARIABLE, server)
        with pytest.raises(LookupFailedError) as caught:
            client_endpoints("example.invalid")
    assert str(caught.value) == (
        f"dns lookup errors: lookup _etcd-client-ssl._tcp.example.invalid on {server}: no such host"
        f" and lookup _etcd-client._tcp.example.invalid on {server}: no such host"
    )


@pytest.mark.parametrize("given", ["nonsense", "127.0.0.1:x", ":"])
def test_a_name_server_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(SERVER_VARIABLE, given)
    with pytest.raises(LookupFailedError, match="must be address:port"):
        lookup("etcd-client", "example.com")
