"""A Kvorum member answers stock clients as stock etcd does: the same scripts, compared.

The clients are stock etcdctl 3.5 and 3.4, the servers stock 3.5.1 and 3.4.23. The member emulates
3.5 or 3.4, so that versions agree but for the patch number, which is given a name here.
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
PATCHES = (b"3.5.1", b"3.5.0", b"3.4.23", b"3.4.0")
"""Versions of servers, which are shown with their minor alone."""


def run_on(
    kind: str,
    client: tuple[str, ...],
    script: Script,
    *,
    modern: bool,
    version: str = "3.5",
) -> list[Outcome]:
    emulated = (f"--emulated-version={version}",) if kind == "kvorum" else ()
    flags = (*SAME_IDENTITY, *script.server_flags, *emulated)
    with ExitStack() as stack:
        server = stack.enter_context(start_server(kind, extra_flags=flags))
        environment = {"PYTHONPATH": server_environment()["PYTHONPATH"]}
        outcomes = run_script(client, server.target, script, environment=environment, modern=modern)
    return [replace(one, stdout=_without_patch(one.stdout)) for one in outcomes]


def _without_patch(text: bytes) -> bytes:
    for version in PATCHES:
        text = text.replace(version, version.rpartition(b".")[0] + b".x")
    return text


def assert_equal(
    client: tuple[str, ...],
    script: Script,
    *,
    reference: tuple[str, ...] | None = None,
    modern: bool = True,
    server: str = "stock",
    version: str = "3.5",
) -> None:
    """`client` on Kvorum does what `reference` (None: the same client) does on a stock server.

    Args:
        client, reference: how they are called.
        script: what they do.
        modern: whether the client is of 3.5 or later.
        server: kind of the stock server (see `tests.servers`).
        version: its version, which the member emulates.
    """
    with ThreadPoolExecutor(2) as pool:
        on_stock = pool.submit(run_on, server, reference or client, script, modern=modern)
        on_ours = pool.submit(run_on, "kvorum", client, script, modern=modern, version=version)
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


# The alarms of 3.4.23 come without a header, and its own etcdctl panics of that; ours have one.
ALARM = "alarm"


@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [script for script in SCRIPTS if script.name != ALARM],
    ids=lambda script: script.name,
)
def test_a_member_that_emulates_34_answers_as_stock_34(script: Script) -> None:
    folder = require_stock_34()
    assert_equal(
        (str(folder.etcdctl),), script, modern=False, server=str(folder.etcd), version="3.4"
    )
