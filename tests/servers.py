"""Real server processes for tests and benchmarks.

    with start_server() as server:
        ...  # server.client_url answers; server.kill9(), server.restart(), server.log_text()

The default kind, `"kvorum"`, is *the server under test*: `python -m kvorum.cli.etcd`, or, when the
environment variable KVORUM_TEST_SERVER names an etcd binary, that one. So every test can be run
against stock etcd, which shows that the test itself is right. `"stock"` is the stock etcd 3.5 of
`tests.stock`; any other kind is the path of an etcd binary.

Everything listens on 127.0.0.1. What was started is stopped by its process id when the `with` block
ends, whatever happened in it.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom

READY_DEADLINE_S = 30.0
STOP_DEADLINE_S = 20.0
POLL_INTERVAL_S = 0.01
LOG_TAIL_CHARS = 4000

# Below Linux's range of ephemeral ports (32768 on): a port of ours is not taken by somebody's
# outgoing connection between a kill and the restart.
_PORT_RANGE = range(12_000, 32_000)

# pytest-randomly seeds the global generator alike in every run: two runs on one machine would draw
# the same ports.
_random = SystemRandom()


class ServerError(Exception):
    """A server process did not do what the test needs of it. The text holds the end of its log."""


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on now."""
    for _ in range(200):
        port = _random.choice(_PORT_RANGE)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerError("no free port found")


def server_command(kind: str = "kvorum") -> list[str]:
    """How to start a server of `kind`, without flags."""
    if kind == "kvorum":
        kind = os.environ.get("KVORUM_TEST_SERVER", "")
        if not kind:
            return [sys.executable, "-m", "kvorum.cli.etcd"]
    if kind == "stock":
        from tests.stock import DIRECTORY_VARIABLE, stock_35  # noqa: PLC0415 - it needs pytest

        folder = stock_35()
        if folder is None:
            raise ServerError(f"no stock etcd 3.5: let {DIRECTORY_VARIABLE} name a folder with it")
        return [str(folder.etcd)]
    return [kind]


def under_test_is_stock() -> bool:
    """True when KVORUM_TEST_SERVER names a binary to prove the tests with."""
    return bool(os.environ.get("KVORUM_TEST_SERVER"))


def server_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without ETCD_*: the caller's shell does not configure the server."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("ETCD_")}
    spec = importlib.util.find_spec("kvorum")
    if spec is not None and spec.submodule_search_locations:
        # pytest may know the package by its own sys.path; the child only by this.
        source = str(Path(spec.submodule_search_locations[0]).parent)
        known = env.get("PYTHONPATH", "")
        env["PYTHONPATH"] = f"{source}{os.pathsep}{known}" if known else source
    env.update(extra or {})
    return env


