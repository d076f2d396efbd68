"""etcd3gw 2.7 by the JSON gateway: as a library, and the functional tests that ship inside it.

The suites run on stock too, which shows that they are right.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.interop.third_party import run_scenario, suite_command
from tests.servers import Server, start_server
from tests.stock import require_stock_35

SUITE_S = 120
OWN_TESTS = 23


@pytest.fixture(scope="module", params=["kvorum", "stock"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if request.param == "stock":
        require_stock_35()
    with start_server(request.param) as running:
        yield running


@pytest.mark.parametrize("scenario", ["keys", "transaction", "lease", "watch", "lock"])
def test_etcd3gw_works(server: Server, scenario: str) -> None:
    run_scenario(suite_command("etcd3gw_suite"), server.target, scenario)


@pytest.mark.slow
def test_the_tests_inside_etcd3gw_pass(server: Server) -> None:
    if importlib.util.find_spec("oslotest") is None:
        pytest.skip("etcd3gw's tests need oslotest")
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "unittest", "etcd3gw.tests.test_etcd3gw"],
        env={
            **os.environ,
            "TOOZ_TEST_HTTP_URL": server.client_url,
            "TOOZ_TEST_ETCD_PORT": str(server.client_port),
        },
        capture_output=True,
        text=True,
        timeout=SUITE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    found = re.search(r"Ran (\d+) tests", ran.stderr)
    assert found is not None
    assert int(found[1]) >= OWN_TESTS
    assert "skipped" not in ran.stderr.splitlines()[-1]
