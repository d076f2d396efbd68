"""aetcd 1.0 (asyncio) against Kvorum, and beside Kvorum's messages in one process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.third_party import run_scenario, suite_command
from tests.servers import Server, start_server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with start_server() as running:
        yield running


@pytest.mark.parametrize("scenario", ["keys", "transaction", "watch", "lease", "lock"])
def test_aetcd_works(server: Server, scenario: str) -> None:
    run_scenario(suite_command("aetcd_suite"), server.target, scenario)


@pytest.mark.parametrize("order", ["kvorum-first", "aetcd-first"])
def test_aetcd_and_kvorum_live_in_one_process(order: str) -> None:
    run_scenario(suite_command("one_process"), "aetcd", order)
