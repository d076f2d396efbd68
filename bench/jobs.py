"""What is measured: the jobs, their sizes, their figures, and the targets of the project.

A job gets a running server and returns its figures. Jobs that need nothing get a fresh server with
an empty directory each; the jobs of the filled store share one server, one after the other, because
filling it takes longer than they do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers import Server

from bench.loadgen import LoadError, load, start_ready_probe

STORE_PREFIX = "store/"
LIST_PREFIX = "list/"
STARTUP_DEADLINE_S = 120.0
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much load. Both servers get the same."""

    single_puts: int = 4_000
    puts: int = 100_000
    gets: int = 150_000
    txns: int = 80_000
    warmup: int = 2_000
    list_keys: int = 10_000
    full_lists: int = 100
    page_lists: int = 2_000
    page_list_s: int = 8
    page_walks: int = 400
    store_keys: int = 200_000
    store_revisions: int = 2
    store_value_bytes: int = 512
    watchers: int = 1_000
    watch_puts: int = 200
    watch_puts_per_s: float = 20
    leases: int = 100_000
    keep_alives: int = 50_000


FULL = Sizes()
QUICK = Sizes(
    single_puts=1_000,
    puts=20_000,
    gets=30_000,
    txns=20_000,
    warmup=500,
    full_lists=20,
    page_lists=500,
    page_list_s=3,
    page_walks=40,
    store_keys=20_000,
    watch_puts=60,
    leases=10_000,
    keep_alives=5_000,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number of a job. `target` bounds Kvorum / stock: a floor where more is better."""

    name: str
    unit: str
    more_is_better: bool
    target: float | None = None

    def met(self, ratio: float) -> bool | None:
        """Whether `ratio` reaches the target; None without one."""
        if self.target is None:
            return None
        return ratio >= self.target if self.more_is_better else ratio <= self.target


@dataclass(slots=True)
class Run:
    """What a job gets: a server, and what it needs to put load on it."""

    program: Path
    server: Server
    sizes: Sizes

    def load(self, job: str, **flags: object) -> dict[str, Any]:
        return load(self.program, job, self.server.target, **flags)


Figures = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One row group of the result."""

    name: str
    about: str
    measure: Callable[[Run], Figures]
    figures: tuple[Figure, ...] = field(default_factory=tuple)
    on_store: bool = False


def _rate(target: float | None = None, unit: str = "requests/s") -> Figure:
    return Figure(name="throughput", unit=unit, more_is_better=True, target=target)


def _latency(name: str, target: float | None = None) -> Figure:
    return Figure(name=name, unit="ms", more_is_better=False, target=target)


def _standard(report: dict[str, Any]) -> Figures:
    latency = report["latency_ms"]
    return {"throughput": report["per_second"], "p50": latency["p50"], "p99": latency["p99"]}


def _put(clients: int, conns: int) -> Callable[[Run], Figures]:
    def measure(run: Run) -> Figures:
        sizes = run.sizes
        total = sizes.single_puts if clients == 1 else sizes.puts
        warmup = min(sizes.warmup, total // 10)
        return _standard(run.load("put", clients=clients, conns=conns, total=total, warmup=warmup))

    return measure


def _get(*, serializable: bool) -> Callable[[Run], Figures]:
    def measure(run: Run) -> Figures:
        sizes = run.sizes
        run.load("fill", prefix=LIST_PREFIX, keys=10_000, revisions=1, clients=100, conns=10)
        report = run.load(
            "range",
            prefix=LIST_PREFIX,
            clients=100,
            conns=10,
            total=sizes.gets,
            warmup=sizes.warmup,
            serializable=serializable,
        )
        return _standard(report)

    return measure


def _txn(run: Run) -> Figures:
    sizes = run.sizes
    return _standard(run.load("txn", clients=100, conns=10, total=sizes.txns, warmup=sizes.warmup))


def _full_list(clients: int) -> Callable[[Run], Figures]:
    def measure(run: Run) -> Figures:
        keys = run.sizes.list_keys
        run.load("fill", prefix=LIST_PREFIX, keys=keys, revisions=1, clients=100, conns=10)
        total = run.sizes.full_lists
        flags = {"clients": clients, "conns": clients, "total": total, "warmup": clients * 2}
        return _standard(run.load("list", prefix=LIST_PREFIX, mode="full", expect=keys, **flags))

    return measure


def _watch(run: Run) -> Figures:
    sizes = run.sizes
    report = run.load(
        "watch",
        clients=sizes.watchers,
        conns=10,
        total=sizes.watch_puts,
        rate=sizes.watch_puts_per_s,
    )
    return {"p50": report["latency_ms"]["p50"], "p99": report["latency_ms"]["p99"]}


def _watch_flood(run: Run) -> Figures:
    sizes = run.sizes
    report = run.load("watch", clients=sizes.watchers, conns=10, total=sizes.watch_puts, rate=0)
    return {"throughput": report["per_second"]}


def _lease(run: Run) -> Figures:
    sizes = run.sizes
    report = run.load(
        "lease", clients=100, conns=10, total=sizes.leases, keepalives=sizes.keep_alives
    )
    return {
        "throughput": report["per_second"],
        "p99": report["latency_ms"]["p99"],
        "keep-alives": report["extra"]["keepalive_per_second"],
        "memory": run.server.memory_bytes() / MIB,
    }


def _fill(run: Run) -> Figures:
    sizes = run.sizes
    report = run.load(
        "fill",
        prefix=STORE_PREFIX,
        keys=sizes.store_keys,
        revisions=sizes.store_revisions,
        value_size=sizes.store_value_bytes,
        clients=200,
        conns=10,
    )
    return {"throughput": report["per_second"], "memory": run.server.memory_bytes() / MIB}


def _page_list(clients: int) -> Callable[[Run], Figures]:
    def measure(run: Run) -> Figures:
        sizes = run.sizes
        # Twenty times apart, the two servers need another bound each: requests or time.
        flags = {"clients": clients, "conns": clients, "total": sizes.page_lists}
        flags |= {"seconds": sizes.page_list_s, "warmup": clients * 2}
        return _standard(
            run.load(
                "list",
                prefix=STORE_PREFIX,
                mode="first",
                limit=500,
                expect=sizes.store_keys,
                **flags,
            )
        )

    return measure


def _page_walk(run: Run) -> Figures:
    total = run.sizes.page_walks
    return _standard(run.load("list", prefix=STORE_PREFIX, mode="walk", limit=500, total=total))


def _restart(run: Run) -> Figures:
    run.server.terminate()
    probe = start_ready_probe(run.program, run.server.target, STARTUP_DEADLINE_S)
    began = time.monotonic()
    run.server.start()
    _, error = probe.communicate(timeout=STARTUP_DEADLINE_S + 10)
    took = time.monotonic() - began
    if probe.returncode != 0:
        raise LoadError(f"restart: {error.strip()}")
    return {"start-up": took, "memory": run.server.memory_bytes() / MIB}


def _memory(target: float | None = None) -> Figure:
    return Figure(name="memory", unit="MiB", more_is_better=False, target=target)


_LIST = (_latency("p50"), _latency("p99"))

JOBS: tuple[Job, ...] = (
    Job(
        name="put1",
        about="puts, 1 client",
        measure=_put(1, 1),
        figures=(_latency("p50", 1.3), _latency("p99"), _rate()),
    ),
    Job(
        name="put100",
        about="puts, 100 clients on 10 connections",
        measure=_put(100, 10),
        figures=(_rate(0.9), _latency("p50"), _latency("p99")),
    ),
    Job(
        name="put1000",
        about="puts, 1,000 clients on 10 connections",
        measure=_put(1000, 10),
        figures=(_rate(0.9), _latency("p50"), _latency("p99")),
    ),
    Job(
        name="get",
        about="linearizable gets, 100 clients on 10 connections",
        measure=_get(serializable=False),
        figures=(_rate(0.9), _latency("p50"), _latency("p99")),
    ),
    Job(
        name="getser",
        about="serializable gets, 100 clients on 10 connections",
        measure=_get(serializable=True),
        figures=(_rate(0.9), _latency("p50"), _latency("p99")),
    ),
    Job(
        name="txn",
        about="compare and put, else get; 100 clients on 10 connections",
        measure=_txn,
        figures=(_rate(0.9), _latency("p50"), _latency("p99")),
    ),
    Job(
        name="listfull",
        about="all of 10,000 keys in one answer, 1 client",
        measure=_full_list(1),
        figures=(_rate(1.5, "lists/s"), *_LIST),
    ),
    Job(
        name="listfull8",
        about="all of 10,000 keys in one answer, 8 clients",
        measure=_full_list(8),
        figures=(_rate(None, "lists/s"), *_LIST),
    ),
    Job(
        name="watch",
        about="1,000 watchers on 10 streams, paced puts: issue to receipt",
        measure=_watch,
        figures=(_latency("p50"), _latency("p99", 1.3)),
    ),
    Job(
        name="watchflood",
        about="1,000 watchers on 10 streams, each put after the last delivery",
        measure=_watch_flood,
        figures=(_rate(None, "events/s"),),
    ),
    Job(
        name="lease",
        about="100,000 leases granted and kept alive, 100 clients",
        measure=_lease,
        figures=(
            _rate(None, "grants/s"),
            _latency("p99"),
            Figure(name="keep-alives", unit="messages/s", more_is_better=True),
            _memory(),
        ),
    ),
    Job(
        name="fill",
        about="200,000 keys of 512 B written twice, 200 clients",
        measure=_fill,
        figures=(_rate(None, "puts/s"), _memory(2.0)),
        on_store=True,
    ),
    Job(
        name="list500",
        about="limit=500 over the 200,000 keys, 1 client",
        measure=_page_list(1),
        figures=(_rate(20.0, "lists/s"), *_LIST),
        on_store=True,
    ),
    Job(
        name="list500x8",
        about="limit=500 over the 200,000 keys, 8 clients",
        measure=_page_list(8),
        figures=(_rate(None, "lists/s"), *_LIST),
        on_store=True,
    ),
    Job(
        name="walk",
        about="page after page of 500 keys at one revision, 1 client",
        measure=_page_walk,
        figures=(_rate(None, "pages/s"), *_LIST),
        on_store=True,
    ),
    Job(
        name="restart",
        about="restart with the 200,000 keys and 400,000 revisions",
        measure=_restart,
        figures=(
            Figure(name="start-up", unit="s", more_is_better=False, target=2.0),
            _memory(2.0),
        ),
        on_store=True,
    ),
)

JOBS_BY_NAME = {job.name: job for job in JOBS}


def batches(names: list[str]) -> list[list[Job]]:
    """The jobs that share a server, in order. Jobs on the filled store come last, behind `fill`."""
    chosen = [job for job in JOBS if job.name in names]
    on_store = [job for job in chosen if job.on_store]
    if on_store and on_store[0].name != "fill":
        on_store.insert(0, JOBS_BY_NAME["fill"])
    alone = [[job] for job in chosen if not job.on_store]
    return [*alone, on_store] if on_store else alone
