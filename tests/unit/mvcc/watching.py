"""What the watch tests share: a real store with a hub on it, and clients that keep all they get."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kvorum.mvcc.store import Store
from kvorum.mvcc.watch import WatchHub
from kvorum.mvcc.watch_ports import WatchLimits
from kvorum.proto.rpc_pb2 import (
    ResponseHeader,
    WatchCancelRequest,
    WatchCreateRequest,
    WatchProgressRequest,
    WatchRequest,
    WatchResponse,
)
from kvorum.storage import Backend

TO_LAST_KEY = b"\0"


class NoLeases:
    def exists(self, lease_id: int) -> bool:
        return False

    def attach(self, lease_id: int, key: bytes) -> None:
        raise AssertionError("no lease here")

    def detach(self, lease_id: int, key: bytes) -> None:
        raise AssertionError("no lease here")


def header_of(revision: int) -> bytes:
    header = ResponseHeader(cluster_id=7, member_id=8, revision=revision, raft_term=2)
    return WatchResponse(header=header).SerializeToString()


class Member:
    """A store, the hub on it, and writes as short calls that return the new revision."""

    def __init__(self, backend: Backend, limits: WatchLimits | None, **options: Any) -> None:
        self.store = Store(backend, NoLeases())
        self.wakes = 0
        self.hub = WatchHub(
            self.store, header=header_of, limits=limits, wake=self._count_wake, **options
        )
        self.store.on_events = self.hub.notify

    def _count_wake(self) -> None:
        self.wakes += 1

    def put(self, key: bytes, value: bytes = b"v") -> int:
        return self.txn([(key, value)])

    def delete(self, key: bytes, end: bytes | None = None) -> int:
        return self.txn([(key, end, "delete")])

    def txn(self, operations: list[tuple[Any, ...]]) -> int:
        """`(key, value)` puts; `(key, end, "delete")` deletes."""
        writer = self.store.begin()
        for operation in operations:
            if operation[-1] == "delete":
                writer.delete_range(operation[0], operation[1])
            else:
                writer.put(operation[0], operation[1])
        writer.end()
        return self.store.revision

    def compact(self, revision: int) -> None:
        self.store.compact(revision)
        while self.store.step_compaction():
            pass

    def catch_up(self, rounds_max: int = 1_000) -> int:
        """Sync rounds until none is wanted. Returns how many there were."""
        for count in range(1, rounds_max + 1):
            if not self.hub.sync_round():
                return count
        raise AssertionError("the hub does not come to rest")

    def client(self, room: int | None = None) -> Client:
        return Client(self.hub, room)


@contextmanager
def member(limits: WatchLimits | None = None, **options: Any) -> Iterator[Member]:
    with (
        TemporaryDirectory() as folder,
        Backend.open(Path(folder) / "db", fsync=False) as backend,
    ):
        yield Member(backend, limits, **options)


class Client:
    """A stream and its sink, which is full after `room` responses; None: never."""

    def __init__(self, hub: WatchHub, room: int | None) -> None:
        self.responses: list[WatchResponse] = []
        self.messages: list[bytes] = []
        self.room = room
        self.stream = hub.new_stream(self)

    def send(self, message: bytes) -> bool:
        self.messages.append(message)
        self.responses.append(WatchResponse.FromString(message))
        if self.room is None:
            return True
        self.room -= 1
        return self.room > 0

    def create(self, key: bytes, end: bytes = b"", **fields: Any) -> None:
        request = WatchCreateRequest(key=key, range_end=end, **fields)
        self.stream.handle(WatchRequest(create_request=request))

    def cancel(self, watch_id: int) -> None:
        self.stream.handle(WatchRequest(cancel_request=WatchCancelRequest(watch_id=watch_id)))

    def ask_progress(self) -> None:
        self.stream.handle(WatchRequest(progress_request=WatchProgressRequest()))

    def drain(self, room: int | None = None) -> None:
        """The client reads what is there, and then has room for as much."""
        self.room = room
        self.stream.writable()

    def take(self) -> list[WatchResponse]:
        """The responses since the last call."""
        taken, self.responses = self.responses, []
        return taken

    def take_texts(self) -> list[str]:
        return [text(response) for response in self.take()]


def text(response: WatchResponse) -> str:
    """A response in short: `3: created at 7`, `0: +a@5 -b@6 at 6`."""
    parts = [f"{response.watch_id}:"]
    if response.created:
        parts.append("created")
    if response.canceled:
        parts.append("canceled")
    if response.compact_revision:
        parts.append(f"compacted {response.compact_revision}")
    if response.cancel_reason:
        parts.append(f"({response.cancel_reason})")
    if response.fragment:
        parts.append("fragment")
    for event in response.events:
        prev = f"<{event.prev_kv.value.decode()}" if event.HasField("prev_kv") else ""
        kv = event.kv
        parts.append(f"{'-' if event.type else '+'}{kv.key.decode()}@{kv.mod_revision}{prev}")
    return " ".join([*parts, f"at {response.header.revision}"])
