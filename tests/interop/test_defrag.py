"""Online defragmentation: what clients, stock's and ours, see of it, and what it leaves."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import grpc
import pytest

from kvorum.storage.lmdb_file import LmdbFile
from tests.robustness.calls import Calls
from tests.runbook.commands import CLIENTS, etcdctl, output_of
from tests.servers import Server, start_server, under_test_is_stock

KEYS = 60
VALUE = b"x" * 40_000
VERSIONS = 6
HEALTH = "/grpc.health.v1.Health"
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


def fill(server: Server) -> None:
    """Put keys again and again, and compact: most of the database is free then."""
    with Calls(server.target) as calls:
        for version in range(VERSIONS):
            for number in range(KEYS):
                revision = calls.put(b"k/%d" % number, b"%d" % version + VALUE).header.revision
    output_of(f"--endpoints={server.target}", "compact", "--physical", str(revision))


def sizes(server: Server) -> tuple[int, int]:
    told = output_of(f"--endpoints={server.target}", "endpoint", "status", "-w", "json")
    status = json.loads(told)[0]["Status"]
    return status["dbSize"], status["dbSizeInUse"]


def all_keys(server: Server) -> str:
    return output_of(f"--endpoints={server.target}", "get", "", "--prefix", "-w", "fields")


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_the_database_shrinks_and_keeps_what_is_in_it(client: tuple[str, ...]) -> None:
    with start_server() as server:
        fill(server)
        at = f"--endpoints={server.target}"
        before, keys = sizes(server), all_keys(server)
        hashes = output_of(at, "endpoint", "hashkv")
        assert output_of(at, "defrag", client=client) == (
            f"Finished defragmenting etcd member[{server.target}]\n"
        )
        size, in_use = sizes(server)
        assert size < before[0] / 3
        assert size - in_use < 100_000
        assert all_keys(server) == keys
        assert output_of(at, "endpoint", "hashkv") == hashes
        output_of(at, "put", "after", "1")
        server.kill9()
        server.restart()
        assert output_of(at, "get", "after") == "after\n1\n"
        assert output_of(at, "get", "k/7").startswith("k/7\n5x")
        server.stop()
        if not under_test_is_stock():
            with LmdbFile.open(server.data_dir / "member" / "snap" / "db") as file:
                assert file.check() == []


def test_nobody_waits_while_it_goes_on() -> None:
    with start_server() as server:
        fill(server)
        stop = threading.Event()
        failures: list[BaseException] = []
        put: list[int] = []

        def write() -> None:
            with Calls(server.target) as calls:
                while not stop.is_set():
                    try:
                        calls.put(b"busy/%d" % len(put), b"v")
                    except grpc.RpcError as error:
                        failures.append(error)
                        return
                    put.append(1)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            for _ in range(5):
                output_of(f"--endpoints={server.target}", "defrag")
        finally:
            stop.set()
            thread.join()
        assert not failures
        at = f"--endpoints={server.target}"
        count = output_of(at, "get", "busy/", "--prefix", "--count-only", "-w", "fields")
        assert f'"Count" : {len(put)}\n' in count
        assert not list((server.data_dir / "member" / "snap").glob("db.tmp*"))


def test_a_snapshot_that_is_being_saved_is_of_the_old_file(tmp_path: Path) -> None:
    with start_server() as server:
        fill(server)
        at = f"--endpoints={server.target}"
        done: list[int] = []

        def save(number: int) -> None:
            saved = etcdctl(at, "snapshot", "save", str(tmp_path / str(number)))
            done.append(saved.returncode)

        threads = [threading.Thread(target=save, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            output_of(at, "defrag")
        for thread in threads:
            thread.join()
        assert done == [0, 0, 0]


def test_calls_at_the_same_time_all_succeed() -> None:
    with start_server() as server:
        fill(server)
        codes: list[int] = []

        def defrag() -> None:
            codes.append(etcdctl(f"--endpoints={server.target}", "defrag").returncode)

        threads = [threading.Thread(target=defrag) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert codes == [0, 0, 0, 0]


def test_health_says_so_where_the_gate_is_on() -> None:
    flags = ("--feature-gates=StopGRPCServiceOnDefrag=true",)
    with start_server(extra_flags=flags) as server, grpc.insecure_channel(server.target) as channel:
        told: list[bytes] = []
        watch = channel.unary_stream(f"{HEALTH}/Watch")(b"")
        thread = threading.Thread(target=lambda: _collect(watch, told))
        thread.start()
        _wait(lambda: told == [SERVING])
        output_of(f"--endpoints={server.target}", "defrag")
        _wait(lambda: told == [SERVING, NOT_SERVING, SERVING])
        assert channel.unary_unary(f"{HEALTH}/Check")(b"") == SERVING
        watch.cancel()
        thread.join()


def test_health_stays_as_it_is_without_the_gate() -> None:
    with start_server() as server, grpc.insecure_channel(server.target) as channel:
        told: list[bytes] = []
        watch = channel.unary_stream(f"{HEALTH}/Watch")(b"")
        thread = threading.Thread(target=lambda: _collect(watch, told))
        thread.start()
        _wait(lambda: told == [SERVING])
        output_of(f"--endpoints={server.target}", "defrag")
        watch.cancel()
        thread.join()
        assert told == [SERVING]


def test_a_start_defragments_if_it_is_worth_it() -> None:
    with start_server(extra_flags=("--bootstrap-defrag-threshold-megabytes=1",)) as server:
        fill(server)
        # Free pages are counted when the transaction that freed them is committed.
        _wait(lambda: sizes(server)[0] - sizes(server)[1] > 2 << 20)
        keys = all_keys(server)
        server.stop()
        server.restart()
        size, in_use = sizes(server)
        assert size - in_use < 1 << 20
        assert (
            all_keys(server).split('"RaftTerm"')[1].split("\n", 1)[1]
            == (keys.split('"RaftTerm"')[1].split("\n", 1)[1])
        )
        server.stop()
        server.restart()
        assert "Skipping defragmentation" in server.log_text()


def _collect(watch: object, told: list[bytes]) -> None:
    try:
        told.extend(watch)  # type: ignore[call-overload]
    except grpc.RpcError:
        return


def _wait(condition: object, deadline_s: float = 10.0) -> None:
    give_up = time.monotonic() + deadline_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < give_up
        time.sleep(0.01)
