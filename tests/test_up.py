"""What `make up` runs: a cluster of three that says how to use it, and keeps its data."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc

from tests.robustness.calls import Calls
from tests.servers import free_port, is_healthy, server_environment

KVORUM = (sys.executable, "-m", "kvorum.cli.kvorum", "local-cluster")
END_S_MAX = 60
ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def run_up(folder: Path, ports: Sequence[int]) -> Iterator[subprocess.Popen[str]]:
    """`make up` on other ports; the command is compared with the Makefile's below.

    The programs are not on the PATH, as for somebody who has not activated the environment.
    """
    clients, peers = (",".join(map(str, some)) for some in (ports[:3], ports[3:]))
    process = subprocess.Popen(
        [*KVORUM, f"--folder={folder}", f"--client-ports={clients}", f"--peer-ports={peers}"],
        env=server_environment({"PATH": "/usr/bin:/bin"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(END_S_MAX)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def act(folder: Path, *words: str) -> str:
    """An action on the cluster, from another terminal."""
    done = subprocess.run(
        [*KVORUM, f"--folder={folder}", *words],
        env=server_environment(),
        capture_output=True,
        text=True,
        timeout=END_S_MAX,
        check=False,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


def read_welcome(up: subprocess.Popen[str]) -> str:
    """What is printed when all members serve."""
    assert up.stdout is not None
    lines = []
    for line in up.stdout:
        lines.append(line)
        if "Ctrl-C stops" in line:
            return "".join(lines)
    assert up.stderr is not None
    raise AssertionError(up.stderr.read())


def refusal(up: subprocess.Popen[str]) -> str:
    """What a start that is refused says of it; it says nothing else."""
    output, errors = up.communicate(timeout=END_S_MAX)
    assert (up.returncode, output) == (1, "")
    return errors


def command_line(pid: str) -> str:
    """Of a process; empty when it is gone, or waits for its parent to notice that it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def put(port: int, key: bytes) -> None:
    """Write a key; again, if the leader was lost on the way."""
    give_up = time.monotonic() + END_S_MAX
    with Calls(f"127.0.0.1:{port}") as calls:
        while True:
            try:
                calls.put(key, b"v")
                return
            except grpc.RpcError:
                assert time.monotonic() < give_up


def has(port: int, key: bytes) -> bool:
    with Calls(f"127.0.0.1:{port}") as calls:
        return bool(calls.get(key).count)


def test_the_makefile_runs_what_is_tested_here() -> None:
    text = (ROOT / "Makefile").read_text()
    assert "kvorum local-cluster --folder=$(DATA) --client-ports=$(PORTS)" in text
    assert "PORTS ?= 2379,22379,32379" in text
    assert 'kvorum = "kvorum.cli.kvorum:main"' in (ROOT / "pyproject.toml").read_text()


def test_it_tells_how_to_talk_to_it_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(6)]
    for _ in range(2):  # the second time on the data of the first
        with run_up(tmp_path, ports) as up:
            told = read_welcome(up)
            assert told.startswith("Kvorum is ready: 3 members ")
            assert all(is_healthy(port) for port in ports[:3])
            put(ports[0], b"k")
            up.send_signal(signal.SIGINT)
            assert up.stdout is not None
            rest = up.stdout.read()
            assert up.wait(END_S_MAX) == 0
        endpoints = ",".join(f"http://127.0.0.1:{port}" for port in ports[:3])
        assert f"export ETCDCTL_ENDPOINTS={endpoints}\n" in told
        assert f"export PATH={Path(sys.executable).parent}:$PATH\n" in told
        for action in ("kill 2", "restart 2", "replace 2", "status"):
            assert f"kvorum local-cluster --folder={tmp_path} {action}" in told
        assert rest.endswith("Stopped.\n")
        assert not any(is_healthy(port) for port in ports[:3])
    assert (tmp_path / "m1" / "member" / "wal").is_dir()


def test_a_member_is_killed_and_started_again_and_replaced_from_another_terminal(
    tmp_path: Path,
) -> None:
    ports = [free_port() for _ in range(6)]
    with run_up(tmp_path, ports) as up:
        read_welcome(up)
        put(ports[0], b"before")
        assert act(tmp_path, "kill", "2") == "m2 was killed\n"
        put(ports[2], b"without m2")
        states = act(tmp_path, "status").splitlines()
        assert [" stopped" in line for line in states] == [False, True, False]
        assert sum(" leader " in line for line in states) == 1

        assert act(tmp_path, "restart", "2").startswith("m2 serves again on ")
        assert has(ports[1], b"without m2")

        told = act(tmp_path, "replace", "3")
        assert re.search(r"ETCDCTL_ENDPOINTS=\S+ etcdctl member remove [0-9a-f]+\n", told)
        assert f"member add m3 --peer-urls=http://127.0.0.1:{ports[5]}\n" in told
        assert has(ports[2], b"before")
        put(ports[2], b"by the new one")
        assert has(ports[0], b"by the new one")
        assert "ready to serve client requests" in act(tmp_path, "logs", "3")
        assert act(tmp_path, "stop", "1") == "m1 has stopped\n"
    pids = [path.read_text() for path in tmp_path.glob("*.pid")]
    assert len(pids) == 3
    assert not any(str(tmp_path) in command_line(pid) for pid in pids)


def test_a_second_start_in_the_same_folder_is_refused_and_stops_nobody(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(6)]
    with run_up(tmp_path, ports) as up:
        read_welcome(up)
        with run_up(tmp_path, ports) as second:
            errors = refusal(second)
        assert errors.startswith(f"Error: the cluster in {tmp_path} is running: m1 is process ")
        assert all(is_healthy(port) for port in ports[:3])


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = [port, *(free_port() for _ in range(5))]
        with run_up(tmp_path, ports) as up:
            errors = refusal(up)
    assert errors.startswith(f"Error: port {port} of 127.0.0.1 cannot be had")


def test_a_member_that_does_not_start_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(6)]
    with run_up(tmp_path, ports) as up:
        read_welcome(up)
    with socket.create_server(("127.0.0.1", ports[1])), run_up(tmp_path, ports) as up:
        errors = refusal(up)
    assert errors.startswith("Error: m2 did not start. The end of ")
    assert "address already in use" in errors
    assert not any(is_healthy(port) for port in ports[:3])
