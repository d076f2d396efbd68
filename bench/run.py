"""Run Kvorum and stock etcd 3.5.1 alternately and print their ratios: `python -m bench.run`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.servers import ServerError, server_command, start_server

from bench.facts import machine_facts, server_version
from bench.hotspots import profile_job
from bench.jobs import FULL, JOBS, JOBS_BY_NAME, QUICK, Job, Run, Sizes, batches
from bench.loadgen import LoadError, build
from bench.report import plain_table, write
from bench.results import KVORUM, STOCK, Results, number

RESULTS = Path(__file__).parent / "results"
READY_DEADLINE_S = 60.0

# Both servers get the same. The quota holds the filled store of either; snapshots are as rare as in
# stock 3.5 by default.
FLAGS = ("--quota-backend-bytes=8589934592", "--snapshot-count=100000")


def measure_batch(
    batch: Sequence[Job],
    side: str,
    program: Path,
    sizes: Sizes,
    results: Results,
    round_number: int,
) -> str:
    """Run the jobs of one batch on one fresh server; returns the server's version."""
    with start_server(side, extra_flags=FLAGS, deadline_s=READY_DEADLINE_S) as server:
        version = server_version(server)
        run = Run(program, server, sizes)
        for job in batch:
            figures = job.measure(run)
            results.add(job.name, round_number, side, figures)
            shown = ", ".join(f"{name} {number(value)}" for name, value in figures.items())
            print(f"round {round_number}  {job.name:<10} {side:<6}  {shown}", flush=True)
    return version


def measure(
    names: list[str], rounds: int, program: Path, sizes: Sizes
) -> tuple[Results, dict[str, str]]:
    """All rounds of all jobs, A B A B. A side that fails is reported and the run goes on."""
    results = Results()
    versions: dict[str, str] = {}
    for batch in batches(names):
        for round_number in range(1, rounds + 1):
            for side in (STOCK, KVORUM):
                try:
                    version = measure_batch(batch, side, program, sizes, results, round_number)
                    versions[side] = version
                except (LoadError, ServerError) as error:
                    what = "+".join(job.name for job in batch)
                    failure = f"{what}, round {round_number}, {side}: {error}"
                    results.failures.append(failure.splitlines()[0])
                    print(f"FAILED  {failure}", file=sys.stderr, flush=True)
    return results, versions


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    listing = "\n".join(f"  {job.name:<10} {job.about}" for job in JOBS)
    parser = argparse.ArgumentParser(
        prog="python -m bench.run",
        description=__doc__,
        epilog=f"jobs:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--jobs", default="", help="comma list; default: all")
    parser.add_argument("--rounds", type=int, help="rounds of stock, Kvorum; default 3, quick 1")
    parser.add_argument("--quick", action="store_true", help="a fraction of the load")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result files")
    parser.add_argument("--no-write", action="store_true", help="print the table, write no files")
    parser.add_argument(
        "--profile",
        action="store_true",
        help="no comparison: run the jobs on Kvorum alone under py-spy, print where the time goes",
    )
    chosen = parser.parse_args(arguments)
    chosen.names = [n for n in chosen.jobs.split(",") if n] or [job.name for job in JOBS]
    if unknown := [n for n in chosen.names if n not in JOBS_BY_NAME]:
        parser.error(f"unknown job {', '.join(unknown)}; see --help")
    if chosen.rounds is None:
        chosen.rounds = 1 if chosen.quick else 3
    if chosen.rounds < 1:
        parser.error("--rounds must be at least 1")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = parse(arguments)
    sizes = QUICK if chosen.quick else FULL
    try:
        program = build()
        server_command(STOCK)
        if chosen.profile:
            for batch in batches(chosen.names):
                profile_job(batch, program, sizes, FLAGS)
            return 0
    except (LoadError, ServerError) as error:
        print(error, file=sys.stderr)
        return 2
    facts = machine_facts()
    results, versions = measure(chosen.names, chosen.rounds, program, sizes)
    facts |= {f"{side} presents itself as": version for side, version in versions.items()}
    facts |= {"rounds": str(chosen.rounds), "flags of both": " ".join(FLAGS)}
    print("\n" + plain_table(results.rows()))
    if not chosen.no_write:
        stem = facts["date"][:10] + ("-quick" if chosen.quick else "")
        for path in write(chosen.out, stem, results, facts, sizes):
            print(f"wrote {path}")
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
