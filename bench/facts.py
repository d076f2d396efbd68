"""What a reader must know to judge a result: machine, versions, load. No host names, no paths."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import urllib.request
from pathlib import Path

from tests.servers import Server


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30))


def go_version() -> str:
    answer = subprocess.run(["go", "version"], capture_output=True, text=True, check=False)
    return answer.stdout.split()[2] if answer.returncode == 0 else "none"


def server_version(server: Server) -> str:
    with urllib.request.urlopen(f"{server.client_url}/version", timeout=5) as answer:
        return str(json.load(answer)["etcdserver"])


def machine_facts() -> dict[str, str]:
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": f"{os.cpu_count()} cores of {cpu_model()}",
        "memory": f"{memory_gib()} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "go": go_version(),
        "load before the run (1 min)": f"{os.getloadavg()[0]:.2f}",
    }
