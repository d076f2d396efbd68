"""Random writes, watchers, stalls and compactions: who watches sees all of history, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kvorum.mvcc.watch_ports import WatchLimits
from kvorum.proto.rpc_pb2 import WatchCreateRequest, WatchResponse

from .watching import Client, Member, member

NOPUT, NODELETE = WatchCreateRequest.NOPUT, WatchCreateRequest.NODELETE
CLIENTS = 3

# Small enough that every bound is met many times in a short run.
LIMITS = WatchLimits(
    fragment_bytes_max=120,
    response_bytes_max=80,
    window_bytes_max=200,
    revisions_per_round_max=4,
    unsynced_per_round_max=3,
    progress_per_round_max=2,
)

keys = st.sampled_from([b"a", b"b", b"ba", b"bb", b"c"])
ends = st.sampled_from([b"", b"\0", b"b", b"bb", b"c", b"d"])
clients = st.integers(0, CLIENTS - 1)
values = st.sampled_from([b"", b"1", b"22", b"3" * 50])

puts = st.dictionaries(keys, values, min_size=1, max_size=5).map(
    lambda pairs: [(key, value) for key, value in pairs.items()]
)
deletes = st.tuples(keys, st.sampled_from([None, b"", b"c"]), st.just("delete")).map(lambda d: [d])
creates = st.fixed_dictionaries(
    {
        "key": keys,
        "end": ends,
        "start_back": st.one_of(st.none(), st.integers(-3, 12)),
        "filters": st.sampled_from([[], [], [NOPUT], [NODELETE]]),
        "prev_kv": st.booleans(),
        "fragment": st.booleans(),
        "progress_notify": st.booleans(),
    }
)
steps = st.one_of(
    st.tuples(st.just("write"), puts),
    st.tuples(st.just("write"), puts),
    st.tuples(st.just("write"), deletes),
    st.tuples(st.just("create"), clients, creates),
    st.tuples(st.just("create"), clients, creates),
    st.tuples(st.just("cancel"), clients, st.integers(0, 5)),
    st.tuples(st.just("stall"), clients),
    st.tuples(st.just("drain"), clients, st.integers(1, 5)),
    st.tuples(st.just("compact"), st.integers(0, 6)),
    st.tuples(st.just("sync")),
    st.tuples(st.just("sync")),
    st.tuples(st.just("ask progress"), clients),
    st.tuples(st.just("progress round")),
    st.tuples(st.just("resync")),
)


@dataclass(slots=True)
class Change:
    """One event of the model's history."""

    revision: int
    key: bytes
    value: bytes | None
    prev: bytes | None
    """What the key held before the revision, for who asks; None for a put that makes the key."""


@dataclass(slots=True)
class Watch:
    fields: dict[str, Any]
    first_revision: int
    got: list[tuple[int, bytes, bytes | None]] = field(default_factory=list)
    prevs: list[bytes | None] = field(default_factory=list)
    is_created: bool = False
    cancelled_at: int | None = None
    """0: by the client; else the compaction revision that the response names."""

    def wants(self, change: Change) -> bool:
        key, end = self.fields["key"], self.fields["end"]
        in_range = change.key == key if end == b"" else key <= change.key
        if end not in (b"", b"\0"):
            in_range = in_range and change.key < end
        unwanted = NODELETE if change.value is None else NOPUT
        return (
            in_range
            and change.revision >= self.first_revision
            and unwanted not in self.fields["filters"]
        )


