"""Time and memory of work on data files, beside stock etcdutl 3.5.1: `python -m bench.data_files`.

A snapshot of the wanted size is made first: keys of 30 bytes, values of 1 KiB of noise, one
revision each. Then each job is done by stock and by Kvorum in turn, on files of their own, with
warm caches, and the medians are put side by side. Peak memory is the resident set as the kernel
counts it, mapped pages of files included, for both alike.

Stock has nothing that converts a directory. `adopt` is held against stock's `snapshot restore`,
`migrate` (back to stock's format) against stock's `defrag`: each writes the same data once.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import server_environment
from tests.stock import stock_35

from kvorum.proto.kv_pb2 import KeyValue
from kvorum.storage.bbolt import BoltLayout
from kvorum.storage.buckets import (
    BUCKETS,
    CLUSTER,
    CLUSTER_VERSION,
    CONSISTENT_INDEX,
    KEY,
    META,
    TERM,
    encode_u64,
    revision_key,
)

MIB = 1024 * 1024
VALUE_BYTES = 1024
PAGE_BYTES = 4096
ROWS_PER_PAGE = 3  # of this size
CHUNK_ROWS = 1000
TIME_TARGET = 2.0
MEMORY_TARGET = 1.5
DEADLINE_S = 1800.0

Row = tuple[bytes, bytes]


def key_rows(count: int) -> Iterator[list[Row]]:
    """The rows of the bucket `key`: the same ones at every call."""
    noise = random.Random(7).randbytes(4 * MIB)
    for first in range(0, count, CHUNK_ROWS):
        rows = []
        for number in range(first, min(first + CHUNK_ROWS, count)):
            at = number * 37 % (len(noise) - VALUE_BYTES)
            key = b"/registry/pods/default/%08d" % number
            revision = number + 2
            pair = KeyValue(
                key=key,
                create_revision=revision,
                mod_revision=revision,
                version=1,
                value=noise[at : at + VALUE_BYTES],
            )
            rows.append((revision_key(revision, 0), pair.SerializeToString()))
        yield rows


def make_snapshot(path: Path, size_mib: int) -> None:
    """A snapshot file with a trailer, as `snapshot save` writes it."""
    count = size_mib * MIB // (PAGE_BYTES // ROWS_PER_PAGE)
    rows: dict[bytes, Callable[[], Iterator[Sequence[Row]]]] = {
        bucket.name: lambda: iter(()) for bucket in BUCKETS
    }
    rows[KEY.name] = lambda: key_rows(count)
    rows[META.name] = lambda: iter(
        [[(CONSISTENT_INDEX, encode_u64(count + 10)), (TERM, encode_u64(2))]]
    )
    rows[CLUSTER.name] = lambda: iter([[(CLUSTER_VERSION, b"3.5.0")]])
    digest = hashlib.sha256()
    with path.open("wb") as out:
        for chunk in BoltLayout(sorted(rows.items())).chunks():
            digest.update(chunk)
            out.write(chunk)
        out.write(digest.digest())


@dataclass(slots=True)
class Figures:
    seconds: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)


def run(command: Sequence[str | Path], figures: Figures) -> None:
    """Run a command, and note its wall time and peak memory."""
    os.sync()
    started = time.monotonic()
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=server_environment(),
    )
    assert process.stderr is not None
    told = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    figures.seconds.append(time.monotonic() - started)
    figures.memory_mib.append(usage.ru_maxrss / 1024)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed: {told.decode()[-2000:]}")


class Round:
    """One round of all jobs of one side, in a directory that is thrown away."""

    def __init__(self, side: str, etcdutl: Sequence[str | Path], snapshot: Path) -> None:
        self.side = side
        self._etcdutl = etcdutl
        self._snapshot = snapshot

    def measure(self, stock: Sequence[str | Path], results: dict[str, Figures]) -> None:
        with tempfile.TemporaryDirectory(prefix="kvorum-data-") as name:
            mine, theirs = Path(name) / "mine", Path(name) / "theirs"
            self._do("status", ["snapshot", "status", self._snapshot], results)
            restore = ["snapshot", "restore", self._snapshot, "--data-dir"]
            self._do("restore", [*restore, mine], results)
            self._do("defrag", ["defrag", "--data-dir", mine], results)
            if self.side != "stock":
                shutil.rmtree(mine)
                run([*stock, *restore, theirs], Figures())
                adopt = ["migrate", "--data-dir", theirs, "--format"]
                self._do("adopt", [*adopt, "kvorum"], results)
                self._do("migrate", [*adopt, "stock", "--target-version", "3.5"], results)

    def _do(self, job: str, words: Sequence[str | Path], results: dict[str, Figures]) -> None:
        figures = results.setdefault(job, Figures())
        run([*self._etcdutl, *words], figures)
        seconds, memory_mib = figures.seconds[-1], figures.memory_mib[-1]
        print(f"{job:<8} {self.side:<7} {seconds:7.2f} s {memory_mib:7.0f} MiB", flush=True)


def table(stock: dict[str, Figures], ours: dict[str, Figures]) -> str:
    lines = [
        "| job | stock | Kvorum | time ratio | stock peak | Kvorum peak | memory ratio |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for job, mine in ours.items():
        theirs = stock[{"adopt": "restore", "migrate": "defrag"}.get(job, job)]
        time_s = [statistics.median(side.seconds) for side in (theirs, mine)]
        peak = [statistics.median(side.memory_mib) for side in (theirs, mine)]
        lines.append(
            f"| {job} | {time_s[0]:.2f} s | {time_s[1]:.2f} s | {time_s[1] / time_s[0]:.2f} "
            f"| {peak[0]:.0f} MiB | {peak[1]:.0f} MiB | {peak[1] / peak[0]:.2f} |"
        )
    return "\n".join([*lines, "", f"Targets: time ≤ {TIME_TARGET}, memory ≤ {MEMORY_TARGET}."])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.data_files", description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of the store")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    binaries = stock_35()
    if binaries is None:
        raise SystemExit("stock etcdutl 3.5.1 is needed: run `make stock`, or set KVORUM_STOCK_DIR")
    theirs: list[str | Path] = [binaries.etcd.with_name("etcdutl")]
    ours: list[str | Path] = [sys.executable, "-m", "kvorum.cli.etcdutl"]
    stock_results: dict[str, Figures] = {}
    our_results: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="kvorum-data-") as name:
        snapshot = Path(name) / "snapshot.db"
        make_snapshot(snapshot, chosen.mib)
        print(f"snapshot of {snapshot.stat().st_size / MIB:.0f} MiB", flush=True)
        for _ in range(chosen.rounds):
            Round("stock", theirs, snapshot).measure(theirs, stock_results)
            Round("kvorum", ours, snapshot).measure(theirs, our_results)
    print(table(stock_results, our_results))


if __name__ == "__main__":
    main()
