"""pifpaf, which starts daemons for test suites, starts Kvorum in place of etcd."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import free_port, server_environment
from tests.stock import require_stock_35

RUN_S = 120

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pifpaf") is None, reason="pifpaf is not installed"
)

USE = """
set -e
etcdctl put pifpaf works
etcdctl get pifpaf
etcdctl member list
echo "url $PIFPAF_URL"
"""


@pytest.fixture(params=["kvorum", pytest.param("stock", marks=pytest.mark.slow)])
def commands(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with the commands `etcd` and `etcdctl`: what Kvorum installs, or stock."""
    if request.param == "stock":
        return Path(require_stock_35())
    for name in ("etcd", "etcdctl"):
        run = shlex.join([sys.executable, "-m", f"kvorum.cli.{name}"])
        command = tmp_path / name
        command.write_text(f'#!/bin/sh\nexec {run} "$@"\n')
        command.chmod(0o755)
    return tmp_path


def pifpaf(commands: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pifpaf", "run", "etcd", *flags, "--", "sh", "-c", USE],
        env={**server_environment(), "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )


def test_pifpaf_runs_a_member(commands: Path) -> None:
    port = free_port()
    ran = pifpaf(commands, f"--port={port}", f"--peer-port={free_port()}")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    put, key, value, member, url = ran.stdout.splitlines()
    assert (put, key, value) == ("OK", "pifpaf", "works")
    assert member.endswith(f"default, http://localhost:2380, http://localhost:{port}, false")
    assert url == f"url etcd://localhost:{port}"


def test_pifpaf_runs_three_members(commands: Path) -> None:
    # It takes the five ports behind the first, too.
    ran = pifpaf(commands, f"--port={free_port()}", "--cluster")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    put, key, value, *members, _ = ran.stdout.splitlines()
    assert (put, key, value) == ("OK", "pifpaf", "works")
    assert sorted(line.split(", ")[1:3] for line in members) == [
        ["started", f"pifpaf{number}"] for number in range(3)
    ]
