"""What `make up` runs: it says when it is ready, stops on Ctrl-C, and keeps the data."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.servers import free_port, is_healthy, server_environment

UP = Path(__file__).parents[1] / "tools" / "up.py"
END_S_MAX = 30


@contextlib.contextmanager
def run_up(folder: Path, client_port: int, peer_port: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, str(UP), str(folder), str(client_port), str(peer_port)],
        env=server_environment(),
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


def test_it_tells_how_to_talk_to_it_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    client_port, peer_port = free_port(), free_port()
    for _ in range(2):  # the second time on the data of the first
        with run_up(tmp_path, client_port, peer_port) as up:
            assert up.stdout is not None
            first = up.stdout.readline()
            assert first.startswith(f"Kvorum is ready on http://127.0.0.1:{client_port} ")
            assert is_healthy(client_port)
            up.send_signal(signal.SIGINT)
            rest = up.stdout.read()
            assert up.wait(END_S_MAX) == 0
        assert f"etcdctl --endpoints=http://127.0.0.1:{client_port} put greeting hello" in rest
        assert rest.endswith("Stopping.\n")
        assert not is_healthy(client_port)
    assert (tmp_path / "data" / "member" / "wal").is_dir()


def test_a_port_in_use_is_told_with_the_end_of_the_log(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        run_up(tmp_path, taken.getsockname()[1], free_port()) as up,
    ):
        assert up.stdout is not None
        assert up.stderr is not None
        output, errors = up.stdout.read(), up.stderr.read()
        assert up.wait(END_S_MAX) == 1
    assert output == ""
    assert errors.startswith("The member did not start.")
    assert "address already in use" in errors
