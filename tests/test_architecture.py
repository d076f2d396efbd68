"""Data flows one way: the import contracts of pyproject.toml hold, and they do catch a breach."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
_COMMAND = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _COMMAND, "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder / "src"), "PATH": "", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_imports_go_downwards_only() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_breach_is_caught(tmp_path: Path) -> None:
    """A check that cannot fail would be none: `raft` reads a clock, `proto` looks upwards."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    package = tmp_path / "src" / "kvorum"
    (package / "raft" / "clock.py").write_text("import time\n")
    (package / "proto" / "upwards.py").write_text("import kvorum.cluster.ids\n")
    done = lint_imports(tmp_path)
    assert done.returncode != 0
    assert "kvorum.raft.clock -> time" in done.stdout
    assert "kvorum.proto.upwards -> kvorum.cluster.ids" in done.stdout
