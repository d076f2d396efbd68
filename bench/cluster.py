"""Kvorum members beside as many stock 3.5.1 members: `python -m bench.cluster`.

The clusters run on this machine, one after the other, as in `bench.run`; a figure counts as the
ratio of two in one round. The connections of the load generator go to all members in turn. With
`--mixed` there is a third cluster, of both kinds, one more of Kvorum than of stock.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import Cluster, start_cluster
from tests.robustness.calls import Calls
from tests.servers import ServerError
from tests.stock import stock_35

from bench.loadgen import LoadError, build, load

FLAGS = ("--quota-backend-bytes=8589934592", "--snapshot-count=100000")
STOCK, KVORUM, MIXED = "stock", "kvorum", "mixed"
SIDES = (STOCK, KVORUM, MIXED)
FAILOVER_S = 30.0
FAILOVERS = 5
PUT_S = 0.25
"""How long one attempt to write may take while there is no leader."""

Figures = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterJob:
    """One row; `figure` is the one that the target is for."""

    name: str
    about: str
    measure: Callable[[Path, Cluster, float], Figures]
    figure: str
    more_is_better: bool
    target: float


def _put(clients: int) -> Callable[[Path, Cluster, float], Figures]:
    def measure(program: Path, cluster: Cluster, scale: float) -> Figures:
        total = int(60_000 * scale)
        report = load(
            program,
            "put",
            ",".join(cluster.targets),
            clients=clients,
            conns=12,
            total=total,
            warmup=total // 20,
        )
        latency = report["latency_ms"]
        return {"per_s": report["per_second"], "p50_ms": latency["p50"], "p99_ms": latency["p99"]}

    return measure


def _get(program: Path, cluster: Cluster, scale: float) -> Figures:
    targets = ",".join(cluster.targets)
    load(program, "fill", targets, prefix="g/", keys=10_000, revisions=1, clients=100, conns=12)
    report = load(
        program,
        "range",
        targets,
        prefix="g/",
        clients=100,
        conns=12,
        total=int(60_000 * scale),
        warmup=1_000,
        key_space=10_000,
    )
    latency = report["latency_ms"]
    return {"per_s": report["per_second"], "p50_ms": latency["p50"], "p99_ms": latency["p99"]}


def _failover(_: Path, cluster: Cluster, scale: float) -> Figures:
    """The leader is killed; how long until another member acknowledges a write."""
    times = []
    for number in range(max(1, int(FAILOVERS * scale))):
        leader = cluster.wait_leader()
        others = [at for at in range(len(cluster.members)) if at != leader]
        with Calls(cluster.targets[others[number % len(others)]]) as calls:
            calls.put(b"failover", b"before")
            cluster.kill(leader)
            times.append(_first_write_s(calls))
        cluster.restart(leader)
        cluster.wait_equal_hashes()
    return {"median_s": statistics.median(times), "max_s": max(times)}


def _first_write_s(calls: Calls) -> float:
    """Seconds until a put is acknowledged; several wait at the same time, as clients do."""
    begun_s = time.monotonic()
    waiting = []
    while time.monotonic() - begun_s < FAILOVER_S:
        waiting.append(calls.put_async(b"failover", b"after"))
        give_up_s = time.monotonic() + PUT_S
        while time.monotonic() < give_up_s:
            if any(one.done() and one.exception() is None for one in waiting):
                return time.monotonic() - begun_s
            time.sleep(0.002)
    raise LoadError(f"no write was acknowledged in {FAILOVER_S} s")


JOBS = (
    ClusterJob(
        name="cluster-put100",
        about="100 clients put 256 bytes",
        measure=_put(100),
        figure="per_s",
        more_is_better=True,
        target=0.8,
    ),
    ClusterJob(
        name="cluster-put1000",
        about="1,000 clients put 256 bytes",
        measure=_put(1000),
        figure="per_s",
        more_is_better=True,
        target=0.8,
    ),
    ClusterJob(
        name="cluster-get",
        about="100 clients, linearizable gets of single keys",
        measure=_get,
        figure="per_s",
        more_is_better=True,
        target=0.9,
    ),
    ClusterJob(
        name="failover",
        about="the leader is killed: time to the first acknowledged write",
        measure=_failover,
        figure="median_s",
        more_is_better=False,
        target=1.0,
    ),
)


def kinds_of(side: str, members: int) -> list[str]:
    """What each member of a cluster is."""
    if side == STOCK:
        return ["stock3.5"] * members
    if side == KVORUM:
        return ["kvorum"] * members
    return ["stock3.5" if number % 2 else "kvorum3.5" for number in range(members)]


def measure_side(job: ClusterJob, side: str, members: int, program: Path, scale: float) -> Figures:
    with start_cluster(kinds_of(side, members), flags=FLAGS) as cluster:
        return job.measure(program, cluster, scale)


def verdict(job: ClusterJob, side: str, ratios: Sequence[float]) -> str:
    """The line for one side of a job, its figures being `ratios` of stock's."""
    ratio = statistics.median(ratios)
    met = ratio >= job.target if job.more_is_better else ratio <= job.target
    return (
        f"{job.name} {side}: {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f}); target"
        f" {'≥' if job.more_is_better else '≤'} {job.target}: {'met' if met else 'not met'}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument(
        "--jobs", default="", help=f"comma list of {', '.join(j.name for j in JOBS)}"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the load")
    parser.add_argument("--members", type=int, choices=(3, 5), default=3)
    parser.add_argument("--mixed", action="store_true", help="a cluster of both kinds as well")
    parser.add_argument("--only", choices=SIDES, help="no comparison: one side")
    chosen = parser.parse_args(arguments)
    names = [name for name in chosen.jobs.split(",") if name] or [job.name for job in JOBS]
    if unknown := set(names) - {job.name for job in JOBS}:
        parser.error(f"unknown jobs: {', '.join(sorted(unknown))}")
    if chosen.only != KVORUM and stock_35() is None:
        parser.error("stock etcd 3.5.1 is needed: run `make stock`, or set KVORUM_STOCK_DIR")
    failed = False
    try:
        program = build()
    except LoadError as error:
        print(error, file=sys.stderr)
        return 2
    sides = [chosen.only] if chosen.only else SIDES if chosen.mixed else (STOCK, KVORUM)
    for job in (job for job in JOBS if job.name in names):
        ratios: dict[str, list[float]] = {}
        for number in range(1, chosen.rounds + 1):
            found: dict[str, Figures] = {}
            for side in sides:
                try:
                    found[side] = measure_side(job, side, chosen.members, program, chosen.scale)
                except (LoadError, ServerError, AssertionError) as error:
                    failed = True
                    print(f"FAILED  {job.name} {side}: {error}", file=sys.stderr, flush=True)
                    continue
                shown = ", ".join(f"{name} {value:,.3g}" for name, value in found[side].items())
                print(f"round {number}  {job.name:<16} {side:<6}  {shown}", flush=True)
            for side in found.keys() - {STOCK} if STOCK in found else ():
                ratio = found[side][job.figure] / found[STOCK][job.figure]
                ratios.setdefault(side, []).append(ratio)
        for side in sorted(ratios):
            print(verdict(job, side, ratios[side]), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
