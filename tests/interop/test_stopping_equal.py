"""How a server process ends when it is told to: compared with stock 3.5.1."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import wait_for
from tests.servers import Server, server_command, start_server
from tests.stock import require_stock_35

STEP_S = 30.0
TOLD = '"msg":"received signal; shutting down"'
GO_NAMES = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupt"}


def kind_of(kind: str) -> str:
    if kind == "stock":
        require_stock_35()
    return kind


def end_by(server: Server, number: signal.Signals, pid: int) -> int:
    """Send a signal; returns the exit code, once the log has been seen to tell of the signal."""
    os.kill(pid, number)
    code = server.wait_exit()
    lines = [line for line in server.log_text().splitlines() if TOLD in line]
    assert len(lines) == 1, server.log_text()
    assert f'"signal":"{GO_NAMES[number]}"' in lines[0]
    return code


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stock", "kvorum"])
@pytest.mark.parametrize("number", list(GO_NAMES), ids=lambda number: number.name)
def test_a_signal_ends_a_member_that_then_dies_of_it(kind: str, number: signal.Signals) -> None:
    with start_server(kind_of(kind)) as server:
        assert end_by(server, number, server.pid) == -number


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stock", "kvorum"])
def test_a_signal_ends_a_member_that_waits_for_the_others(kind: str) -> None:
    """One of two: there is nobody to elect a leader with. Stock does not say why it ends."""
    with start_server(kind_of(kind), wait=False) as server:
        server.stop()
        shutil.rmtree(server.data_dir, ignore_errors=True)
        server.log_path.unlink()
        others = f"{server.name}={server.peer_url},other=http://127.0.0.1:1"
        server.extra_flags.append(f"--initial-cluster={others}")
        server.start()
        wait_for(
            lambda: "started remote peer" in server.log_text() or None, STEP_S, "nothing happened"
        )
        assert server.terminate() == -signal.SIGTERM


@contextlib.contextmanager
def first_process(kind: str) -> Iterator[tuple[Server, int]]:
    """A server that is the first process of a container, and its id as we see it."""
    with start_server(kind_of(kind), wait=False) as server:
        server.stop()
        server.log_path.unlink()
        namespace = ["--pid", "--fork", "--kill-child"]
        if os.geteuid():
            namespace += ["--user", "--map-root-user"]
        server.command = ["unshare", *namespace, *server_command(kind)]
        server.start()
        server.wait_ready()
        (pid,) = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        yield server, int(pid)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stock", "kvorum"])
def test_the_first_process_of_a_container_ends_with_0(kind: str) -> None:
    """No signal would end it, so it cannot die of one as others do."""
    with first_process(kind) as (server, pid):
        assert end_by(server, signal.SIGTERM, pid) == 0
