"""python-etcd3 0.12 against Kvorum, and beside Kvorum's messages in one process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.third_party import run_scenario, suite_command
from tests.servers import Server, start_server

# Why: the docstring of the suite.
PURE_PYTHON = {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with start_server() as running:
        yield running


@pytest.mark.parametrize("scenario", ["keys", "transaction", "watch", "lease", "lock", "cluster"])
def test_python_etcd3_works(server: Server, scenario: str) -> None:
    run_scenario(suite_command("python_etcd3_suite"), server.target, scenario, PURE_PYTHON)


@pytest.mark.parametrize("order", ["kvorum-first", "etcd3-first"])
def test_python_etcd3_and_kvorum_live_in_one_process(order: str) -> None:
    run_scenario(suite_command("one_process"), "etcd3", order, PURE_PYTHON)
