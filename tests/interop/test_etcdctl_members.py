"""Members that have not started, and learners, as our etcdctl and stock's print them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.servers import server_environment, start_server
from tests.stock import require_stock_35

OURS = (sys.executable, "-m", "kvorum.cli.etcdctl")
SETTLED_S = 10.0


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    stock = require_stock_35().etcdctl
    with start_server("stock") as server:
        urls = "http://127.0.0.1:9998,http://127.0.0.1:9999"
        add = ("member", "add", "new", "--learner", f"--peer-urls={urls}")
        subprocess.run(
            [stock, f"--endpoints={server.target}", *add], check=True, capture_output=True
        )
        yield server.target


@pytest.mark.parametrize("form", ["simple", "json", "json --hex", "fields", "table", "protobuf"])
@pytest.mark.parametrize("command", ["member list", "endpoint status --cluster"])
def test_members_are_printed_as_stock_prints_them(endpoint: str, command: str, form: str) -> None:
    give_up_s = time.monotonic() + SETTLED_S
    while True:
        stock, ours = (
            subprocess.run(
                [*client, f"--endpoints={endpoint}", *command.split(), "-w", *form.split()],
                capture_output=True,
                check=False,
                env=server_environment(),
            )
            for client in ((str(require_stock_35().etcdctl),), OURS)
        )
        told = (stock.returncode, stock.stdout, stock.stderr)
        # The sizes in a status change with the commit after the member was added.
        if told == (ours.returncode, ours.stdout, ours.stderr) or time.monotonic() > give_up_s:
            break
    assert told == (ours.returncode, ours.stdout, ours.stderr)
    assert stock.stdout or stock.returncode
