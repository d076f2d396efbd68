"""A store and a live stock member given the same requests say the same, byte for byte.

Compared after each of some hundreds of random requests: the response (or the code and text of the
error); and, time and again, HashKV at random revisions. Between requests our store is compacted in
steps of random size, and at random read back from its rows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest

from kvorum.errors import WireError, status_of
from kvorum.mvcc import checks, requests
from kvorum.mvcc.hashing import hash_all
from kvorum.mvcc.rules import V3_4, V3_5, V3_6, Rules
from kvorum.mvcc.store import Store
from kvorum.mvcc.txn import apply_txn
from kvorum.proto.rpc_pb2 import (
    CompactionRequest,
    Compare,
    DeleteRangeRequest,
    HashKVRequest,
    HashKVResponse,
    HashRequest,
    HashResponse,
    LeaseGrantRequest,
    LeaseRevokeRequest,
    PutRequest,
    RangeRequest,
    RangeResponse,
    RequestOp,
    TxnRequest,
)
from kvorum.proto.wire import read_varint
from kvorum.storage import Backend
from kvorum.storage.buckets import BUCKETS, KEY
from tests.stock import require_stock_34, require_stock_35, require_stock_36, start_stock_etcd
from tests.unit.mvcc.leases import LeaseBook
from tests.unit.mvcc.stores import put_op, range_op, txn_op
from tests.unit.mvcc.test_checks import DUPLICATES, NO_DUPLICATES

STEPS = 350
LEASES = (71, 72, 73)

METHODS = {
    "RangeRequest": "KV/Range",
    "PutRequest": "KV/Put",
    "DeleteRangeRequest": "KV/DeleteRange",
    "TxnRequest": "KV/Txn",
    "CompactionRequest": "KV/Compact",
    "HashRequest": "Maintenance/Hash",
    "HashKVRequest": "Maintenance/HashKV",
    "LeaseGrantRequest": "Lease/LeaseGrant",
    "LeaseRevokeRequest": "Lease/LeaseRevoke",
}

Answer = tuple[str, Any, int]
"""("ok", body, revision of the header) or ("error", text, code)."""


class Stock:
    def __init__(self, channel: grpc.Channel, database: Path) -> None:
        self._channel = channel
        self._database = database

    def raw(self, request: Any) -> bytes:
        method = f"/etcdserverpb.{METHODS[type(request).__name__]}"
        call = self._channel.unary_unary(method)
        return bytes(call(request.SerializeToString(), timeout=20))

    def hash_and_rows(self) -> tuple[int, dict[bytes, list[tuple[bytes, bytes]]]]:
        """Maintenance.Hash, which commits everything first, and every row of every bucket."""
        response = HashResponse.FromString(self.raw(HashRequest()))
        return response.hash, BoltFile(self._database).buckets()

    def answer(self, request: Any) -> Answer:
        try:
            response = self.raw(request)
        except grpc.RpcError as error:
            return "error", error.details(), error.code().value[0]
        assert response[0] == 0x0A
        size, start = read_varint(response, 1)
        revision = RangeResponse.FromString(response[: start + size]).header.revision
        return "ok", response[start + size :], revision


class Ours:
    def __init__(self, backend: Backend, rules: Rules) -> None:
        self.book = LeaseBook(*LEASES)
        self.rules = rules
        self.hashes_compactions = rules is V3_6
        self.store = Store(backend, self.book, rules=rules)
        self.store.compaction_hashes.enabled = self.hashes_compactions

    def answer(self, request: Any) -> Answer:
        try:
            body = self._apply(request)
        except WireError as error:
            return "error", error.message, int(status_of(error))
        return "ok", body, self.store.revision

    def _apply(self, request: Any) -> bytes:
        store = self.store
        if isinstance(request, RangeRequest):
            checks.check_range(request, self.rules)
            return requests.apply_range(store, request)
        if isinstance(request, PutRequest):
            checks.check_put(request)
            return requests.apply_put(store, request)
        if isinstance(request, DeleteRangeRequest):
            checks.check_delete_range(request)
            return requests.apply_delete_range(store, request)
        if isinstance(request, TxnRequest):
            checks.check_txn(request, self.rules)
            return apply_txn(store, request)
        if isinstance(request, CompactionRequest):
            requests.apply_compaction(store, request)
            return b""
        if isinstance(request, HashKVRequest):
            return self._hash_kv(request.revision).SerializeToString()
        assert isinstance(request, LeaseRevokeRequest)
        txn = store.begin()
        for key in sorted(self.book.keys[request.ID]):
            txn.delete_range(key, None)
        txn.end()
        return b""

    def _hash_kv(self, revision: int) -> HashKVResponse:
        """From 3.6 on, at a revision that was compacted: the hash that the compaction made."""
        self._finish_compaction()
        made = self.store.compaction_hashes.at(revision)
        if made is not None:
            return HashKVResponse(
                hash=made.value, compact_revision=made.compact_revision, hash_revision=made.revision
            )
        crc, compact_revision, newest = self.store.hash_kv(revision)
        response = HashKVResponse(hash=crc, compact_revision=compact_revision)
        if self.hashes_compactions:
            response.hash_revision = revision or newest
        return response

    def _finish_compaction(self) -> None:
        """A stock member has its hash when it has answered; a half of one is not hashed."""
        while self.hashes_compactions and self.store.step_compaction():
            pass

    def reload(self, backend: Backend) -> None:
        """Read it back from its rows; but the hashes, which the stock member keeps."""
        for keys in self.book.keys.values():
            keys.clear()
        self._finish_compaction()
        made = self.store.compaction_hashes.newest_first()
        self.store = Store(backend, self.book, rules=self.rules)
        self.store.compaction_hashes.enabled = self.hashes_compactions
        for one in reversed(made):
            self.store.compaction_hashes.add(one)


class Requests:
    """Random requests, some of them wrong."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.revision = 1
        self.names = [b"k%02d" % n for n in range(20)] + [b"\0", b"\xff\xff", b"k05\0"]
        self.count = 0

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def key(self) -> bytes:
        return b"" if self.chance(0.005) else self.random.choice(self.names)

    def range_end(self) -> bytes:
        if self.chance(0.5):
            return b""
        return b"\0" if self.chance(0.3) else self.random.choice(self.names)

    def old_revision(self) -> int:
        if self.chance(0.6):
            return 0
        return self.random.randint(max(-2, self.revision - 40), self.revision + 1)

    def range(self) -> RangeRequest:
        request = RangeRequest(
            key=self.key(),
            range_end=self.range_end(),
            revision=self.old_revision(),
            keys_only=self.chance(0.2),
            count_only=self.chance(0.15),
        )
        if self.chance(0.4):
            request.limit = self.random.randint(-1, 8)
        if self.chance(0.3):
            request.sort_order = self.random.randint(0, 2)
            request.sort_target = self.random.randint(0, 4)
        if self.chance(0.2):
            for bound in ("min_mod", "max_mod", "min_create", "max_create"):
                if self.chance(0.4):
                    low = max(-1, self.revision - 30)
                    setattr(request, f"{bound}_revision", self.random.randint(low, self.revision))
        return request

    def put(self) -> PutRequest:
        self.count += 1
        request = PutRequest(key=self.key(), value=b"v%d" % self.count)
        if self.chance(0.1):
            request.value = b"x" * self.random.choice((0, 130, 20_000))
        if self.chance(0.3):
            request.lease = self.random.choice((*LEASES, *LEASES, 99, -1))
        if self.chance(0.15):
            request.ignore_value = True
            if self.chance(0.9):
                request.value = b""
        if self.chance(0.15):
            request.ignore_lease = True
            if self.chance(0.9):
                request.lease = 0
        request.prev_kv = self.chance(0.3)
        return request

    def delete(self) -> DeleteRangeRequest:
        request = DeleteRangeRequest(key=self.key(), prev_kv=self.chance(0.4))
        if self.chance(0.3):
            place = self.random.randrange(len(self.names) - 3)
            request.key = self.names[place]
            request.range_end = self.names[place + self.random.randint(0, 3)]
        return request

    def compare(self) -> Compare:
        request = Compare(
            key=self.key(), target=self.random.randint(0, 4), result=self.random.randint(0, 3)
        )
        if self.chance(0.2):
            request.range_end = self.range_end()
        kind = self.random.choice(("version", "create_revision", "mod_revision", "lease", "value"))
        if kind == "value":
            request.value = b"v%d" % self.random.randint(max(0, self.count - 30), self.count)
        else:
            setattr(request, kind, self.random.choice((0, 1, 2, 71, self.revision)))
        return request

    def txn(self, depth: int = 0) -> TxnRequest:
        return TxnRequest(
            compare=[self.compare() for _ in range(self.random.choice((0, 0, 1, 2)))],
            success=self.operations(depth),
            failure=self.operations(depth),
        )

    def operations(self, depth: int) -> list[RequestOp]:
        operations = []
        for _ in range(self.random.choice((0, 1, 2, 3))):
            draw = self.random.random()
            if draw < 0.35:
                operations.append(RequestOp(request_put=self.put()))
            elif draw < 0.65:
                operations.append(RequestOp(request_range=self.range()))
            elif draw < 0.85:
                operations.append(RequestOp(request_delete_range=self.delete()))
            elif draw < 0.99 and depth < 3:
                operations.append(RequestOp(request_txn=self.txn(depth + 1)))
            elif draw > 0.995:
                operations.append(RequestOp())
        return operations

    def any(self) -> Any:
        draw = self.random.random()
        if draw < 0.35:
            return self.put()
        if draw < 0.6:
            return self.range()
        if draw < 0.72:
            return self.delete()
        if draw < 0.9:
            return self.txn()
        if draw < 0.92:
            return LeaseRevokeRequest(ID=self.random.choice(LEASES))
        if draw < 0.95:
            low = max(-1, self.revision - 30)
            revision = self.random.randint(low, self.revision + 1)
            return CompactionRequest(revision=revision, physical=True)
        return HashKVRequest(revision=self.old_revision())


