"""What clients do to a cluster in these tests: a bit of everything, and watching all along."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

import grpc

from kvorum.proto import kv_pb2
from kvorum.proto import rpc_pb2 as rpc
from tests.robustness.calls import Calls

RETRY_S = 60.0
JOIN_S = 30.0

Seen = tuple[int, int, bytes, bytes]
"""Mod revision, kind of event, key, value."""


def use_every_kind_of_write(calls: Calls, prefix: bytes, count: int) -> None:
    """Puts, deletes, transactions and leases, `count` of each or so."""
    for number in range(count):
        key = b"%b/%05d" % (prefix, number)
        calls.put(key, b"x" * (number % 300))
        if number % 3 == 0:
            calls.put(key, b"again")
        if number % 4 == 1:
            calls.delete_call(rpc.DeleteRangeRequest(key=key), timeout=JOIN_S)
        if number % 5 == 0:
            swap(calls, key)
        if number % 10 == 0:
            lease = calls.grant_call(rpc.LeaseGrantRequest(TTL=600), timeout=JOIN_S)
            calls.put(key + b"/leased", b"v", lease=lease.ID)
            if number % 20 == 0:
                calls.revoke_call(rpc.LeaseRevokeRequest(ID=lease.ID), timeout=JOIN_S)


def swap(calls: Calls, key: bytes) -> None:
    """A transaction with both branches, several operations and one that deletes."""
    compare = rpc.Compare(
        key=key, target=rpc.Compare.VERSION, result=rpc.Compare.GREATER, version=1
    )
    put = rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=b"swapped"))
    other = rpc.RequestOp(request_put=rpc.PutRequest(key=key + b"/other", value=b"made"))
    gone = rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key + b"/other"))
    request = rpc.TxnRequest(compare=[compare], success=[put, gone], failure=[other])
    calls.txn_call(request, timeout=JOIN_S)


def put_quickly(target: str, prefix: bytes, count: int, *, clients: int = 16) -> None:
    """Many small puts, one after the other for each client; each is tried until it is taken."""
    failures: list[BaseException] = []

    def run(client: int) -> None:
        try:
            with Calls(target) as calls:
                for number in range(client, count, clients):
                    put_for_sure(calls, b"%b/%06d" % (prefix, number), b"v" * 40)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


def put_for_sure(calls: Calls, key: bytes, value: bytes) -> int:
    """Put, again and again while the cluster cannot take it; the revision."""
    give_up = time.monotonic() + RETRY_S
    while True:
        try:
            return int(calls.put(key, value).header.revision)
        except grpc.RpcError:
            if time.monotonic() > give_up:
                raise


@dataclass(slots=True)
class Watching:
    """Records what a watch from revision 1 on tells, over broken streams.

    Of all keys, or of those with a prefix.
    """

    target: str
    prefix: bytes = b""
    seen: list[Seen] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    compact_revision: int = 0
    """Of the last watch that began below it."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _call: object = None

    def __enter__(self) -> Watching:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._call is not None:
            self._call.cancel()  # type: ignore[attr-defined]
        assert self._thread is not None
        self._thread.join(JOIN_S)
        assert not self._thread.is_alive()

    @property
    def revision(self) -> int:
        return self.seen[-1][0] if self.seen else 1

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with Calls(self.target) as calls:
                    self._watch(calls)
            except grpc.RpcError:
                self._stop.wait(0.05)

    def _watch(self, calls: Calls) -> None:
        start = max(self.revision, self.compact_revision - 1) + 1
        key, end = b"\0", b"\0"
        if self.prefix:
            key, end = self.prefix, self.prefix[:-1] + bytes((self.prefix[-1] + 1,))
        request = rpc.WatchCreateRequest(key=key, range_end=end, start_revision=start)
        self._call = calls.watch(request, timeout_s=3600)
        for response in self._call:
            if response.compact_revision:
                self.compact_revision = response.compact_revision
                return
            if response.canceled:
                return
            for event in response.events:
                self._take(event)
            if self._stop.is_set():
                return

    def _take(self, event: kv_pb2.Event) -> None:
        kv = event.kv
        if kv.mod_revision < self.revision and self.seen:
            self.problems.append(f"revision {kv.mod_revision} after {self.revision}")
        self.seen.append((kv.mod_revision, event.type, kv.key, kv.value))

    def wait_revision(self, revision: int, deadline_s: float = RETRY_S) -> None:
        """Return once everything up to `revision` has come."""
        give_up = time.monotonic() + deadline_s
        while self.revision < revision:
            assert time.monotonic() < give_up, (
                f"the watch of {self.target} is at {self.revision}, not at {revision}"
            )
            time.sleep(0.02)
