"""The plain endpoints answer as stock 3.5.1's do: status, headers, body, for every method.

`/livez` and `/readyz` are not in 3.5.1; `tests/unit/rpc/test_endpoints.py` has them.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.interop.etcdctl_runner import SAME_IDENTITY
from tests.servers import Server, free_port, start_server
from tests.stock import require_stock_35

CLIENT, METRICS = "client port", "metrics port"
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
PATHS = {
    CLIENT: (
        "/health",
        "/health?serializable=true",
        "/health?exclude=NOSPACE&exclude=FOO",
        "/health?%zz",
        "/%68ealth",
        "//health",
        "/./health",
        "/health/",
        "/version",
        "/version/",
        "/metrics",
        "/metrics/x",
        "/debug/vars",
        "/debug/vars/",
        "/debug/pprof",
        "/debug/pprof/",
        "/debug/pprof/cmdline",
        "/debug/pprof/nosuch",
        "/debug/requests",
        "/config/local/log",
        "/nosuch",
        "/",
    ),
    METRICS: ("/health", "/metrics", "/version", "/debug/vars", "/nosuch", "/"),
}
HEADERS = (
    "content-type",
    "allow",
    "location",
    "x-content-type-options",
    "x-go-pprof",
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
)
OWN_BODY = ("/metrics", "/debug/vars", "/debug/pprof/", "/debug/pprof/cmdline")
"""Answers that tell of the process itself: only their form is compared."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str | None], ...]
    body: bytes


@dataclass(frozen=True)
class Pair:
    """A stock member and ours, each with its metrics port."""

    ports: dict[str, tuple[int, int]]


def ask(port: int, method: str, target: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, target)
        response = connection.getresponse()
        body = response.read()
        if target in OWN_BODY and response.status == 200:
            body = b"(its own)"
        headers = tuple((name, response.headers[name]) for name in HEADERS)
        return Answer(response.status, headers, body.replace(b"3.5.1", b"3.5.0"))
    finally:
        connection.close()


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    require_stock_35()
    with ExitStack() as stack:

        def start(kind: str, *flags: str) -> tuple[Server, int]:
            port = free_port()
            listen = f"--listen-metrics-urls=http://127.0.0.1:{port}"
            flags = (*SAME_IDENTITY, listen, "--enable-pprof", *flags)
            return stack.enter_context(start_server(kind, extra_flags=flags)), port

        stock, stock_metrics = start("stock")
        ours, our_metrics = start("kvorum", "--emulated-version=3.5")
        yield Pair(
            {
                CLIENT: (stock.client_port, ours.client_port),
                METRICS: (stock_metrics, our_metrics),
            }
        )


@pytest.mark.parametrize("port", [CLIENT, METRICS])
@pytest.mark.parametrize("method", METHODS)
def test_every_path_answers_as_stock_does(pair: Pair, port: str, method: str) -> None:
    # With --enable-pprof the log's level can be changed here; stock 3.5 has no way to.
    paths = [path for path in PATHS[port] if path != "/config/local/log" or method == "OPTIONS"]

    def both(path: str) -> tuple[Answer, Answer]:
        stock, ours = pair.ports[port]
        return ask(stock, method, path), ask(ours, method, path)

    with ThreadPoolExecutor(4) as pool:
        answers = dict(zip(paths, pool.map(both, paths), strict=True))
    different = {path: pair for path, pair in answers.items() if pair[0] != pair[1]}
    assert not different


def test_debug_vars_have_the_keys_of_stock(pair: Pair) -> None:
    shown = []
    for port in pair.ports[CLIENT]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/debug/vars")
        shown.append(json.load(connection.getresponse()))
        connection.close()
    stock, ours = shown
    assert list(ours) == list(stock)
    assert list(ours["raft.status"]) == list(stock["raft.status"])
    assert ours["raft.status"]["id"] == stock["raft.status"]["id"]
    assert ours["raft.status"]["raftState"] == "StateLeader"
    assert ours["file_descriptor_limit"] == stock["file_descriptor_limit"]
    assert set(ours["memstats"]) < set(stock["memstats"])
    (progress,) = ours["raft.status"]["progress"].values()
    (expected,) = stock["raft.status"]["progress"].values()
    assert list(progress) == list(expected)
