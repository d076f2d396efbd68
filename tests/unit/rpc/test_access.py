"""Who may send plain HTTP requests, and what pages of other origins may read."""

from __future__ import annotations

import pytest

from kvorum.rpc.access import Access, host_name
from kvorum.rpc.http import HttpRequest
from tests.unit.rpc.gateway_peer import KEY, RANGE, serve

ALLOW = "access-control-allow-"


def request(**headers: str) -> HttpRequest:
    pairs = tuple((name.encode(), text.encode()) for name, text in headers.items())
    return HttpRequest("GET", "/version", pairs)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("a.example", "a.example"),
        ("a.example:80", "a.example"),
        ("[::1]:5", "::1"),
        ("[::1]", "[::1]"),
        ("::1", "::1"),
        ("", ""),
    ],
)
def test_a_host_is_known_by_its_name(host: str, name: str) -> None:
    assert host_name(host) == name


@pytest.mark.parametrize("hosts", [[], ["*"], ["a.example", "*"]])
def test_every_host_is_allowed_by_default(hosts: list[str]) -> None:
    assert Access((), hosts).refusal(request(host="evil.example")) is None


def test_an_unknown_host_is_refused_in_stocks_words() -> None:
    access = Access((), ["good.example"])
    assert access.refusal(request(host="good.example:2379")) is None
    refusal = access.refusal(request(host='e"vil:1'))
    assert refusal is not None
    assert refusal.status == 421
    text = refusal.body.decode()
    assert text.startswith("\netcd received your request, but the Host header was unrecognized.\n")
    assert '  - e.g. etcd --host-whitelist "e\\"vil"\n\n' in text
    assert text.endswith("(CVE-2018-5702).\n\n")


def test_with_tls_names_do_not_matter() -> None:
    access = Access((), ["good.example"], secure=True)
    assert access.refusal(request(host="evil.example")) is None


def test_origins_are_named_to_those_that_are_listed() -> None:
    assert dict(Access().headers(request()))[f"{ALLOW}origin"] == "*"
    access = Access(["http://a.example:80"])
    assert access.headers(request(origin="http://b.example:80")) == ()
    assert access.headers(request()) == ()
    assert dict(access.headers(request(origin="http://a.example:80"))) == {
        f"{ALLOW}methods": "POST, GET, OPTIONS, PUT, DELETE",
        f"{ALLOW}origin": "http://a.example:80",
        f"{ALLOW}headers": "accept, content-type, authorization",
    }


async def test_a_preflight_request_is_answered_anywhere() -> None:
    async with serve(cors=["http://a.example:80"]) as server:
        client = await server.connect()
        for path in (RANGE, "/health", "/nope"):
            client.post(path, "", "origin: http://a.example:80", method="OPTIONS")
            status, headers, body = await client.answer()
            assert (status, body) == (200, b"")
            assert headers[f"{ALLOW}origin"] == "http://a.example:80"
            client.post(path, "", "origin: http://b.example:80", method="OPTIONS")
            status, headers, body = await client.answer()
            assert (status, body) == (200, b"")
            assert f"{ALLOW}origin" not in headers
        assert not server.methods.ranges


async def test_a_refused_host_reaches_nothing() -> None:
    async with serve(hosts=["good.example"]) as server:
        client = await server.connect()
        for path in (RANGE, "/version"):
            client.post(path, f'{{"key":"{KEY}"}}')
            status, headers, _ = await client.answer()
            assert status == 421
            assert f"{ALLOW}origin" not in headers
        assert not server.methods.ranges
