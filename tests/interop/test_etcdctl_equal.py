"""Our etcdctl does what stock etcdctl 3.5 does, step by step, on stock servers."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.interop.etcdctl_runner import SAME_IDENTITY, Outcome, run_script
from tests.interop.etcdctl_table import SCRIPTS, Script
from tests.servers import server_environment, start_server
from tests.stock import require_stock_35

OURS = (sys.executable, "-m", "kvorum.cli.etcdctl")


def run_on_stock(client: tuple[str, ...], script: Script) -> list[Outcome]:
    with ExitStack() as stack:
        server = stack.enter_context(
            start_server("stock", extra_flags=(*SAME_IDENTITY, *script.server_flags))
        )
        environment = {"PYTHONPATH": server_environment()["PYTHONPATH"]}
        return run_script(client, server.target, script, environment=environment)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_equals_stock(script: Script) -> None:
    stock = (str(require_stock_35().etcdctl),)
    with ThreadPoolExecutor(2) as pool:
        theirs, ours = pool.map(run_on_stock, (stock, OURS), (script, script))
    assert len(ours) == len(script.steps)
    different = [
        f"etcdctl {one.line}\n  stock {one.returncode} {one.stdout!r} {one.stderr!r}"
        f"\n  ours  {other.returncode} {other.stdout!r} {other.stderr!r}"
        for one, other in zip(theirs, ours, strict=True)
        if one != other
    ]
    assert not different, "\n".join(different)
