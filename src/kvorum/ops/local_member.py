"""One member of a cluster on this machine: a process, its folder and its log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
READY_LINE = b'"msg":"ready to serve client requests"'
STOP_S_MAX = 20.0
POLL_S = 0.02
LOG_TAIL_LINES = 5
LOG_LINE_CHARS = 500


class LocalClusterError(Exception):
    """What was asked of a cluster on this machine cannot be done; the text says why."""


@dataclass(slots=True)
class LocalMember:
    """One member. Everything but the process itself is kept in the cluster's file.

    Whether it runs is told by a file with the process id, so that any program on this machine can
    stop what another one has started.
    """

    folder: Path
    """Of the cluster; the member's own are below."""
    name: str
    client_port: int
    peer_port: int
    initial_cluster: str = ""
    initial_cluster_state: str = "new"
    extra_flags: tuple[str, ...] = ()

    @classmethod
    def from_record(cls, folder: Path, record: dict[str, Any]) -> LocalMember:
        flags = tuple(record.pop("extra_flags"))
        return cls(folder=folder, extra_flags=flags, **record)

    def record(self) -> dict[str, Any]:
        """What is kept of it."""
        fields = asdict(self)
        del fields["folder"]
        return fields

    @property
    def client_url(self) -> str:
        return f"http://{HOST}:{self.client_port}"

    @property
    def peer_url(self) -> str:
        return f"http://{HOST}:{self.peer_port}"

    @property
    def data_dir(self) -> Path:
        return self.folder / self.name

    @property
    def log_path(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def _pid_path(self) -> Path:
        return self.folder / f"{self.name}.pid"

    def command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "kvorum.cli.etcd",
            f"--name={self.name}",
            f"--data-dir={self.data_dir}",
            f"--listen-client-urls={self.client_url}",
            f"--advertise-client-urls={self.client_url}",
            f"--listen-peer-urls={self.peer_url}",
            f"--initial-advertise-peer-urls={self.peer_url}",
            f"--initial-cluster={self.initial_cluster}",
            f"--initial-cluster-state={self.initial_cluster_state}",
            f"--log-outputs={self.log_path}",
            *self.extra_flags,
        ]

    def pid(self) -> int | None:
        """The id of its process; None when it does not run."""
        try:
            pid = int(self._pid_path.read_text())
            # The id may be somebody else's by now.
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if f"--data-dir={self.data_dir}".encode() in words else None

    def start(self) -> Starting:
        """Start the process.

        Raises:
            LocalClusterError: it runs already.
        """
        if self.pid() is not None:
            raise LocalClusterError(f"{self.name} runs already")
        log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        # A session of its own: Ctrl-C reaches who started it alone, and that one stops it in order.
        with self.log_path.open("ab") as log:
            process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._pid_path.write_text(str(process.pid))
        return Starting(self, process, log_start)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process.

        Raises:
            LocalClusterError: it does not run.
        """
        pid = self.pid()
        if pid is None:
            raise LocalClusterError(f"{self.name} does not run")
        os.kill(pid, number)

    def wait_gone(self) -> None:
        """Return when its process has ended; SIGKILL after 20 s."""
        give_up = time.monotonic() + STOP_S_MAX
        while (pid := self.pid()) is not None:
            if time.monotonic() > give_up:
                os.kill(pid, signal.SIGKILL)
            time.sleep(POLL_S)

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> list[str]:
        if not self.log_path.exists():
            return []
        return self.log_path.read_text(errors="replace").splitlines()[-lines:]


@dataclass(slots=True)
class Starting:
    """A member that was just started. Its process is a child of ours, to be waited for."""

    member: LocalMember
    process: subprocess.Popen[bytes]
    log_start: int

    def is_ready(self) -> bool:
        """Whether its log says so. Asking the port would not do: another program may answer there.

        Raises:
            LocalClusterError: it has ended.
        """
        member = self.member
        if self.process.poll() is not None:
            tail = "\n".join(f"  {line[:LOG_LINE_CHARS]}" for line in member.log_tail())
            raise LocalClusterError(
                f"{member.name} did not start. The end of {member.log_path}:\n{tail}"
            )
        return READY_LINE in member.log_path.read_bytes()[self.log_start :]


def wait_ready(starting: Sequence[Starting], timeout_s: float) -> None:
    """Return when all are ready.

    Raises:
        LocalClusterError: one has ended, or it takes too long.
    """
    give_up = time.monotonic() + timeout_s
    waiting = list(starting)
    while waiting := [one for one in waiting if not one.is_ready()]:
        if time.monotonic() > give_up:
            names = ", ".join(one.member.name for one in waiting)
            raise LocalClusterError(f"not ready after {timeout_s:g} s: {names}")
        time.sleep(POLL_S)
