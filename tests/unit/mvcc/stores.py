"""What the tests of the store share: a store on a real backend, and requests as short calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kvorum.mvcc import requests
from kvorum.mvcc.events import Event
from kvorum.mvcc.rules import V3_6, Rules
from kvorum.mvcc.store import Store
from kvorum.mvcc.txn import apply_txn
from kvorum.proto.kv_pb2 import KeyValue
from kvorum.proto.rpc_pb2 import (
    DeleteRangeRequest,
    DeleteRangeResponse,
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    RequestOp,
    TxnRequest,
    TxnResponse,
)
from kvorum.storage import Backend
from kvorum.storage.buckets import KEY
from tests.unit.mvcc.leases import LeaseBook


class Client:
    """A store, and what it told."""

    def __init__(self, backend: Backend, rules: Rules, book: LeaseBook) -> None:
        self.backend = backend
        self.book = book
        self.events: list[tuple[int, list[Event]]] = []
        self.store = Store(backend, book, self._on_events, rules=rules)

    def _on_events(self, revision: int, events: list[Event]) -> None:
        assert revision == self.store.revision
        self.events.append((revision, events))

    def restart(self) -> None:
        """Read the store back from its rows."""
        for keys in self.book.keys.values():
            keys.clear()
        self.store = Store(self.backend, self.book, self._on_events, rules=self.store.rules)

    def put(self, key: bytes, value: bytes = b"", **options: Any) -> PutResponse:
        request = PutRequest(key=key, value=value, **options)
        return PutResponse.FromString(requests.apply_put(self.store, request))

    def range(self, key: bytes, range_end: bytes = b"", **options: Any) -> RangeResponse:
        request = RangeRequest(key=key, range_end=range_end, **options)
        return RangeResponse.FromString(requests.apply_range(self.store, request))

    def keys(self, key: bytes, range_end: bytes = b"", **options: Any) -> list[bytes]:
        return [kv.key for kv in self.range(key, range_end, **options).kvs]

    def get(self, key: bytes, revision: int = 0) -> KeyValue | None:
        kvs = self.range(key, revision=revision).kvs
        return kvs[0] if kvs else None

    def delete(self, key: bytes, range_end: bytes = b"", **options: Any) -> DeleteRangeResponse:
        request = DeleteRangeRequest(key=key, range_end=range_end, **options)
        return DeleteRangeResponse.FromString(requests.apply_delete_range(self.store, request))

    def txn(self, *success: RequestOp, **fields: Any) -> TxnResponse:
        request = TxnRequest(success=success, **fields)
        return TxnResponse.FromString(apply_txn(self.store, request))

    def compact(self, revision: int) -> None:
        """Compact, and wait until the rows are gone."""
        self.store.compact(revision)
        self.finish_compactions()

    def finish_compactions(self) -> None:
        while self.store.step_compaction():
            pass

    def rows(self) -> list[tuple[bytes, bytes]]:
        return self.backend.range(KEY, b"", None)


def put_op(key: bytes, value: bytes = b"", **options: Any) -> RequestOp:
    return RequestOp(request_put=PutRequest(key=key, value=value, **options))


def range_op(key: bytes, range_end: bytes = b"", **options: Any) -> RequestOp:
    return RequestOp(request_range=RangeRequest(key=key, range_end=range_end, **options))


def delete_op(key: bytes, range_end: bytes = b"", **options: Any) -> RequestOp:
    request = DeleteRangeRequest(key=key, range_end=range_end, **options)
    return RequestOp(request_delete_range=request)


def txn_op(*success: RequestOp, **fields: Any) -> RequestOp:
    return RequestOp(request_txn=TxnRequest(success=success, **fields))


@contextmanager
def open_client(*leases: int, rules: Rules = V3_6) -> Iterator[Client]:
    with (
        TemporaryDirectory() as folder,
        Backend.open(Path(folder) / "db", fsync=False) as backend,
    ):
        yield Client(backend, rules, LeaseBook(*leases))