@dataclass(slots=True, kw_only=True)
class Server:
    """One server process on one data directory. Made by `start_server`."""

    command: list[str]
    name: str
    data_dir: Path
    log_path: Path
    client_port: int
    peer_port: int
    host: str = "127.0.0.1"
    """Address of both."""
    extra_flags: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def client_url(self) -> str:
        return f"http://{self.host}:{self.client_port}"

    @property
    def target(self) -> str:
        """`host:port` of the client listener, as gRPC wants it."""
        return f"{self.host}:{self.client_port}"

    @property
    def peer_url(self) -> str:
        return f"http://{self.host}:{self.peer_port}"

    @property
    def pid(self) -> int:
        if self.process is None:
            raise ServerError("the server has not been started")
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        return None if self.process is None else self.process.poll()

    def flags(self) -> list[str]:
        return [
            f"--name={self.name}",
            f"--data-dir={self.data_dir}",
            f"--listen-client-urls={self.client_url}",
            f"--advertise-client-urls={self.client_url}",
            f"--listen-peer-urls={self.peer_url}",
            f"--initial-advertise-peer-urls={self.peer_url}",
            f"--initial-cluster={self.name}={self.peer_url}",
            *self.extra_flags,
        ]

    def start(self) -> None:
        """Start the process. Does not wait: see `wait_ready` and `wait_exit`."""
        if self.process is not None and self.process.poll() is None:
            raise ServerError(f"{self.name} runs already as process {self.process.pid}")
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, *self.flags()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=server_environment(self.env),
            )

    def wait_ready(self, deadline_s: float = READY_DEADLINE_S) -> None:
        """Return once GET /health is well. Raises ServerError when it exits or stays unwell."""
        give_up = time.monotonic() + deadline_s
        while True:
            if is_healthy(self.client_port, host=self.host):
                return
            if self.returncode is not None:
                raise ServerError(
                    f"exited with {self.returncode} before it was ready{self._tail()}"
                )
            if time.monotonic() > give_up:
                raise ServerError(f"not ready after {deadline_s} s{self._tail()}")
            time.sleep(POLL_INTERVAL_S)

    def wait_exit(self, deadline_s: float = STOP_DEADLINE_S) -> int:
        """The exit code, once the process has ended by itself."""
        assert self.process is not None
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise ServerError(f"still runs after {deadline_s} s{self._tail()}") from None

    def kill9(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        self._signal(signal.SIGKILL)

    def terminate(self, deadline_s: float = STOP_DEADLINE_S) -> int:
        """SIGTERM; returns the exit code (negative: died of that signal)."""
        return self._signal(signal.SIGTERM, deadline_s)

    def restart(self, *, wait: bool = True, deadline_s: float = READY_DEADLINE_S) -> None:
        """Start again on the same directory and ports; terminates it first where it still runs."""
        if self.returncode is None and self.process is not None:
            self.terminate()
        self.start()
        if wait:
            self.wait_ready(deadline_s)

    def stop(self) -> None:
        """End the process in any way that works."""
        if self.process is None or self.process.poll() is not None:
            return
        try:
            self.terminate()
        except ServerError:
            self.kill9()

    def log_text(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def memory_bytes(self) -> int:
        """Resident memory (VmRSS) of the process and of its children."""
        return sum(_resident_bytes(pid) for pid in (self.pid, *_descendants(self.pid)))

    def _signal(self, number: signal.Signals, deadline_s: float = STOP_DEADLINE_S) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait_exit(deadline_s)

    def _tail(self) -> str:
        return f"; end of its log:\n{self.log_text()[-LOG_TAIL_CHARS:]}"


def is_healthy(port: int, *, host: str = "127.0.0.1", timeout_s: float = 1.0) -> bool:
    """Whether GET /health on `host`:`port` answers `"health":"true"`."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", "/health")
        body = connection.getresponse().read()
        return bool(json.loads(body).get("health") == "true")
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def start_server(
    kind: str = "kvorum",
    *,
    data_dir: Path | None = None,
    name: str = "m1",
    extra_flags: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    client_port: int | None = None,
    peer_port: int | None = None,
    wait: bool = True,
    deadline_s: float = READY_DEADLINE_S,
) -> Iterator[Server]:
    """A running server; stopped, and what it made removed, when the block ends.

    Args:
        kind: see the module's docstring.
        data_dir: kept after the block when given; else a new one, removed with its log.
        extra_flags: come last, so they override ours.
        env: more environment variables of the process.
        wait: False returns at once after the start, for servers that are meant to fail.
        deadline_s: how long it may take to become ready.
    """
    folder = Path(tempfile.mkdtemp(prefix="kvorum-server-"))
    server = Server(
        command=server_command(kind),
        name=name,
        data_dir=folder / "data" if data_dir is None else Path(data_dir),
        log_path=folder / "log",
        client_port=client_port or free_port(),
        peer_port=peer_port or free_port(),
        extra_flags=list(extra_flags),
        env=dict(env or {}),
    )
    try:
        server.start()
        if wait:
            server.wait_ready(deadline_s)
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _resident_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0  # ended meanwhile
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0  # a zombie has no memory


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, tasks.read_text().split()):
                found += [child, *_descendants(child)]
    return found
