"""The commands of the operators' documents, run as real processes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.servers import server_command, server_environment
from tests.stock import stock_34, stock_35

DEADLINE_S = 30.0
POLL_S = 0.02
LOG_TAIL_CHARS = 4000
DOCS = Path(__file__).parents[2] / "docs"

OURS = (sys.executable, "-m", "kvorum.cli.etcdctl")

# Not the global generator: pytest-randomly seeds it alike in every run.
_random = random.SystemRandom()


def clients() -> dict[str, tuple[str, ...]]:
    """Every etcdctl there is: ours, and stock's where present."""
    found = {"ours": OURS}
    for name, folder in (("stock 3.5", stock_35()), ("stock 3.4", stock_34())):
        if folder is not None:
            found[name] = (str(folder.etcdctl),)
    return found


CLIENTS = clients()


def etcdctl(
    *arguments: str,
    client: Sequence[str] = OURS,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """One run of an etcdctl; nothing is said about its exit code."""
    environment = {k: v for k, v in server_environment().items() if not k.startswith("ETCDCTL_")}
    done = subprocess.run(
        [*client, *arguments],
        input=stdin,
        capture_output=True,
        env=environment | {"ETCDCTL_API": "3"} | dict(env or {}),
        timeout=DEADLINE_S,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def output_of(*arguments: str, client: Sequence[str] = OURS, **more: bytes) -> str:
    """The standard output of an etcdctl that must succeed."""
    done = etcdctl(*arguments, client=client, **more)  # type: ignore[arg-type]
    assert done.returncode == 0, (done.args, done.stdout, done.stderr)
    return done.stdout


def own_address() -> str:
    """An address of this machine's loopback that no other program uses: all its ports are free."""
    return f"127.{_random.randrange(1, 255)}.{_random.randrange(256)}.{_random.randrange(1, 255)}"


def get(address: str, path: str, port: int = 2379) -> tuple[int, str]:
    """Status and body of a plain HTTP request."""
    connection = http.client.HTTPConnection(address, port, timeout=DEADLINE_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def is_well(address: str, port: int = 2379) -> bool:
    try:
        return bool(json.loads(get(address, "/health", port)[1]).get("health") == "true")
    except (OSError, http.client.HTTPException, ValueError):
        return False


def wait_until(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    give_up = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < give_up, f"not within {deadline_s} s: {what}"
        time.sleep(POLL_S)


def script_of(page: str, program: Path) -> Path:
    """The one shell script on a page of docs/, as a program that can be run."""
    text = (DOCS / page).read_text()
    (script,) = re.findall(r"```sh\n(#!/bin/sh\n.*?)```", text, re.DOTALL)
    program.write_text(script)
    program.chmod(0o755)
    return program


def path_with_etcdctl(folder: Path) -> str:
    """A PATH on which our etcdctl comes first."""
    folder.mkdir()
    program = folder / "etcdctl"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m kvorum.cli.etcdctl "$@"\n')
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@contextlib.contextmanager
def running_etcd(
    folder: Path,
    flags: Sequence[str],
    *,
    address: str,
    port: int = 2379,
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """`etcd` with exactly these flags, run in `folder`; it is well when the block begins."""
    log_path = folder / "log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*server_command(), *flags],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=server_environment(env),
        )
    try:
        wait_until(
            lambda: is_well(address, port) or process.poll() is not None, "the member is well"
        )
        assert process.poll() is None, log_path.read_text()[-LOG_TAIL_CHARS:]
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(DEADLINE_S)
