"""Rows S7 (probes of the static Pod) and U8 (`/health`) of the mission."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

import pytest

from tests.servers import Server, free_port, start_server

KUBEADM_FLAGS = (
    "--listen-metrics-urls=http://127.0.0.1:{port}",
    "--snapshot-count=10000",
    "--watch-progress-notify-interval=5s",
)
"""Of the command line in the Pod that kubeadm writes: those that need no certificates."""


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def pod() -> Iterator[tuple[Server, int]]:
    """A member with kubeadm's flags, and its metrics port."""
    port = free_port()
    flags = [flag.format(port=port) for flag in KUBEADM_FLAGS]
    with start_server(extra_flags=flags) as server:
        yield server, port


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/livez", b"ok\n"),
        ("/readyz", b"ok\n"),
        ("/livez?exclude=NOSPACE&exclude=CORRUPT", b"ok\n"),
        ("/readyz?exclude=non_learner", b"ok\n"),
        ("/livez/serializable_read", b"ok\n"),
        ("/livez?verbose", b"[+]serializable_read ok\nok\n"),
    ],
)
def test_S7_the_probes_of_the_static_pod_are_answered(
    pod: tuple[Server, int], path: str, body: bytes
) -> None:
    assert get(pod[1], path) == (200, body)


def test_S7_older_pods_probe_health(pod: tuple[Server, int]) -> None:
    """kubeadm up to 1.33 asks `/health?exclude=NOSPACE&serializable=true`, later `/livez`."""
    status, body = get(pod[1], "/health?exclude=NOSPACE&serializable=true")
    assert (status, json.loads(body)["health"]) == (200, "true")
    status, body = get(pod[1], "/health?serializable=false")
    assert (status, json.loads(body)["health"]) == (200, "true")


def test_U8_health_is_a_string_and_no_boolean(pod: tuple[Server, int]) -> None:
    server, metrics_port = pod
    for port in (server.client_port, metrics_port):
        status, body = get(port, "/health")
        assert status == 200
        assert body.startswith(b'{"health":"true"')
        assert json.loads(body)["health"] == "true"
