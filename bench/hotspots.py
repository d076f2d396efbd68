"""Where Kvorum's time goes under a job, sampled from outside with py-spy."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.servers import start_server

from bench.jobs import Job, Run, Sizes
from bench.loadgen import LoadError
from bench.results import KVORUM

SAMPLES_PER_S = 200
DURATION_S_MAX = 1200
TOP = 30


def profile_job(batch: Sequence[Job], program: Path, sizes: Sizes, flags: Sequence[str]) -> None:
    """Run the jobs on one Kvorum server; print each one's hottest functions."""
    py_spy = shutil.which("py-spy")
    if py_spy is None:
        raise LoadError("--profile needs py-spy on the PATH: pip install py-spy")
    with start_server(KVORUM, extra_flags=flags) as server, tempfile.TemporaryDirectory() as folder:
        run = Run(program, server, sizes)
        for job in batch:
            folded = Path(folder) / job.name
            sampler = _start(py_spy, server.pid, folded)
            try:
                job.measure(run)
            finally:
                sampler.send_signal(signal.SIGINT)  # py-spy writes its file and ends
                _, error = sampler.communicate(timeout=60)
            if not folded.exists():
                raise LoadError(f"py-spy wrote nothing: {error.strip()}")
            print(f"\n== {job.name}: {job.about}\n{summary(folded.read_text())}", flush=True)


def _start(py_spy: str, pid: int, output: Path) -> subprocess.Popen[str]:
    # Only samples that hold the GIL: what a second core could not take over.
    command = [py_spy, "record", "--pid", str(pid), "--output", str(output), "--format", "raw"]
    command += [
        "--rate",
        str(SAMPLES_PER_S),
        "--duration",
        str(DURATION_S_MAX),
        "--gil",
        "--threads",
        "--function",
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def summary(folded: str) -> str:
    """Shares of the samples by thread, by function alone and by function with what it calls.

    Args:
        folded: lines `frame;frame;…;frame COUNT`, outermost frame first.
    """
    alone, inclusive, threads = Counter[str](), Counter[str](), Counter[str]()
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        threads[frames[0]] += int(count)
        alone[frames[-1]] += int(count)
        for frame in set(frames[1:]):
            inclusive[frame] += int(count)
    total = sum(alone.values())
    if total == 0:
        return "no sample held the GIL"
    parts = [f"{total} samples with the GIL, {SAMPLES_PER_S} a second"]
    for title, counter in (("threads", threads), ("alone", alone), ("with callees", inclusive)):
        lines = [f"  {100 * n / total:5.1f} %  {name}" for name, n in counter.most_common(TOP)]
        parts.append("\n".join([f"-- {title}", *lines]))
    return "\n".join(parts)
