"""See the package."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.robustness.fuzz.harness import FuzzFailure, fuzz, limit_memory
from tests.robustness.fuzz.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.robustness.fuzz")
    parser.add_argument("--reader", choices=[*TARGETS, "all"], default="all")
    parser.add_argument("--inputs", type=int, default=10_000, help="for each reader")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path(), help="folder for inputs that fail")
    given = parser.parse_args()
    names = list(TARGETS) if given.reader == "all" else [given.reader]
    limit_memory()
    failed = False
    for name in names:
        try:
            report = fuzz(TARGETS[name](), given.inputs, given.seed, keep=given.keep)
        except FuzzFailure as failure:
            print(failure, flush=True)
            failed = True
        else:
            print(report, flush=True)
            for outcome, count in report.outcomes.most_common():
                print(f"  {count:8d} {outcome}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