class Run:
    """The real hub and store beside a list of all changes."""

    def __init__(self, m: Member) -> None:
        self.m = m
        self.history: list[Change] = []
        self.alive: dict[bytes, bytes] = {}
        self.clients = [Client(m.hub, None) for _ in range(CLIENTS)]
        self.watches: list[dict[int, Watch]] = [{} for _ in range(CLIENTS)]
        self.read = [0] * CLIENTS
        self.last_header = [0] * CLIENTS

    def step(self, kind: str, *args: Any) -> None:
        match kind:
            case "write":
                self.write(*args)
            case "create":
                self.create(*args)
            case "cancel":
                self.clients[args[0]].cancel(args[1])
            case "stall":
                self.clients[args[0]].room = 1
            case "drain":
                self.clients[args[0]].drain(args[1])
            case "compact":
                revision = self.m.store.revision - args[0]
                if revision > max(self.m.store.compact_revision, 1):
                    self.m.compact(revision)
            case "sync":
                self.m.hub.sync_round()
            case "ask progress":
                self.clients[args[0]].ask_progress()
            case "progress round":
                self.m.hub.progress_round()
            case "resync":
                self.m.hub.resync(self.m.store)
        for number in range(CLIENTS):
            self.receive(number)

    def write(self, operations: list[tuple[Any, ...]]) -> None:
        revision = self.m.store.revision + 1
        before = dict(self.alive)
        for operation in operations:
            if operation[-1] == "delete":
                for key in self.matching(operation[0], operation[1]):
                    del self.alive[key]
                    self.history.append(Change(revision, key, None, before[key]))
            else:
                key, value = operation
                self.alive[key] = value
                self.history.append(Change(revision, key, value, before.get(key)))
        self.m.txn(operations)

    def matching(self, key: bytes, end: bytes | None) -> list[bytes]:
        if end is None:
            return [key] if key in self.alive else []
        return sorted(k for k in self.alive if k >= key and (end == b"" or k < end))

    def create(self, number: int, asked: dict[str, Any]) -> None:
        fields = dict(asked)
        back = fields.pop("start_back")
        newest = self.m.store.revision
        start = 0 if back is None else max(1, newest + 1 - back)
        client = self.clients[number]
        if fields["end"] not in (b"", b"\0") and fields["key"] >= fields["end"]:
            client.create(**fields, start_revision=start)
            return
        watch_id = len(self.watches[number])
        self.watches[number][watch_id] = Watch(fields, start or newest + 1)
        client.create(**fields, start_revision=start)

    def receive(self, number: int) -> None:
        """Judge what the client got since the last call."""
        for response in self.clients[number].take():
            if response.watch_id == -1:
                if not response.canceled:
                    self.check_progress(number, response)
                continue
            watch = self.watches[number][response.watch_id]
            assert watch.cancelled_at is None or response.canceled
            if response.created:
                assert not watch.is_created
                watch.is_created = True
            assert watch.is_created
            if response.canceled:
                if watch.cancelled_at is None:
                    watch.cancelled_at = response.compact_revision
                continue
            assert response.header.revision == self.m.store.revision or response.events
            assert response.header.revision >= self.last_header[number]
            self.last_header[number] = response.header.revision
            self.take_events(watch, response)

    def take_events(self, watch: Watch, response: WatchResponse) -> None:
        assert not response.fragment or watch.fields["fragment"]
        revisions = [event.kv.mod_revision for event in response.events]
        if revisions:
            assert response.header.revision >= revisions[-1]
            if not watch.fields["fragment"] and watch.got:
                assert revisions[0] > watch.got[-1][0], "a revision was split"
        for event in response.events:
            kv = event.kv
            watch.got.append((kv.mod_revision, kv.key, None if event.type else kv.value))
            watch.prevs.append(event.prev_kv.value if event.HasField("prev_kv") else None)

    def check_progress(self, number: int, response: WatchResponse) -> None:
        """What a progress answer promises: everything up to its revision has been sent."""
        told = response.header.revision
        for watch in self.watches[number].values():
            if watch.cancelled_at is None:
                assert watch.first_revision <= told + 1
                assert watch.got == [e for e in self.expected(watch) if e[0] <= told]

    def expected(self, watch: Watch) -> list[tuple[int, bytes, bytes | None]]:
        return [(c.revision, c.key, c.value) for c in self.history if watch.wants(c)]

    def finish(self) -> None:
        for number, client in enumerate(self.clients):
            client.drain()
            self.receive(number)
        self.m.catch_up()
        for number in range(CLIENTS):
            self.receive(number)
            for watch in self.watches[number].values():
                self.check(watch)
        statistics = self.m.hub.statistics()
        assert (statistics.unsynced, statistics.stalled) == (0, 0)

    def check(self, watch: Watch) -> None:
        expected = self.expected(watch)
        assert watch.is_created
        if watch.cancelled_at is None:
            assert watch.got == expected
        else:
            assert watch.got == expected[: len(watch.got)]
        if watch.cancelled_at:
            assert watch.first_revision < watch.cancelled_at
            assert all(revision < watch.cancelled_at for revision, _, _ in watch.got)
        self.check_prevs(watch)

    def check_prevs(self, watch: Watch) -> None:
        changes = [change for change in self.history if watch.wants(change)]
        for change, prev in zip(changes, watch.prevs, strict=False):
            if not watch.fields["prev_kv"]:
                assert prev is None
            elif prev is None and change.prev is not None:
                assert change.revision - 1 < self.m.store.compact_revision
            else:
                assert prev == change.prev


@settings(max_examples=300)
@given(steps=st.lists(steps, max_size=60))
def test_every_watcher_sees_its_part_of_history_once_and_in_order(
    steps: list[tuple[Any, ...]],
) -> None:
    with member(LIMITS) as m:
        run = Run(m)
        for step in steps:
            run.step(*step)
        run.finish()
