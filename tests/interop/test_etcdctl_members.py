"""Members that have not started, and learners, as our etcdctl and stock's print them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.servers import server_environment, start_server
from tests.stock import require_stock_35

OURS = (sys.executable, "-m", "kvorum.cli.etcdctl")


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
    stock, ours = (
        subprocess.run(
            [*client, f"--endpoints={endpoint}", *command.split(), "-w", *form.split()],
            capture_output=True,
            check=False,
            env=server_environment(),
        )
        for client in ((str(require_stock_35().etcdctl),), OURS)
    )
    assert (stock.returncode, stock.stdout, stock.stderr) == (
        ours.returncode,
        ours.stdout,
        ours.stderr,
    )
    assert stock.stdout or stock.returncode
