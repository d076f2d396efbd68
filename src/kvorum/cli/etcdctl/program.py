"""etcdctl: from the command line to an exit code."""

from __future__ import annotations

import os
from collections.abc import Sequence

from kvorum.cli.etcdctl.root import ROOT
from kvorum.cli.shared.exits import Exit
from kvorum.cli.shared.program import main_of, run_program
from kvorum.cli.shared.stdio import write_error


def main() -> None:
    """Run the command that the process was started with."""
    main_of(run)


def run(line: Sequence[str]) -> int:
    """Run a command line; the exit code."""
    version = os.environ.get("ETCDCTL_API", "")
    if version not in {"", "3"}:
        write_error(f"unsupported API version: {version}\n")
        return Exit.ERROR
    return run_program(ROOT, line)
