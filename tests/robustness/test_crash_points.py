"""`kill -9` at any instant of snapshots, compactions and lease expiry, which all happen at once.

KVORUM_CRASH_S is how long it goes on (default 8 seconds, some ten kills).

While it runs, each round puts (some keys bound to short leases), deletes, and compacts what is
old; `--snapshot-count=20` has the member write a raft snapshot every few milliseconds. After each
kill:

- the member starts;
- every acknowledged change is there, but what an expired lease took with it;
- revisions do not go back, and neither does the compaction;
- HashKV of a revision that is readable before and after the kill is the same.
"""

from __future__ import annotations

import os
import random
import threading
import time
from dataclasses import dataclass, field

import grpc
import pytest

from kvorum.proto import rpc_pb2 as rpc
from tests.robustness.calls import DEADLINE_S, Calls, status_of
from tests.servers import Server, start_server

LOAD_S = float(os.environ.get("KVORUM_CRASH_S", "8"))
ROUND_S = (0.05, 0.8)
FLAGS = (
    "--snapshot-count=20",
    "--max-snapshots=2",
    "--heartbeat-interval=20",  # short elections allow short leases, and let them run out soon
    "--election-timeout=200",
    "--backend-batch-interval=10ms",
)
WRITERS = 4
KEYS = 30
LEASE_TTL_S = 1
COMPACT_BEHIND = 60
OUT_OF_RANGE = 11
ROUNDS_MIN = 3


@dataclass(slots=True)
class Writer:
    """Owns some keys, so it knows what each must be; one call is under way at a time."""

    number: int
    known: dict[bytes, tuple[bytes, int] | None] = field(default_factory=dict)
    """Acknowledged last: value and revision; None: deleted."""
    doubtful: tuple[bytes, bytes | None] | None = None
    """The call that the kill interrupted: key, and value (None: a delete)."""
    leased: set[bytes] = field(default_factory=set)
    count: int = 0
    revision_max: int = 0
    compacted: int = 0

    def run(self, target: str, stop: threading.Event) -> None:
        with Calls(target) as calls:
            lease = 0
            while not stop.is_set():
                try:
                    if not lease or self.count % 20 == 0:
                        lease = self.grant(calls)
                    self.step(calls, lease)
                except grpc.RpcError as error:
                    if status_of(error)[1] == "etcdserver: requested lease not found":
                        self.doubtful = None  # refused: nothing was changed
                        lease = 0
                        continue
                    return  # the kill

    def grant(self, calls: Calls) -> int:
        request = rpc.LeaseGrantRequest(TTL=LEASE_TTL_S)
        return int(calls.grant_call(request, timeout=DEADLINE_S).ID)

    def step(self, calls: Calls, lease: int) -> None:
        self.count += 1
        kind = self.count % 7
        if kind == 3:
            key = self.key(random.randrange(KEYS))
            self.doubtful = (key, None)
            request = rpc.DeleteRangeRequest(key=key)
            response = calls.delete_call(request, timeout=DEADLINE_S)
            self.known[key] = None
        elif kind == 5:
            key, value = b"leased/%d/%d" % (self.number, self.count), b"%d" % self.count
            response = calls.put(key, value, lease=lease)
            self.leased.add(key)
        else:
            key, value = self.key(random.randrange(KEYS)), b"%d" % self.count
            self.doubtful = (key, value)
            response = calls.put(key, value)
            self.known[key] = (value, response.header.revision)
        self.doubtful = None
        self.revision_max = max(self.revision_max, response.header.revision)
        if self.number == 0 and self.count % 15 == 0:
            self.compact(calls)

    def compact(self, calls: Calls) -> None:
        revision = self.revision_max - COMPACT_BEHIND
        if revision > self.compacted:
            calls.compact(revision)
            self.compacted = revision

    def key(self, number: int) -> bytes:
        return b"key/%d/%d" % (self.number, number)

    def check(self, found: dict[bytes, tuple[bytes, int]]) -> None:
        """What is there is what was acknowledged; the interrupted call may have happened."""
        doubtful, self.doubtful = self.doubtful, None
        if doubtful is not None:
            key, value = doubtful
            there = found.get(key)
            if (None if there is None else there[0]) == value:
                self.known[key] = there
        for key, expected in self.known.items():
            assert found.get(key) == expected, (key, expected, found.get(key))


