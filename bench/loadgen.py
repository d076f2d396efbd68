"""The load generator: a Go program in `loadgen/`, built once for each state of its sources."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent / "loadgen"
BUILD_DEADLINE_S = 600
# A job bounds itself by --seconds; this is for one that does not.
JOB_DEADLINE_S = 1200


class LoadError(Exception):
    """The load generator could not be built, or its load failed."""


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "kvorum-bench"


def build() -> Path:
    """The program's path; builds it when its sources have changed. Needs Go only then."""
    digest = hashlib.sha256()
    for source in sorted(SOURCES.glob("*.go")) + sorted(SOURCES.glob("go.*")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    program = cache_folder() / digest.hexdigest()[:16] / "loadgen"
    if program.exists():
        return program
    if shutil.which("go") is None:
        raise LoadError("the load generator needs Go to be built, and there is no `go` on the PATH")
    program.parent.mkdir(parents=True, exist_ok=True)
    unfinished = program.with_suffix(f".{os.getpid()}")
    built = subprocess.run(
        ["go", "build", "-trimpath", "-o", str(unfinished), "."],
        cwd=SOURCES,
        capture_output=True,
        text=True,
        timeout=BUILD_DEADLINE_S,
        check=False,
    )
    if built.returncode != 0:
        raise LoadError(f"building the load generator failed:\n{built.stderr}")
    unfinished.rename(program)
    return program


def load(program: Path, job: str, target: str, **flags: object) -> dict[str, Any]:
    """Run one job and return its report. Raises LoadError when any request of it failed."""
    arguments = [
        f"--{name.replace('_', '-')}={str(value).lower() if isinstance(value, bool) else value}"
        for name, value in flags.items()
    ]
    ran = subprocess.run(
        [str(program), job, f"--endpoint={target}", *arguments],
        capture_output=True,
        text=True,
        timeout=JOB_DEADLINE_S,
        check=False,
    )
    report: dict[str, Any] = json.loads(ran.stdout) if ran.stdout.strip() else {}
    if ran.returncode != 0 or report.get("errors"):
        why = report.get("first_error") or ran.stderr.strip()
        raise LoadError(f"{job}: {report.get('errors', 'all')} requests failed, first: {why}")
    return report


def start_ready_probe(program: Path, target: str, seconds: float) -> subprocess.Popen[str]:
    """A process that ends with 0 at the first Range that succeeds; start it before the server."""
    return subprocess.Popen(
        [str(program), "ready", f"--endpoint={target}", f"--seconds={seconds}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
