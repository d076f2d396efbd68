"""`kill -9` while the database is written anew under load, again and again, on one directory.

KVORUM_KILL_ROUNDS sets the number of rounds (default 8; the full test is 50). In every third round
the server is also killed while it starts.
"""

from __future__ import annotations

import contextlib
import threading

import grpc
import pytest

from kvorum.storage.lmdb_file import LmdbFile
from tests.robustness.calls import Calls
from tests.robustness.test_kill9 import (
    ROUNDS,
    SNAPSHOT_COUNT,
    History,
    check_everything,
    check_round,
    kill_under_load,
    start_again,
)
from tests.servers import Server, start_server, under_test_is_stock

DEFRAGMENT = "/etcdserverpb.Maintenance/Defragment"
JOIN_S = 30.0


def defragment_on(target: str, stop: threading.Event) -> None:
    """Defragment, and again, until the server is gone."""
    with grpc.insecure_channel(target) as channel, contextlib.suppress(grpc.RpcError):
        call = channel.unary_unary(DEFRAGMENT)
        while not stop.is_set():
            call(b"", timeout=JOIN_S)


def compact_on(target: str, stop: threading.Event) -> None:
    """Compact now and then, so that rows go while the copy is made."""
    with Calls(target) as calls, contextlib.suppress(grpc.RpcError):
        while not stop.wait(0.05):
            calls.compact(calls.revision())


def was_interrupted(server: Server) -> bool:
    """Whether the last defragmentation that the log tells of did not end."""
    log = server.log_text()
    return log.rfind('"msg":"defragmenting"') > log.rfind("finished defragmenting directory")


@pytest.mark.slow
def test_what_was_acknowledged_survives_kill_9_of_a_defragmentation() -> None:
    history = History()
    interrupted = 0
    with start_server(extra_flags=[f"--snapshot-count={SNAPSHOT_COUNT}"]) as server:
        folder = server.data_dir / "member" / "snap"
        for number in range(ROUNDS):
            prefix = b"round%03d/" % number
            stop = threading.Event()
            threads = [
                threading.Thread(target=work, args=(server.target, stop))
                for work in (defragment_on, compact_on)
            ]
            for thread in threads:
                thread.start()
            writers = kill_under_load(server, prefix)
            stop.set()
            for thread in threads:
                thread.join(JOIN_S)
                assert not thread.is_alive()
            interrupted += was_interrupted(server)
            history.add(writers)
            if not under_test_is_stock():
                with LmdbFile.open(folder / "db") as file:
                    assert file.check() == []
            start_again(server, kill_while_starting=number % 3 == 2)
            assert not list(folder.glob("db.tmp*"))
            with Calls(server.target) as calls:
                check_round(calls, prefix, writers)
        with Calls(server.target) as calls:
            check_everything(calls, history)
        assert interrupted > 0, "no kill met a defragmentation"