def unordered(request: Any, answer: Answer) -> Answer:
    """The answer with ties of a sort brought into one order; stock's order of them is undefined."""
    if answer[0] != "ok" or not isinstance(request, RangeRequest) or not request.sort_target:
        return answer
    response = RangeResponse.FromString(answer[1])
    sorted_by = ("key", "version", "create_revision", "mod_revision", "value")[request.sort_target]
    ranks = [] if request.keys_only else [getattr(kv, sorted_by) for kv in response.kvs]
    # A limit may cut through a tie.
    rest = None if request.limit else sorted(kv.SerializeToString() for kv in response.kvs)
    return "ok", (ranks, rest, len(response.kvs), response.more, response.count), answer[2]


def sorts(request: Any) -> bool:
    """Whether a range inside of a transaction sorts by something that ties."""
    return isinstance(request, TxnRequest) and any(
        (operation.HasField("request_range") and operation.request_range.sort_target)
        or (operation.HasField("request_txn") and sorts(operation.request_txn))
        for branch in (request.success, request.failure)
        for operation in branch
    )


class BoltFile:
    """Just enough of a reader of bbolt files (shared facts, disk.md section 4) to see every row."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        (self._page_size,) = struct.unpack_from("<I", self._data, 24)
        metas = [struct.unpack_from("<Q24xQ", self._data, n * self._page_size + 32) for n in (0, 1)]
        self._root = max(metas, key=lambda meta: meta[1])[0]

    def buckets(self) -> dict[bytes, list[tuple[bytes, bytes]]]:
        return {name: self._bucket(value) for name, value in self._page(self._root)}

    def _bucket(self, value: bytes) -> list[tuple[bytes, bytes]]:
        (root,) = struct.unpack_from("<Q", value)
        return list(self._page(root) if root else self._elements(value, 16))

    def _page(self, page: int) -> Iterator[tuple[bytes, bytes]]:
        return self._elements(self._data, page * self._page_size)

    def _elements(self, data: bytes, start: int) -> Iterator[tuple[bytes, bytes]]:
        flags, count = struct.unpack_from("<HH", data, start + 8)
        for element in range(start + 16, start + 16 + 16 * count, 16):
            if flags & 1:  # a branch
                (child,) = struct.unpack_from("<Q", data, element + 8)
                yield from self._page(child)
            else:
                place, key_size, value_size = struct.unpack_from("<III", data, element + 4)
                key = element + place
                value = key + key_size
                yield data[key:value], data[value : value + value_size]


VERSIONS = {
    "3.6": (require_stock_36, V3_6),
    "3.5": (require_stock_35, V3_5),
    "3.4": (require_stock_34, V3_4),
}


@contextmanager
def pair(version: str, folder: Path) -> Iterator[tuple[Stock, Ours, Backend]]:
    """A stock member, and a store with the rules of its version."""
    require, rules = VERSIONS[version]
    flags = [] if version == "3.4" else ["--unsafe-no-fsync"]
    with (
        start_stock_etcd(require(), *flags) as member,
        Backend.open(folder / "db", fsync=False) as backend,
        grpc.insecure_channel(member.client_url.removeprefix("http://")) as channel,
    ):
        stock = Stock(channel, member.data_dir / "member" / "snap" / "db")
        for lease in LEASES:
            stock.raw(LeaseGrantRequest(ID=lease, TTL=3600))
        yield stock, Ours(backend, rules), backend


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_stock_member_and_a_store_answer_alike(version: str, seed: int, tmp_path: Path) -> None:
    random = Random(f"{version} {seed}")
    source = Requests(random)
    with pair(version, tmp_path) as (stock, ours, backend):
        live = set(LEASES)
        for step in range(STEPS):
            request = source.any()
            if isinstance(request, LeaseRevokeRequest):
                if request.ID not in live:
                    continue
                live.remove(request.ID)
            if isinstance(request, TxnRequest) and sorts(request):
                continue
            theirs, mine = stock.answer(request), ours.answer(request)
            assert unordered(request, mine) == unordered(request, theirs), (step, request)
            source.revision = ours.store.revision
            if isinstance(request, LeaseRevokeRequest):
                del ours.book.keys[request.ID]
            if random.random() < 0.3:
                ours.store.step_compaction(random.randint(1, 5))
            if random.random() < 0.03:
                backend.maybe_commit_nowait()
                ours.reload(backend)
        for revision in range(ours.store.compact_revision, ours.store.revision + 1):
            check = HashKVRequest(revision=max(0, revision))
            assert ours.answer(check) == stock.answer(check), revision
        while ours.store.step_compaction():
            pass
        their_hash, their_rows = stock.hash_and_rows()
        assert backend.range(KEY, b"", None) == their_rows[KEY.name]
        for bucket in BUCKETS:
            for key, value in their_rows[bucket.name]:
                backend.put(bucket, key, value)
        assert hash_all(backend, ours.rules.hash_ignored_meta) == their_hash
        ours.reload(backend)
        for revision in range(ours.store.compact_revision, ours.store.revision + 1):
            check = HashKVRequest(revision=max(0, revision))
            assert ours.answer(check) == stock.answer(check), revision


@pytest.mark.parametrize("version", VERSIONS)
def test_an_empty_store_hashes_as_an_empty_stock_member(version: str, tmp_path: Path) -> None:
    with pair(version, tmp_path) as (stock, ours, _):
        for revision in (0, 1, -1, 2):
            request = HashKVRequest(revision=revision)
            assert ours.answer(request) == stock.answer(request)


@pytest.mark.parametrize("version", VERSIONS)
def test_transactions_are_refused_as_stock_refuses_them(version: str, tmp_path: Path) -> None:
    """The limits and quirks that a random request is unlikely to meet."""

    def ranges(count: int) -> list[RequestOp]:
        return [range_op(b"k", keys_only=True) for _ in range(count)]

    compares = [Compare(key=b"k")] * 128
    asked = [TxnRequest(success=operations) for operations in DUPLICATES.values()]
    asked += [TxnRequest(failure=operations) for operations in DUPLICATES.values()]
    asked += [TxnRequest(success=operations) for operations in NO_DUPLICATES.values()]
    asked += [
        TxnRequest(compare=compares, success=ranges(128), failure=ranges(128)),
        TxnRequest(compare=[*compares, compares[0]]),
        TxnRequest(success=ranges(129)),
        TxnRequest(success=[*ranges(99), txn_op(*ranges(28))]),
        TxnRequest(success=[*ranges(99), txn_op(*ranges(29))]),
        TxnRequest(success=[*ranges(98), txn_op(*ranges(28)), txn_op(*ranges(28))]),
        TxnRequest(success=[*ranges(128), put_op(b""), RequestOp()]),
        TxnRequest(success=[RequestOp(), put_op(b"")]),
        TxnRequest(success=[put_op(b""), RequestOp()]),
        TxnRequest(compare=[Compare(key=b"k", target=9, version=5, result=3)]),
        TxnRequest(compare=[Compare(key=b"k", target=0, version=5, result=9)]),
        TxnRequest(success=[range_op(b"k", revision=-1), range_op(b"k", revision=-2)]),
        TxnRequest(success=[range_op(b"k", revision=-1)]),
    ]
    with pair(version, tmp_path) as (stock, ours, _):
        for request in (PutRequest(key=b"k", value=b"v"), *asked):
            assert ours.answer(request) == stock.answer(request), request
