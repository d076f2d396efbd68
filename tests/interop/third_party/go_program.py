"""Test clients in Go: built once for each state of their sources, outside of the repository."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

BUILD_S = 600


def build(sources: Path) -> Path:
    """The program's path. Without Go the test is skipped, unless the program is there already."""
    digest = hashlib.sha256()
    for source in sorted(sources.glob("*.go")) + sorted(sources.glob("go.*")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    program = cache_folder() / digest.hexdigest()[:16] / sources.name
    if program.exists():
        return program
    if shutil.which("go") is None:
        pytest.skip(f"{sources.name} needs Go to be built, and there is no `go` on the PATH")
    program.parent.mkdir(parents=True, exist_ok=True)
    unfinished = program.with_suffix(f".{os.getpid()}")
    built = subprocess.run(
        ["go", "build", "-trimpath", "-o", str(unfinished), "."],
        cwd=sources,
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    unfinished.rename(program)
    return program


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "kvorum-interop-go"
