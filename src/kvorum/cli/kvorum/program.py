"""kvorum: from the command line to an exit code."""

from __future__ import annotations

from collections.abc import Sequence

from kvorum.cli.kvorum.root import ROOT
from kvorum.cli.shared.program import main_of, run_program


def main() -> None:
    """Run the command that the process was started with."""
    main_of(run)


def run(line: Sequence[str]) -> int:
    """Run a command line; the exit code."""
    return run_program(ROOT, line)
