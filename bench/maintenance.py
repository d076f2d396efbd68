"""What maintenance costs the clients of a busy member: defragmentation, snapshots, compaction.

    python -m bench.maintenance [--servers kvorum,stock] [--jobs defrag,snapshot,compaction]

100 clients put all the time; once alone, and once while the job runs. A line of JSON for each run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from tests.servers import Server, server_environment, start_server
from tests.stock import require_stock_35

from bench.loadgen import build, load

CLIENTS = {"clients": 100, "conns": 10}
ETCDCTL = (str(require_stock_35().etcdctl),)
"""The same client for both; it is the one that costs the machine less."""
MIB = 1 << 20
FILL_VALUE_BYTES = 1024
COMPACTED_REVISIONS = 400_000


def etcdctl(server: Server, *arguments: str) -> str:
    done = subprocess.run(
        [*ETCDCTL, f"--endpoints={server.target}", "--command-timeout=600s", *arguments],
        capture_output=True,
        text=True,
        env=server_environment(),
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"etcdctl {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def status(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(etcdctl(server, "endpoint", "status", "-w", "json"))[0]
    return found["Status"]


def defrag(server: Server, goes_on: Callable[[], bool]) -> None:
    etcdctl(server, "defrag")


def snapshot(server: Server, goes_on: Callable[[], bool]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        while goes_on():
            etcdctl(server, "snapshot", "save", str(Path(folder) / "snapshot"))


def compaction(server: Server, goes_on: Callable[[], bool]) -> None:
    revision = status(server)["header"]["revision"]
    etcdctl(server, "compaction", "--physical", str(revision))


JOBS = {"defrag": defrag, "snapshot": snapshot, "compaction": compaction}


def puts(program: Path, server: Server, seconds: float) -> dict[str, Any]:
    return load(
        program, "put", server.target, seconds=seconds, total=10**8, key_space=20_000, **CLIENTS
    )


def prepare(program: Path, server: Server, job: str, mebibytes: int) -> None:
    """Fill the database; for a defragmentation make half of it free."""
    if job == "compaction":
        revisions = COMPACTED_REVISIONS // 20_000
        load(program, "fill", server.target, keys=20_000, revisions=revisions, **CLIENTS)
        return
    rows = mebibytes * MIB // FILL_VALUE_BYTES
    sizes = {"keys": rows // 2, "revisions": 2, "value_size": FILL_VALUE_BYTES}
    load(program, "fill", server.target, **sizes, **CLIENTS)
    if job == "defrag":
        compaction(server, lambda: False)


def measure(program: Path, kind: str, job: str, seconds: float, mebibytes: int) -> dict[str, Any]:
    flags = [f"--quota-backend-bytes={8 << 30}"]
    with start_server(kind, extra_flags=flags) as server:
        prepare(program, server, job, mebibytes)
        before = status(server)
        alone = puts(program, server, seconds)
        end_s = monotonic() + seconds
        took_s: list[float] = []

        def work() -> None:
            begun_s = monotonic()
            JOBS[job](server, lambda: monotonic() < end_s)
            took_s.append(monotonic() - begun_s)

        thread = threading.Thread(target=work)
        thread.start()
        busy = puts(program, server, seconds)
        thread.join()
        after = status(server)
    return {
        "server": kind,
        "job": job,
        "took_s": round(took_s[0], 3),
        "db_mib": [round(one.get("dbSize", 0) / MIB) for one in (before, after)],
        "in_use_mib": [round(one.get("dbSizeInUse", 0) / MIB) for one in (before, after)],
        "alone": alone,
        "with_job": busy,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--servers", default="kvorum,stock")
    parser.add_argument("--jobs", default=",".join(JOBS))
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--mebibytes", type=int, default=1024)
    arguments = parser.parse_args()
    program = build()
    for job in arguments.jobs.split(","):
        for kind in arguments.servers.split(","):
            found = measure(program, kind, job, arguments.seconds, arguments.mebibytes)
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
