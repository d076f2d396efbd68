"""etcd's requests on a store: each function applies one and returns its encoded response.

The response comes without its header (field 1), which the caller puts in front of it:
`ResponseHeader` with the store's revision as it is after the call. Stored values go into a
response as they are.

What needs no look at the data has been refused before (`checks`), but nothing here relies on it:
whatever can stand in the log has an answer.

Source: shared facts, client.md section 6; order of checks, quirks and sub-headers as stock 3.5.1
and 3.4.23 answer (`tests/interop/test_stock_hash.py` compares the bytes).
"""

from __future__ import annotations

from itertools import chain

from kvorum.errors import KeyNotFoundError, LeaseNotFoundError
from kvorum.mvcc.compaction import Compaction
from kvorum.mvcc.keyvalue import parse, value_of, without_value
from kvorum.mvcc.store import Store
from kvorum.mvcc.write import WriteTxn
from kvorum.proto.kv_pb2 import KeyValue
from kvorum.proto.rpc_pb2 import CompactionRequest, DeleteRangeRequest, PutRequest, RangeRequest
from kvorum.proto.wire import varint

SORT_NONE, SORT_ASCEND, SORT_DESCEND = 0, 1, 2
SORT_BY_KEY, SORT_BY_VERSION, SORT_BY_CREATE, SORT_BY_MOD, SORT_BY_VALUE = range(5)

_MORE = b"\x18\x01"


class _FieldPrefixes(dict[int, bytes]):
    """Tag and length in front of a message of some size, made when first needed.

    A look-up takes 30 ns, `tag + varint(size)` 150; a list of 10,000 keys asks for 10,000.
    """

    def __init__(self, tag: bytes, kept_max: int = 0x4000) -> None:
        super().__init__()
        self._tag, self._kept_max = tag, kept_max

    def __missing__(self, size: int) -> bytes:
        prefix = self._tag + varint(size)
        if size < self._kept_max:
            self[size] = prefix
        return prefix


_KVS = _FieldPrefixes(b"\x12")  # RangeResponse.kvs and PutResponse.prev_kv are both field 2
_PREV_KVS = _FieldPrefixes(b"\x1a")  # DeleteRangeResponse.prev_kvs


def range_bound(range_end: bytes) -> bytes | None:
    """A request's `range_end` as `end` of the index: None: one key; b"": no end."""
    if not range_end:
        return None
    return b"" if range_end == b"\0" else range_end


# Range.


def apply_range(store: Store, request: RangeRequest, head: bytes = b"") -> bytes:
    """Read keys; at the newest revision, or an older one that is not compacted.

    Args:
        store: where.
        request: what.
        head: what the answer starts with (its header): a long one is put together only once.

    Raises:
        FutureRevisionError, CompactedError
    """
    return range_at(store, request, store.revision, head)


def range_at(store: Store, request: RangeRequest, newest: int, head: bytes = b"") -> bytes:
    """As `apply_range`, where `newest` is the newest revision: a write transaction sees its own."""
    store.counters.ranges += 1
    key, end, revision = request.key, request.range_end, request.revision
    if revision > 0:
        store.check_readable(revision, newest)
    if not end and (revision <= 0 or revision == newest):
        record = store.index.records.get(key)
        if record is None or not record[2]:
            return head
        if not (request.count_only or is_filtered(request)):
            stored = store.value(record[0])
            if request.keys_only:
                stored = without_value(stored)
            return head + _KVS[len(stored)] + stored + b"\x20\x01"
    return _range_many(store, request, revision if 0 < revision < newest else 0, head)


def is_filtered(request: RangeRequest) -> bool:
    return bool(
        request.min_mod_revision
        or request.max_mod_revision
        or request.min_create_revision
        or request.max_create_revision
    )


def _range_many(store: Store, request: RangeRequest, revision: int, head: bytes) -> bytes:
    """The body of a range. `revision` is 0 for the newest."""
    start, end = request.key, range_bound(request.range_end)
    index = store.index
    count = index.count_at(start, end, revision) if revision else index.count(start, end)
    # One that nothing reaches is none. It may be as high as 2^63 - 1, and one more is no int64.
    limit = request.limit if request.limit < count else 0
    tail = b"\x20" + varint(count) if count else b""
    if request.count_only:
        return head + tail
    filtered, order, target = is_filtered(request), int(request.sort_order), request.sort_target
    if target != SORT_BY_KEY and order == SORT_NONE:
        # Stock sorts what the limit left (one key more than asked for), for such a request alone.
        fetch_max, order = limit + 1 if limit > 0 and not filtered else 0, SORT_ASCEND
    elif filtered or (order != SORT_NONE and (target, order) != (SORT_BY_KEY, SORT_ASCEND)):
        fetch_max = 0
    else:
        fetch_max = max(limit, 0)
    if revision:
        rows = index.rows_at(start, end, revision, fetch_max)
    else:
        rows = index.newest_rows(start, end, fetch_max)
    values = store.values(rows)
    matching = count
    if filtered:
        values = _filtered(values, request)
        matching = len(values)
    if order == SORT_DESCEND or (order == SORT_ASCEND and target != SORT_BY_KEY):
        _sort(values, target, order == SORT_DESCEND)
    if 0 < limit < matching:
        del values[limit:]
        tail = _MORE + tail
    if request.keys_only:
        values = [without_value(stored) for stored in values]
    prefixes = map(_KVS.__getitem__, map(len, values))
    return b"".join((head, *chain.from_iterable(zip(prefixes, values, strict=True)), tail))


