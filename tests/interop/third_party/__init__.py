"""Suites that run in a process of their own, with a client library that is not ours.

`python -m tests.interop.third_party.SUITE HOST:PORT SCENARIO` runs one scenario; it ends with 0
when the scenario passed. `run_scenario` does that from a test.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[3]
DEADLINE_S = 60


def run_scenario(
    command: Sequence[str], target: str, scenario: str, env: Mapping[str, str] | None = None
) -> None:
    """Run one scenario of a suite and assert that it passed."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    ran = subprocess.run(
        [*command, target, scenario],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, **(env or {})},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ran.returncode == 0, f"{scenario} failed:\n{ran.stdout}{ran.stderr}"
    assert f"passed {scenario}" in ran.stdout


def suite_command(module: str) -> list[str]:
    return [sys.executable, "-m", f"tests.interop.third_party.{module}"]
