"""`etcdctl check`: its judgement, and a run of it; the bar that it draws."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest

from kvorum.cli.etcdctl.bar import Bar
from kvorum.cli.etcdctl.commands import check
from kvorum.cli.etcdctl.load import Results
from tests.servers import server_environment, start_server

LOAD = check.Load(100, 5)


def judged(capfd: pytest.CaptureFixture[str], results: Results) -> tuple[bool, str]:
    passed = check._judge(LOAD, results)
    return passed, capfd.readouterr().out


def test_a_quick_cluster_passes(capfd: pytest.CaptureFixture[str]) -> None:
    results = Results(seconds=10.0, latencies_s=[0.002] * 990 + [0.004])
    assert judged(capfd, results) == (
        True,
        "PASS: Throughput is 100 writes/s\n"
        "PASS: Slowest request took 0.004000s\n"
        "PASS: Stddev is 0.000064s\n"
        "PASS\n",
    )


def test_a_slow_cluster_fails(capfd: pytest.CaptureFixture[str]) -> None:
    results = Results(seconds=10.0, latencies_s=[0.1, 0.9])
    assert judged(capfd, results) == (
        False,
        "FAIL: Throughput too low: 1 writes/s\n"
        "Slowest request took too long: 0.900000s\n"
        "Stddev too high: 0.400000s\n"
        "FAIL\n",
    )


def test_errors_are_counted(capfd: pytest.CaptureFixture[str]) -> None:
    results = Results(seconds=1.0, latencies_s=[0.01] * 99, errors=Counter({"no leader": 3}))
    passed, told = judged(capfd, results)
    assert not passed
    assert told.startswith("FAIL: too many errors\nFAIL: ERROR(no leader) -> 3\n")
    assert told.endswith("\nFAIL\n")


def test_turns_are_even(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [next(check._paced(50)) for _ in range(1)]
    assert len(turns) == 1
    paced = check._paced(1000)
    moments = [next(paced) for _ in range(100)]
    assert all(abs(after - before - 0.001) < 1e-6 for before, after in pairwise(moments))


def test_the_bar_is_drawn_as_stocks(capfd: pytest.CaptureFixture[str]) -> None:
    bar = Bar(60)
    bar.finish()
    drawn = capfd.readouterr().out
    assert drawn.startswith("\r 0 / 60    0.00%\r 60 / 60  100.00% ")
    assert drawn.endswith("s\n")


@pytest.mark.slow
def test_datascale_tells_the_memory_and_leaves_nothing() -> None:
    with start_server() as server:
        ctl = [sys.executable, "-m", "kvorum.cli.etcdctl", f"--endpoints={server.target}"]

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*ctl, *words],
                capture_output=True,
                text=True,
                env=server_environment(),
                timeout=120,
                check=False,
            )

        done = run("check", "datascale", "--auto-compact", "--auto-defrag")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(
            "Start data scale check for work load [10000 key-value pairs, 1024 bytes per "
            "key-value, 50 concurrent clients].\n"
        )
        assert re.search(r"PASS: Approximate system memory used : -?\d+\.\d\d MB\.\n$", done.stdout)
        assert f'Defragmented "{server.target}"\n' in done.stdout
        left = json.loads(run("get", "", "--prefix", "-w", "json").stdout)
        assert "count" not in left
