"""A Kvorum member answers stock clients as stock etcd 3.5.1 does: the same scripts, compared.

The clients are stock etcdctl 3.5 and 3.4. The member emulates 3.5, so that versions agree but for
the patch number, which is given a name here.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest

from tests.interop.etcdctl_runner import SAME_IDENTITY, Outcome, run_script
from tests.interop.etcdctl_table import SCRIPTS, Script
from tests.servers import server_environment, start_server
from tests.stock import require_stock_34, require_stock_35

OURS = (sys.executable, "-m", "kvorum.cli.etcdctl")
EMULATED = ("--emulated-version=3.5",)


def run_on(kind: str, client: tuple[str, ...], script: Script, *, modern: bool) -> list[Outcome]:
    flags = (*SAME_IDENTITY, *script.server_flags, *(EMULATED if kind == "kvorum" else ()))
    with ExitStack() as stack:
        server = stack.enter_context(start_server(kind, extra_flags=flags))
        environment = {"PYTHONPATH": server_environment()["PYTHONPATH"]}
        outcomes = run_script(client, server.target, script, environment=environment, modern=modern)
    return [
        replace(one, stdout=one.stdout.replace(b"3.5.1", b"3.5.x").replace(b"3.5.0", b"3.5.x"))
        for one in outcomes
    ]


def assert_equal(
    client: tuple[str, ...],
    script: Script,
    *,
    reference: tuple[str, ...] | None = None,
    modern: bool = True,
) -> None:
    """`client` on Kvorum does what `reference` (None: the same client) does on stock."""
    with ThreadPoolExecutor(2) as pool:
        on_stock = pool.submit(run_on, "stock", reference or client, script, modern=modern)
        on_ours = pool.submit(run_on, "kvorum", client, script, modern=modern)
        pairs = zip(on_stock.result(), on_ours.result(), strict=True)
    different = [
        f"etcdctl {one.line}\n  stock  {one.returncode} {one.stdout!r} {one.stderr!r}"
        f"\n  kvorum {other.returncode} {other.stdout!r} {other.stderr!r}"
        for one, other in pairs
        if one != other
    ]
    assert not different, "\n".join(different)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_stock_etcdctl_35_sees_no_difference(script: Script) -> None:
    assert_equal((str(require_stock_35().etcdctl),), script)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_stock_etcdctl_34_sees_no_difference(script: Script) -> None:
    assert_equal((str(require_stock_34().etcdctl),), script, modern=False)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_our_etcdctl_on_kvorum_does_what_stock_does_on_stock(script: Script) -> None:
    """Ours on a stock server: `test_etcdctl_equal`."""
    assert_equal(OURS, script, reference=(str(require_stock_35().etcdctl),))
