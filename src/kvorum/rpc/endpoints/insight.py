"""`/debug/vars`, and `/debug/pprof/` with `--enable-pprof`.

pprof is Go's. Under its paths is what Python has instead: `goroutine` shows the stacks of all
threads and tasks, `profile` samples stacks and gives them in collapsed form (for flame graphs).
What Python cannot give is refused with 501 and the reason.

Source: `/debug/vars` of 3.5.1, as Go's expvar writes it.
"""

from __future__ import annotations

import asyncio
import io
import json
import math
import sys
import threading
import time
import traceback
from collections import Counter
from types import FrameType
from typing import Any, Final

from kvorum.rpc.endpoints.answers import HTML, NOSNIFF, as_json, error, moved, not_allowed
from kvorum.rpc.http import TEXT, HttpRequest, HttpResponse
from kvorum.rpc.metrics.process import GcPauses, descriptor_limit, memory_values
from kvorum.server.ports import ProbePort

JSON_UTF8: Final = "application/json; charset=utf-8"
PPROF: Final = "/debug/pprof"
PROFILE_S_DEFAULT: Final = 30.0
PROFILE_S_MAX: Final = 300.0
SAMPLE_S: Final = 0.01
NS_PER_S: Final = 1_000_000_000

_NOT_HERE: Final = {
    "allocs": "Python does not record allocations; run the member under memray instead",
    "heap": "Python does not record allocations; run the member under memray instead",
    "block": "Python does not record waiting",
    "mutex": "Python does not record waiting",
    "threadcreate": "Python does not record where threads were made; see goroutine",
    "trace": "Python has no execution tracer; see profile, or py-spy",
    "symbol": "stacks have their names already",
}
_SHOWN: Final = {
    "cmdline": "the command line",
    "goroutine": "stacks of all threads and tasks",
    "profile": "stacks sampled for ?seconds=30, in collapsed form",
}


def debug_vars(request: HttpRequest, server: ProbePort, pauses: GcPauses) -> HttpResponse:
    """Answer `/debug/vars`."""
    if request.method != "GET":
        return not_allowed("GET")
    parts = {
        "cmdline": command_line(),
        "file_descriptor_limit": descriptor_limit(),
        "memstats": _memory(pauses),
        "raft.status": server.raft_status(),
    }
    lines = (f"{json.dumps(name)}: {as_json(value).decode()}" for name, value in parts.items())
    return HttpResponse(200, ("{\n" + ",\n".join(lines) + "\n}\n").encode(), JSON_UTF8)


def command_line() -> list[str]:
    return list(sys.orig_argv)


def _memory(pauses: GcPauses) -> dict[str, Any]:
    """Go's names for what Python has of it; see `metrics.families.INTERPRETER`."""
    values = memory_values()
    return {
        "Alloc": values.get("go_memstats_alloc_bytes", 0),
        "Sys": values.get("go_memstats_sys_bytes", 0),
        "HeapAlloc": values.get("go_memstats_heap_alloc_bytes", 0),
        "HeapSys": values.get("go_memstats_heap_sys_bytes", 0),
        "HeapInuse": values.get("go_memstats_heap_inuse_bytes", 0),
        "HeapObjects": sys.getallocatedblocks(),
        "StackInuse": values.get("go_memstats_stack_inuse_bytes", 0),
        "StackSys": values.get("go_memstats_stack_sys_bytes", 0),
        "LastGC": round(pauses.last_unix_s * NS_PER_S),
        "PauseTotalNs": round(pauses.sum_s * NS_PER_S),
        "NumGC": pauses.count,
        "EnableGC": True,
        "DebugGC": False,
    }


class Pprof:
    """Answers what is below `/debug/pprof`."""

    def __init__(self) -> None:
        self._profiling = False

    async def answer(self, request: HttpRequest, path: str) -> HttpResponse:
        if path == PPROF:
            return moved(f"{PPROF}/", request.method)
        name = path.removeprefix(f"{PPROF}/")
        if not name:
            return _index()
        if name == "cmdline":
            return _text("\0".join(command_line()))
        if name == "goroutine":
            return _text(all_stacks())
        if name == "profile":
            return await self._profile(request)
        if name in _NOT_HERE:
            return error(501, f"{name}: {_NOT_HERE[name]}")
        return error(404, "Unknown profile", ("x-go-pprof", "1"))

    async def _profile(self, request: HttpRequest) -> HttpResponse:
        try:
            wait_s = float(request.query.get("seconds", [str(PROFILE_S_DEFAULT)])[0])
        except ValueError:
            wait_s = math.nan
        if not 0 < wait_s <= PROFILE_S_MAX:
            return error(400, f"seconds must be a number above 0, at most {PROFILE_S_MAX:g}")
        if self._profiling:
            return error(503, "another profile is being taken")
        self._profiling = True
        over = threading.Event()
        try:
            return _text(await asyncio.to_thread(sampled_stacks, wait_s, over))
        finally:
            over.set()  # the client may have left
            self._profiling = False


def _text(text: str) -> HttpResponse:
    return HttpResponse(200, text.encode(), TEXT, (NOSNIFF,))


def _index() -> HttpResponse:
    rows = "".join(
        f'<li><a href="{name}">{name}</a>: {text}</li>\n' for name, text in _SHOWN.items()
    )
    page = (
        f"<html>\n<head><title>{PPROF}/</title></head>\n<body>\n<ul>\n{rows}</ul>\n</body></html>\n"
    )
    return HttpResponse(200, page.encode(), HTML, (NOSNIFF,))


def all_stacks() -> str:
    """The stack of every thread, and where every task of the running loop waits."""
    out = io.StringIO()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        out.write(f"thread {names.get(ident, ident)}:\n")
        out.write("".join(traceback.format_stack(frame)))
        out.write("\n")
    for task in asyncio.all_tasks():
        out.write(f"task {task.get_name()}:\n")
        task.print_stack(file=out)
        out.write("\n")
    return out.getvalue()


def sampled_stacks(wait_s: float, over: threading.Event) -> str:
    """Stacks of all threads but this one, seen every `SAMPLE_S` for `wait_s`, with their counts.

    Python's own view: what waits in a system call or in C is seen as the line that called it.
    """
    own = threading.get_ident()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    seen: Counter[str] = Counter()
    end_s = time.monotonic() + wait_s
    while not over.wait(SAMPLE_S) and time.monotonic() < end_s:
        for ident, frame in sys._current_frames().items():
            if ident != own:
                seen[f"{names.get(ident, ident)};{_collapsed(frame)}"] += 1
    return "".join(f"{stack} {count}\n" for stack, count in seen.most_common())


def _collapsed(frame: FrameType | None) -> str:
    parts = []
    while frame is not None:
        code = frame.f_code
        parts.append(f"{code.co_qualname} ({code.co_filename.rpartition('/')[2]})")
        frame = frame.f_back
    return ";".join(reversed(parts))
