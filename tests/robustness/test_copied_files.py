"""Backups that are copies of files, taken again and again under load (mission B2 and B5).

KVORUM_COPY_ROUNDS sets the number of rounds of each (default 4; the full test is 100).
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from kvorum.proto import rpc_pb2 as rpc
from tests.robustness.calls import DEADLINE_S, Calls
from tests.servers import Server, server_environment, start_server

ROUNDS = int(os.environ.get("KVORUM_COPY_ROUNDS", "4"))
WRITERS = 4
ROUND_S = (0.1, 0.6)
NEW_KEYS_MIN = 50
# Small: snapshots, log truncation and purging happen in the test too.
SNAPSHOT_COUNT = 700
FLAGS = [f"--snapshot-count={SNAPSHOT_COUNT}"]


@dataclass(slots=True)
class Load:
    """Writers that put a new key each time, and compact now and then, until the block ends."""

    target: str
    revision_of: dict[bytes, int] = field(default_factory=dict)
    """What was acknowledged. Only grows; a copy of it is what was acknowledged by then."""
    _stop: threading.Event = field(default_factory=threading.Event)

    def write(self, number: int) -> None:
        with Calls(self.target) as calls:
            count = 0
            while not self._stop.is_set():
                count += 1
                # Time makes it new in every round; what was acknowledged is never overwritten.
                key = b"%d/%d/%d" % (number, time.monotonic_ns(), count)
                try:
                    self.revision_of[key] = revision = calls.put(key, key * 8).header.revision
                    if number == 0 and count % 200 == 0:
                        calls.compact(revision - 100)
                except grpc.RpcError:
                    return  # the server was stopped

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        self._stop.clear()
        threads = [threading.Thread(target=self.write, args=(n,)) for n in range(WRITERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(DEADLINE_S)
                assert not thread.is_alive()

    def go_on_for_a_while(self) -> None:
        """Return at a random instant, with some more keys written."""
        goal = len(self.revision_of) + NEW_KEYS_MIN
        until = time.monotonic() + random.uniform(*ROUND_S)
        give_up = until + DEADLINE_S
        while time.monotonic() < until or len(self.revision_of) < goal:
            assert time.monotonic() < give_up, "the server acknowledges hardly anything"
            time.sleep(0.005)


def hash_at(calls: Calls, revision: int) -> int:
    ask = calls.channel.unary_unary(
        "/etcdserverpb.Maintenance/HashKV",
        request_serializer=rpc.HashKVRequest.SerializeToString,
        response_deserializer=rpc.HashKVResponse.FromString,
    )
    return int(ask(rpc.HashKVRequest(revision=revision), timeout=DEADLINE_S).hash)


def check_copy(data_dir: Path, acknowledged: dict[bytes, int], live: Server | None) -> int:
    """A member started on the copy has everything; the number of keys.

    While the live member still has the revisions of the copy, the hashes must agree: that
    compares every revision, not only the keys that a client knows of.
    """
    with (
        start_server(data_dir=data_dir, extra_flags=FLAGS) as server,
        Calls(server.target) as calls,
    ):
        response = calls.get(b"\0", b"\0")
        found = {kv.key: (kv.mod_revision, kv.value) for kv in response.kvs}
        lost = [key for key, at in acknowledged.items() if found.get(key) != (at, key * 8)]
        assert not lost, f"{len(lost)} acknowledged puts are not in the copy, first {lost[0]!r}"
        if live is not None:
            with Calls(live.target) as there:
                revision = response.header.revision
                there.compact(revision)
                calls.compact(revision)
                assert hash_at(calls, revision) == hash_at(there, revision)
        return len(found)


@pytest.mark.slow
def test_B5_a_volume_snapshot_of_a_live_directory_is_a_backup(tmp_path: Path) -> None:
    """The server is held for the time of the copy, as a storage system does it in one instant."""
    count = 0
    with start_server(extra_flags=FLAGS) as server:
        load = Load(server.target)
        for number in range(ROUNDS):
            copy = tmp_path / f"copy{number}"
            with load.running():
                load.go_on_for_a_while()
                server.process.send_signal(signal.SIGSTOP)
                try:
                    acknowledged = dict(load.revision_of)
                    shutil.copytree(server.data_dir, copy)
                finally:
                    server.process.send_signal(signal.SIGCONT)
            count = check_copy(copy, acknowledged, server)
            shutil.rmtree(copy)
    assert count >= ROUNDS * NEW_KEYS_MIN


@pytest.mark.slow
def test_B2_the_database_file_of_a_stopped_member_is_a_backup(tmp_path: Path) -> None:
    """`member/snap/db` is all that is copied; `etcdutl snapshot restore` makes a member of it."""
    count = 0
    with start_server(extra_flags=FLAGS) as server:
        load = Load(server.target)
        for number in range(ROUNDS):
            with load.running():
                load.go_on_for_a_while()
                server.terminate()
            copy = tmp_path / f"db{number}"
            shutil.copy(server.data_dir / "member" / "snap" / "db", copy)
            restored = tmp_path / f"restored{number}"
            words = ["--data-dir", str(restored), "snapshot", "restore", str(copy)]
            run = subprocess.run(
                [sys.executable, "-m", "kvorum.cli.etcdutl", *words],
                capture_output=True,
                text=True,
                check=False,
                timeout=DEADLINE_S * 3,
                env=server_environment(),
            )
            assert run.returncode == 0, run.stderr
            server.restart()
            count = check_copy(restored, load.revision_of, server)
            shutil.rmtree(restored)
    assert count >= ROUNDS * NEW_KEYS_MIN