def _filtered(values: list[bytes], request: RangeRequest) -> list[bytes]:
    """Those between the bounds of the request; a bound of 0 is none."""
    min_mod, max_mod = request.min_mod_revision, request.max_mod_revision
    min_create, max_create = request.min_create_revision, request.max_create_revision
    kept = []
    for stored in values:
        kv = parse(stored)
        mod, create = kv.mod_revision, kv.create_revision
        if (
            (not max_mod or mod <= max_mod)
            and (not min_mod or mod >= min_mod)
            and (not max_create or create <= max_create)
            and (not min_create or create >= min_create)
        ):
            kept.append(stored)
    return kept


def _sort(values: list[bytes], target: int, descending: bool) -> None:
    """Sort stored values. Of equal ones stock's order is not defined; here it is that of keys."""
    if target == SORT_BY_KEY:
        values.reverse()  # they came in order
        return

    def by(stored: bytes) -> int | bytes:
        return _sort_key(parse(stored), target)

    values.sort(key=by, reverse=descending)


def _sort_key(kv: KeyValue, target: int) -> int | bytes:
    if target == SORT_BY_VERSION:
        return kv.version
    if target == SORT_BY_CREATE:
        return kv.create_revision
    if target == SORT_BY_MOD:
        return kv.mod_revision
    if target == SORT_BY_VALUE:
        return kv.value
    return 0  # a target outside of the enum sorts by nothing


# Put.


def apply_put(store: Store, request: PutRequest) -> bytes:
    """Put one key.

    Raises:
        LeaseNotFoundError: the lease does not exist.
        KeyNotFoundError: ignore_value or ignore_lease of a key that is not there.
    """
    lease = request.lease
    if lease and not store.lessor.exists(lease):
        raise LeaseNotFoundError
    if (request.ignore_value or request.ignore_lease) and not store.index.count(request.key, None):
        raise KeyNotFoundError
    txn = store.begin()
    body = put_in(store, txn, request)
    txn.end()
    return body


def put_in(store: Store, txn: WriteTxn, request: PutRequest) -> bytes:
    """Put a key in an open transaction; everything has been checked."""
    key, value, lease = request.key, request.value, request.lease
    body = b""
    ignore_value = request.ignore_value
    if ignore_value or request.prev_kv:
        rows = store.index.newest_rows(key, None)
        previous = store.value(rows[0]) if rows else b""
        if ignore_value:
            value = value_of(previous)
        if request.prev_kv and rows:
            body = _KVS[len(previous)] + previous
    if request.ignore_lease:
        lease = store.leases.get(key, 0)
    txn.put(key, value, lease)
    return body


# DeleteRange.


def apply_delete_range(store: Store, request: DeleteRangeRequest) -> bytes:
    """Delete the keys of a range."""
    txn = store.begin()
    body = delete_range_in(store, txn, request)
    txn.end()
    return body


def delete_range_in(store: Store, txn: WriteTxn, request: DeleteRangeRequest) -> bytes:
    """Delete the keys of a range in an open transaction."""
    start, end = request.key, range_bound(request.range_end)
    previous: list[bytes] = []
    if request.prev_kv:
        previous = store.values(store.index.newest_rows(start, end))
    deleted = txn.delete_range(start, end)
    if not deleted:
        return b""
    parts = [b"\x10", varint(deleted)]
    for stored in previous:
        parts += (_PREV_KVS[len(stored)], stored)
    return b"".join(parts)


# Compact.


def apply_compaction(store: Store, request: CompactionRequest) -> Compaction:
    """Give up the history before a revision. The body of the response is empty.

    Whether the answer waits for the rows to be removed (`physical`) is the caller's to see to, by
    `Compaction.done` and `on_done`.

    Raises:
        CompactedError, FutureRevisionError
    """
    return store.compact(request.revision)


def revision_header(revision: int) -> bytes:
    """The header of a response inside a transaction's: a revision and nothing else."""
    field = b"\x18" + varint(revision)
    return b"\x0a" + varint(len(field)) + field