class Hasher:
    """Asks for HashKV at random revisions, and notes the answers."""

    def __init__(self) -> None:
        self.hashes: dict[int, tuple[int, int]] = {}
        """By revision: hash, and the compaction it was made after, which is hashed too."""

    def hash(self, calls: Calls, revision: int) -> tuple[int, int] | None:
        """None: it has been compacted."""
        call = calls.channel.unary_unary(
            "/etcdserverpb.Maintenance/HashKV",
            request_serializer=rpc.HashKVRequest.SerializeToString,
            response_deserializer=rpc.HashKVResponse.FromString,
        )
        try:
            response = call(rpc.HashKVRequest(revision=revision), timeout=DEADLINE_S)
        except grpc.RpcError as error:
            if status_of(error)[0] == OUT_OF_RANGE:
                return None
            raise
        return int(response.hash), int(response.compact_revision)

    def run(self, target: str, stop: threading.Event) -> None:
        with Calls(target) as calls:
            while not stop.is_set():
                try:
                    newest = calls.revision()
                    revision = random.randint(max(1, newest - COMPACT_BEHIND), newest)
                    answer = self.hash(calls, revision)
                except grpc.RpcError:
                    return  # the kill
                if answer is not None:
                    self.hashes[revision] = answer

    def check(self, calls: Calls) -> int:
        """Compare with the member as it is now; how many revisions could be compared."""
        compared = 0
        for revision, (before, compacted) in self.hashes.items():
            answer = self.hash(calls, revision)
            if answer is not None and answer[1] == compacted:
                assert answer[0] == before, f"HashKV of revision {revision} has changed"
                compared += 1
        self.hashes.clear()
        return compared


def kill_under_load(server: Server, writers: list[Writer], hasher: Hasher) -> None:
    stop = threading.Event()
    threads = [
        threading.Thread(target=worker.run, args=(server.target, stop))
        for worker in (*writers, hasher)
    ]
    for thread in threads:
        thread.start()
    time.sleep(random.uniform(*ROUND_S))  # the kill is to come at any instant
    server.kill9()
    stop.set()
    for thread in threads:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def everything(calls: Calls) -> dict[bytes, tuple[bytes, int]]:
    response = calls.get(b"\0", b"\0")
    return {kv.key: (kv.value, kv.mod_revision) for kv in response.kvs}


def check_compaction(calls: Calls, compacted: int) -> None:
    """A compaction that was acknowledged is not taken back."""
    if compacted > 1:
        with pytest.raises(grpc.RpcError) as caught:
            calls.get(b"a", revision=compacted - 1)
        assert status_of(caught.value)[0] == OUT_OF_RANGE


def wait_leases_gone(calls: Calls) -> None:
    """Every lease runs out, whatever kills it has lived through, and takes its keys with it."""
    give_up = time.monotonic() + DEADLINE_S
    while calls.get(b"leased/", b"leased0", count_only=True).count:
        assert time.monotonic() < give_up, "a lease does not run out"
        time.sleep(0.05)


def test_a_member_can_be_killed_while_it_snapshots_compacts_and_expires_leases() -> None:
    writers = [Writer(number) for number in range(WRITERS)]
    hasher = Hasher()
    rounds = compared = 0
    until = time.monotonic() + LOAD_S
    with start_server(extra_flags=FLAGS) as server:
        while time.monotonic() < until or rounds < ROUNDS_MIN:
            kill_under_load(server, writers, hasher)
            server.restart()
            with Calls(server.target) as calls:
                found = everything(calls)
                assert calls.revision() >= max(writer.revision_max for writer in writers)
                for writer in writers:
                    writer.check(found)
                leased = {key for key in found if key.startswith(b"leased/")}
                assert leased <= attempted(writers)
                check_compaction(calls, writers[0].compacted)
                compared += hasher.check(calls)
            rounds += 1
        with Calls(server.target) as calls:
            wait_leases_gone(calls)
            for writer in writers:
                writer.check(everything(calls))
        assert list((server.data_dir / "member" / "snap").glob("*.snap")), "no snapshot was made"
    assert any(writer.leased for writer in writers)
    assert writers[0].compacted > 0
    assert compared > 0


def attempted(writers: list[Writer]) -> set[bytes]:
    return {
        b"leased/%d/%d" % (writer.number, count)
        for writer in writers
        for count in range(writer.count + 1)
    }
