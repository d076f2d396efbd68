"""`snapshot save`, of stock etcdctl and ours, from stock and Kvorum: files that all can use."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest

from kvorum.client import Client
from kvorum.ops.hashkv import file_hash_kv
from kvorum.proto.kv_pb2 import KeyValue
from kvorum.storage.bbolt import BoltFile
from tests.interop.backups import run, seen, stock_restore, stock_status
from tests.servers import Server, server_environment, start_server
from tests.stock import BinDir, require_stock_34, require_stock_35, start_stock_etcd

DEADLINE_S = 60.0
VALUE = b"v" * 3_000

Stocks = pytest.mark.parametrize("stock", [require_stock_35, require_stock_34], ids=["3.5", "3.4"])


def save_command(url: str, path: Path) -> list[str]:
    program = [sys.executable, "-m", "kvorum.cli.etcdctl"]
    return [*program, f"--endpoints={url}", "snapshot", "save", str(path)]


def ours(url: str, path: Path) -> None:
    done = subprocess.run(
        save_command(url, path),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env=server_environment({}),
    )
    assert done.returncode == 0, done.stderr


async def put_many(url: str, count: int, prefix: bytes = b"k", size: int = 300) -> None:
    async with Client([url]) as client:
        for start in range(0, count, 100):
            await asyncio.gather(
                *(
                    client.kv.put(prefix + b"%05d" % n, b"%d" % n * (size // 5))
                    for n in range(start, min(count, start + 100))
                )
            )


def workers_of(server: Server) -> list[str]:
    """Command lines of the processes that the server has started."""
    found = []
    for tasks in Path(f"/proc/{server.pid}/task").glob("*/children"):
        for pid in tasks.read_text().split():
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if b"snapshot_worker" in command:
                found.append(command.decode())
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@Stocks
def test_stock_etcdctl_saves_from_us_and_stock_goes_on_from_it(
    stock: Callable[[], BinDir], tmp_path: Path
) -> None:
    tools, path = stock(), tmp_path / "s.db"
    with start_server() as server:
        asyncio.run(put_many(server.client_url, 1_500))
        done = run(tools.etcdctl, f"--endpoints={server.client_url}", "snapshot", "save", path)
        assert done.stdout == f"Snapshot saved at {path}\n"
        before = seen(server.client_url)
        again = tmp_path / "again.db"
        ours(server.client_url, again)
    assert stock_status(path) == stock_status(again)
    stock_restore(tools, path, tmp_path / "restored", "stock", "http://127.0.0.1:1")
    with start_stock_etcd(tools, data_dir=tmp_path / "restored") as member:
        assert seen(member.client_url) == before


@Stocks
def test_our_etcdctl_saves_from_stock_what_stocks_saves(
    stock: Callable[[], BinDir], tmp_path: Path
) -> None:
    tools, path, other = stock(), tmp_path / "ours.db", tmp_path / "stocks.db"
    with start_stock_etcd(tools) as member:
        asyncio.run(put_many(member.client_url, 400))
        ours(member.client_url, path)
        run(tools.etcdctl, f"--endpoints={member.client_url}", "snapshot", "save", other)
    assert stock_status(path) == stock_status(other)
    assert path.stat().st_size == other.stat().st_size


def test_what_was_acknowledged_before_the_call_is_in_it(tmp_path: Path) -> None:
    """Four writers; each remembers its last acknowledged key at the moment of the call."""
    acknowledged = [0] * 4
    stop = threading.Event()

    async def write(url: str, number: int) -> None:
        async with Client([url]) as client:
            while not stop.is_set():
                n = acknowledged[number] + 1
                await client.kv.put(b"w%d/%06d" % (number, n), VALUE)
                acknowledged[number] = n

    async def write_all(url: str) -> None:
        await asyncio.gather(*(write(url, number) for number in range(4)))

    with start_server() as server:
        writers = threading.Thread(target=lambda: asyncio.run(write_all(server.client_url)))
        writers.start()
        try:
            for round_number in range(3):
                wait_until(lambda least=50 * round_number: min(acknowledged) > least)
                before = list(acknowledged)
                path = tmp_path / f"{round_number}.db"
                ours(server.client_url, path)
                assert min(acknowledged) > min(before)  # they were not held up
                check_holds_all(path, before)
        finally:
            stop.set()
            writers.join()


def check_holds_all(path: Path, before: list[int]) -> None:
    """Every key up to the noted ones is there, and revisions have no gap."""
    with BoltFile.open(path) as file:
        assert file.check() == []
        rows = list(chain.from_iterable(file.rows(b"key")))
    values = [KeyValue.FromString(value) for _, value in rows]
    revisions = [value.mod_revision for value in values]
    assert revisions == list(range(2, 2 + len(revisions)))
    keys = {value.key for value in values}
    for number, count in enumerate(before):
        assert {b"w%d/%06d" % (number, n) for n in range(1, count + 1)} <= keys


def test_a_snapshot_beside_a_compaction_is_consistent(tmp_path: Path) -> None:
    with start_server(extra_flags=["--experimental-compaction-batch-limit=50"]) as server:
        for _ in range(3):
            asyncio.run(put_many(server.client_url, 1_000, size=1_000))
        url = server.client_url
        wanted = seen(url)
        etcdctl = require_stock_35().etcdctl
        run(etcdctl, f"--endpoints={url}", "compaction", "2500")
        paths = [tmp_path / f"{n}.db" for n in range(3)]
        for path in paths:
            ours(url, path)
        hashed = seen(url)
    assert hashed.keys == wanted.keys
    for path in paths:
        with BoltFile.open(path) as file:
            assert file.check() == []
        assert file_hash_kv(path, hashed.revision).hash == hashed.hash_kv


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_client_that_goes_away_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    with start_server() as server:
        asyncio.run(put_many(server.client_url, 300, size=400_000))
        path = tmp_path / "s.db"
        process = subprocess.Popen(
            save_command(server.client_url, path),
            stderr=subprocess.DEVNULL,
            env=server_environment({}),
        )
        try:
            wait_until(lambda: bool(workers_of(server)))
            process.send_signal(number)
            assert process.wait(DEADLINE_S) == -number
        finally:
            process.kill()
        wait_until(lambda: not workers_of(server))
        if number is signal.SIGINT:
            assert os.listdir(tmp_path) == []
        ours(server.client_url, path)
    assert stock_status(path)["totalKey"] > 300


def test_a_member_that_is_killed_takes_its_worker_with_it(tmp_path: Path) -> None:
    with start_server() as server:
        asyncio.run(put_many(server.client_url, 200, size=400_000))
        process = subprocess.Popen(
            save_command(server.client_url, tmp_path / "s.db"),
            stderr=subprocess.PIPE,
            env=server_environment({}),
        )
        wait_until(lambda: bool(workers_of(server)))
        (command,) = workers_of(server)
        server.kill9()
        with process:
            assert process.wait(DEADLINE_S) == 5
        assert os.listdir(tmp_path) == []
        wait_until(lambda: not running_with(command))
        server.restart()
        ours(server.client_url, tmp_path / "s.db")


def running_with(command: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().decode(errors="replace") == command:
                return True
        except OSError:
            continue
    return False
