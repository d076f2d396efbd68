"""Patroni keeps its leader in Kvorum as it does in stock: elected, held, replaced."""

from __future__ import annotations

import base64
import importlib.util
import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.interop.third_party import run_scenario, suite_command
from tests.servers import Server, start_server
from tests.stock import require_stock_35

if importlib.util.find_spec("patroni") is None or importlib.util.find_spec("psycopg") is None:
    pytest.skip("patroni[etcd3,psycopg3] is not installed", allow_module_level=True)

SERVERS = ["kvorum", pytest.param("stock", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if request.param == "stock":
        require_stock_35()
    with start_server(request.param) as running:
        yield running


@pytest.mark.parametrize("scenario", ["state", "leader", "failover"])
def test_patroni_works(server: Server, scenario: str) -> None:
    run_scenario(suite_command("patroni_suite"), server.target, scenario)


@pytest.mark.slow
def test_the_leader_stays_over_a_restart_of_the_server() -> None:
    from tests.interop.third_party.patroni_suite import TTL_S, nodes  # noqa: PLC0415 - needs patroni

    with start_server() as server, nodes(server.target, "first", "second") as (first, second):
        second.wait_for("follower second")
        elected = leader_key(server)
        server.restart()
        held_until = time.monotonic() + TTL_S + 1
        while time.monotonic() < held_until:
            # The same key, not one that was made anew after the lease had been lost.
            assert leader_key(server) == elected
            time.sleep(0.1)
        assert first.lines.empty()
        assert second.lines.empty()
        first.kill()
        second.wait_for("leader second")


def leader_key(server: Server) -> dict[str, Any]:
    """The key by which Patroni says who leads, asked for by the JSON gateway."""
    body = json.dumps({"key": base64.b64encode(b"/service/nodes/leader").decode()}).encode()
    with urllib.request.urlopen(
        f"{server.client_url}/v3/kv/range", data=body, timeout=10
    ) as answer:
        (found,) = json.load(answer)["kvs"]
    return dict(found)
