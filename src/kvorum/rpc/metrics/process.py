"""Figures of the process, from `/proc/self`; what the system does not tell is left out.

The names beginning with `go_` are the places where etcd's dashboards look; `families` says what
stands in them here.
"""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import resource
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kvorum.server.clock import unix_ms
from kvorum.server.metrics.family import Labelled, Summary, Value, Values

_PROC: Final = Path("/proc/self")
_STARTED_UNIX_S: Final = unix_ms() / 1000
_PAUSES_KEPT: Final = 256
_QUANTILES: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_UNLIMITED: Final = 2.0**64
"""What Go's client shows where there is no limit."""


class GcPauses:
    """How long garbage collections held the process up, since `start`."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=_PAUSES_KEPT)
        self._begun_s = 0.0
        self.sum_s = 0.0
        self.count = 0
        self.last_unix_s = 0.0

    def start(self) -> None:
        if self._note not in gc.callbacks:
            gc.callbacks.append(self._note)

    def stop(self) -> None:
        if self._note in gc.callbacks:
            gc.callbacks.remove(self._note)

    def _note(self, phase: str, _: Mapping[str, Any]) -> None:
        if phase == "start":
            self._begun_s = time.perf_counter()
            return
        pause_s = time.perf_counter() - self._begun_s
        self._recent.append(pause_s)
        self.sum_s += pause_s
        self.count += 1
        self.last_unix_s = unix_ms() / 1000

    def summary(self) -> Summary:
        """Quantiles are of the newest pauses, sum and number of all."""
        ordered = sorted(self._recent)
        last = len(ordered) - 1
        quantiles = tuple((q, ordered[round(q * last)] if ordered else 0.0) for q in _QUANTILES)
        return Summary(quantiles, self.sum_s, self.count)


def process_values(pauses: GcPauses) -> Values:
    """Values of `families.PROCESS` and `families.INTERPRETER`. Cost: some 100 µs."""
    times = os.times()
    fds_open, fds_max = open_descriptors(), descriptor_limit()
    space_max = resource.getrlimit(resource.RLIMIT_AS)[0]
    values: dict[str, Value | Labelled] = {
        "process_cpu_seconds_total": times.user + times.system,
        "process_max_fds": fds_max,
        "os_fd_limit": fds_max,
        "process_start_time_seconds": start_unix_s(),
        "process_virtual_memory_max_bytes": (
            _UNLIMITED if space_max == resource.RLIM_INFINITY else space_max
        ),
        "go_gc_duration_seconds": pauses.summary(),
        "go_goroutines": tasks_and_threads(),
        "go_info": {(f"python{platform.python_version()}",): 1},
        "go_memstats_gc_cpu_fraction": pauses.sum_s / max(unix_ms() / 1000 - start_unix_s(), 1e-9),
        "go_memstats_heap_objects": sys.getallocatedblocks(),
        "go_memstats_last_gc_time_seconds": pauses.last_unix_s,
    }
    if fds_open is not None:
        values |= {"process_open_fds": fds_open, "os_fd_used": fds_open}
    return values | memory_values()


def memory_values() -> dict[str, float]:
    """Values that the system has of memory and threads; empty where it does not tell."""
    status = _status()
    return {name: status[field] for name, field in _FROM_STATUS.items() if field in status}


_FROM_STATUS: Final = {
    "process_resident_memory_bytes": "VmRSS",
    "process_virtual_memory_bytes": "VmSize",
    "go_threads": "Threads",
    "go_memstats_alloc_bytes": "RssAnon",
    "go_memstats_heap_alloc_bytes": "RssAnon",
    "go_memstats_heap_inuse_bytes": "RssAnon",
    "go_memstats_heap_sys_bytes": "VmData",
    "go_memstats_stack_inuse_bytes": "VmStk",
    "go_memstats_stack_sys_bytes": "VmStk",
    "go_memstats_sys_bytes": "VmData",
}


def _status() -> dict[str, int]:
    """Numbers of `/proc/self/status`, in bytes where they are sizes."""
    try:
        text = (_PROC / "status").read_text()
    except OSError:
        return {}
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            found[name] = int(words[0]) * (1024 if words[-1] == "kB" else 1)
    return found


def start_unix_s() -> float:
    """When the process started; when Kvorum was imported, where the system does not tell."""
    try:
        ticks = int((_PROC / "stat").read_text().rpartition(")")[2].split()[19])
        booted = next(
            int(line.split()[1])
            for line in Path("/proc/stat").read_text().splitlines()
            if line.startswith("btime")
        )
    except (OSError, StopIteration):
        return _STARTED_UNIX_S
    return booted + ticks / os.sysconf("SC_CLK_TCK")


def open_descriptors() -> int | None:
    """Open file descriptors; None: the system does not tell."""
    try:
        return len(os.listdir(_PROC / "fd")) - 1  # the one that reads the folder
    except OSError:
        return None


def descriptor_limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def tasks_and_threads() -> int:
    """What stands for goroutines: tasks of the running loop, and threads."""
    try:
        tasks = len(asyncio.all_tasks())
    except RuntimeError:
        tasks = 0
    return tasks + threading.active_count()
