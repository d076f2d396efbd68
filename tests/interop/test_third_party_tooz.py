"""tooz (OpenStack's coordination library) by the JSON gateway: its own tests pass as on stock."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.interop.third_party import ROOT
from tests.servers import Server, start_server
from tests.stock import require_stock_35

SUITE_S = 300
OWN_PASSES = 65
"""tooz 9.1 has 86 tests for a driver; 68 of them pass with etcd3gw, and it skips the others."""

QUICK = [
    "TestAPI.test_get_lock_multiple_coords",
    "TestAPI.test_heartbeat",
    "TestAPI.test_join_group_create",
    "TestAPI.test_watch_group_join",
    "TestAPI.test_delete_group_non_empty",
    "TestPartitioner.test_members_of_object_and_others",
]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tooz") is None, reason="tooz is not installed"
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with start_server() as running:
        yield running


@pytest.fixture
def stock() -> Iterator[Server]:
    require_stock_35()
    with start_server("stock") as running:
        yield running


def outcomes(server: Server, *names: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.interop.third_party.tooz_suite", *names],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "TOOZ_TEST_URL": f"etcd3+{server.client_url}"},
        capture_output=True,
        text=True,
        timeout=SUITE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    found: dict[str, str] = json.loads(ran.stdout)
    return found


def test_tooz_groups_locks_and_watches_work(server: Server) -> None:
    assert outcomes(server, *QUICK) == dict.fromkeys(QUICK, "passed")


@pytest.mark.slow
def test_the_tests_inside_tooz_end_as_on_stock(server: Server, stock: Server) -> None:
    with ThreadPoolExecutor() as pool:
        ours, theirs = pool.map(outcomes, (server, stock))
    assert ours == theirs
    assert sum(outcome == "passed" for outcome in ours.values()) >= OWN_PASSES
    assert not [name for name, outcome in ours.items() if outcome.startswith("failed")]
