"""`kill -9` under load, again and again, on one directory.

KVORUM_KILL_ROUNDS sets the number of rounds (default 8; the full test is 50). In every third round
the server is also killed while it starts.
"""

from __future__ import annotations

import os
import random
import threading
import time
from dataclasses import dataclass, field

import grpc
import pytest

from tests.robustness.calls import Calls
from tests.servers import Server, start_server

ROUNDS = int(os.environ.get("KVORUM_KILL_ROUNDS", "8"))
WRITERS = 8
ROUND_S = (0.2, 0.8)
START_S = (0.0, 0.6)
ACKNOWLEDGED_MIN = 50
DEADLINE_S = 30.0
# Small: snapshots, log truncation and purging happen in the test too.
SNAPSHOT_COUNT = 700


@dataclass(slots=True)
class Writer:
    """Puts a new key each time, and now and then the one key it always overwrites."""

    number: int
    prefix: bytes
    acknowledged: dict[bytes, int] = field(default_factory=dict)
    attempted: set[bytes] = field(default_factory=set)
    hot_acknowledged: int = -1
    hot_attempted: int = -1
    count: int = 0

    @property
    def hot_key(self) -> bytes:
        return b"hot/%d" % self.number

    def run(self, target: str, stop: threading.Event) -> None:
        with Calls(target) as calls:
            while not stop.is_set():
                try:
                    self.write(calls)
                except grpc.RpcError:
                    return  # the kill; whatever was under way may have happened or not

    def write(self, calls: Calls) -> None:
        self.count += 1
        key = b"%s%d/%06d" % (self.prefix, self.number, self.count)
        self.attempted.add(key)
        self.acknowledged[key] = calls.put(key, key).header.revision
        if self.count % 10 == 0:
            self.hot_attempted = self.count
            calls.put(self.hot_key, b"%s%d" % (self.prefix, self.count))
            self.hot_acknowledged = self.count


@dataclass(slots=True)
class History:
    """All that was ever acknowledged, over all rounds."""

    revision_of: dict[bytes, int] = field(default_factory=dict)
    revision_max: int = 0

    def add(self, writers: list[Writer]) -> None:
        for writer in writers:
            revisions = list(writer.acknowledged.values())
            assert revisions == sorted(set(revisions)), "a writer saw revisions go back"
            assert all(r > self.revision_max for r in revisions), "revisions went back over a kill"
            self.revision_of.update(writer.acknowledged)
        distinct = set(self.revision_of.values())
        assert len(distinct) == len(self.revision_of), "one revision was given to two puts"
        self.revision_max = max(distinct)


def kill_under_load(server: Server, prefix: bytes) -> list[Writer]:
    """Let the writers write, kill the server in the middle, and wait for the writers to notice."""
    writers = [Writer(number, prefix) for number in range(WRITERS)]
    stop = threading.Event()
    threads = [threading.Thread(target=w.run, args=(server.target, stop)) for w in writers]
    for thread in threads:
        thread.start()
    give_up = time.monotonic() + DEADLINE_S
    kill_at = time.monotonic() + random.uniform(*ROUND_S)
    while sum(len(w.acknowledged) for w in writers) < ACKNOWLEDGED_MIN:
        assert time.monotonic() < give_up, "the server acknowledges hardly anything"
        time.sleep(0.01)
    time.sleep(max(0.0, kill_at - time.monotonic()))
    server.kill9()
    stop.set()
    for thread in threads:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
    return writers


def check_round(calls: Calls, prefix: bytes, writers: list[Writer]) -> None:
    """Every acknowledged put of the round is there, at its revision, and nothing nobody wrote."""
    found = {kv.key: kv for kv in calls.get(prefix, prefix + b"\xff").kvs}
    for writer in writers:
        for key, revision in writer.acknowledged.items():
            kv = found.get(key)
            assert kv is not None, f"{key!r}, acknowledged at {revision}, is lost"
            there = (kv.value, kv.mod_revision, kv.create_revision, kv.version)
            assert there == (key, revision, revision, 1)
        if writer.hot_acknowledged >= 0:
            value = calls.get(writer.hot_key).kvs[0].value
            assert value.startswith(prefix), f"{writer.hot_key!r} fell back to {value!r}"
            count = int(value.rpartition(b"/")[2])
            assert writer.hot_acknowledged <= count <= writer.hot_attempted
    attempted = set().union(*(w.attempted for w in writers))
    assert found.keys() <= attempted


def check_everything(calls: Calls, history: History) -> None:
    found = {kv.key: kv.mod_revision for kv in calls.get(b"round", b"roune").kvs}
    lost = [key for key, revision in history.revision_of.items() if found.get(key) != revision]
    assert not lost, f"{len(lost)} acknowledged puts are lost or moved, first {lost[0]!r}"


def start_again(server: Server, *, kill_while_starting: bool) -> None:
    if kill_while_starting:
        server.start()
        time.sleep(random.uniform(*START_S))
        server.kill9()
    server.start()
    server.wait_ready()


@pytest.mark.slow
def test_what_was_acknowledged_survives_kill_9() -> None:
    """Every acknowledged put with its revision; revisions never go back; it always starts again."""
    history = History()
    with start_server(extra_flags=[f"--snapshot-count={SNAPSHOT_COUNT}"]) as server:
        for number in range(ROUNDS):
            prefix = b"round%03d/" % number
            writers = kill_under_load(server, prefix)
            history.add(writers)
            start_again(server, kill_while_starting=number % 3 == 2)
            with Calls(server.target) as calls:
                assert calls.revision() >= history.revision_max
                check_round(calls, prefix, writers)
        with Calls(server.target) as calls:
            check_everything(calls, history)
            revision = calls.put(b"after", b"").header.revision
        assert revision > history.revision_max
        assert len(history.revision_of) >= ROUNDS * ACKNOWLEDGED_MIN
