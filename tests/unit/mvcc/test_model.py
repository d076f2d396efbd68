"""Random requests to a store and to a model of one: they agree in everything.

What a whole etcd answers to random requests is compared in tests/interop/test_stock_hash.py.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvorum.errors import CompactedError, FutureRevisionError
from kvorum.mvcc.rules import V3_5, V3_6, Rules
from kvorum.proto.kv_pb2 import KeyValue
from kvorum.proto.rpc_pb2 import RangeRequest
from tests.unit.mvcc.model import Model
from tests.unit.mvcc.stores import Client, open_client

LEASES = (7, 8)
KEYS = st.sampled_from([b"a", b"a\0", b"b", b"c", b"d", b"\0", b"\xff"])
ENDS = st.one_of(st.none(), st.just(b""), KEYS)
LEASE_IDS = st.sampled_from([0, 0, *LEASES])

PUTS = st.tuples(st.just("put"), KEYS, st.binary(max_size=3), LEASE_IDS)
DELETES = st.tuples(st.just("delete"), KEYS, ENDS)
WRITES = st.tuples(
    st.just("write"), st.lists(st.one_of(PUTS, PUTS, DELETES), min_size=1, max_size=4)
)
RANGES = st.tuples(
    st.just("range"),
    KEYS,
    ENDS,
    st.integers(0, 12),
    st.fixed_dictionaries(
        {},
        optional={
            "limit": st.integers(-1, 4),
            "keys_only": st.booleans(),
            "count_only": st.booleans(),
            "sort_order": st.integers(0, 2),
            "sort_target": st.integers(0, 4),
            "min_mod_revision": st.integers(0, 9),
            "max_mod_revision": st.integers(0, 9),
            "min_create_revision": st.integers(0, 9),
            "max_create_revision": st.integers(0, 9),
        },
    ),
)
COMPACTIONS = st.tuples(st.just("compact"), st.integers(0, 12))
STEPS = st.tuples(st.just("step"), st.integers(1, 3))
RESTARTS = st.tuples(st.just("restart"), st.booleans())
ACTIONS = st.lists(
    st.one_of(WRITES, WRITES, WRITES, WRITES, RANGES, COMPACTIONS, STEPS, RESTARTS),
    min_size=5,
    max_size=40,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(actions=ACTIONS, rules=st.sampled_from([V3_6, V3_5]))
def test_a_store_does_what_its_model_does(actions: list[tuple[Any, ...]], rules: Rules) -> None:
    with open_client(*LEASES, rules=rules) as client:
        model = Model(rules)
        for action in actions:
            _do(client, model, *action)
            assert client.store.revision == model.revision
            assert client.store.compact_revision == model.compact_revision
        _compare_all(client, model)


def _do(client: Client, model: Model, kind: str, *arguments: Any) -> None:
    if kind == "write":
        model.write(*arguments)
        txn = client.store.begin()
        for operation in arguments[0]:
            if operation[0] == "put":
                txn.put(*operation[1:])
            else:
                txn.delete_range(*operation[1:])
        txn.end()
    elif kind == "range":
        _compare_range(client, model, *arguments)
    elif kind == "compact":
        _compact(client, model, *arguments)
    elif kind == "step":
        client.store.step_compaction(*arguments)
    else:
        if arguments[0]:
            client.backend.commit()
        client.restart()


def _compact(client: Client, model: Model, revision: int) -> None:
    if revision > model.revision:
        with pytest.raises(FutureRevisionError):
            client.store.compact(revision)
    elif revision <= model.compact_revision:
        with pytest.raises(CompactedError):
            client.store.compact(revision)
    else:
        client.store.compact(revision)
        model.compact(revision)


def _compare_range(
    client: Client, model: Model, start: bytes, end: bytes | None, revision: int, options: Any
) -> None:
    request = RangeRequest(**options)
    range_end = {None: b"", b"": b"\0"}.get(end, end)

    def ask() -> Any:
        return client.range(start, range_end, revision=revision, **options)

    if revision > model.revision:
        with pytest.raises(FutureRevisionError):
            ask()
        return
    if 0 < revision < model.compact_revision:
        with pytest.raises(CompactedError):
            ask()
        return
    kvs = model.range(start, end if end != b"\0" else b"", revision)
    response = ask()
    assert response.count == len(kvs)
    if request.count_only:
        assert not response.kvs
        return
    wanted, more = _selected(kvs, request)
    assert response.more == more
    assert list(response.kvs) == wanted


def _selected(kvs: list[KeyValue], request: RangeRequest) -> tuple[list[KeyValue], bool]:
    """What a request wants of the keys of its range, and whether there is more."""
    limit = request.limit
    filters = (
        ("mod_revision", request.min_mod_revision, request.max_mod_revision),
        ("create_revision", request.min_create_revision, request.max_create_revision),
    )
    filtered = any(low or high for _, low, high in filters)
    if limit > 0 and not filtered and not request.sort_order:
        kvs = kvs[: limit + 1]
    for name, low, high in filters:
        kvs = [
            kv for kv in kvs if getattr(kv, name) >= low and (not high or getattr(kv, name) <= high)
        ]
    by = ("key", "version", "create_revision", "mod_revision", "value")[request.sort_target]
    kvs = sorted(kvs, key=lambda kv: getattr(kv, by), reverse=request.sort_order == 2)
    more = 0 < limit < len(kvs)
    if more:
        kvs = kvs[:limit]
    if request.keys_only:
        kvs = [KeyValue.FromString(kv.SerializeToString()) for kv in kvs]
        for kv in kvs:
            kv.ClearField("value")
    return kvs, more


def _compare_all(client: Client, model: Model) -> None:
    """Everything that can still be asked."""
    store = client.store
    for revision in range(max(model.compact_revision, 1), model.revision + 1):
        alive = model.alive(revision)
        for key in (b"a", b"a\0", b"b", b"c", b"d", b"\0", b"\xff"):
            stored = store.kv_at(key, revision)
            kv = alive.get(key)
            assert stored == (None if kv is None else kv.SerializeToString())
        assert store.index.count_at(b"a", b"c", revision) == len(model.range(b"a", b"c", revision))
    _compare_history(client, model)
    newest = {key: kv.lease for key, kv in model.alive(model.revision).items() if kv.lease}
    assert store.leases == newest
    for lease, keys in client.book.keys.items():
        assert keys == {key for key, held in newest.items() if held == lease}
    lowest = model.compact_revision + (0 if store.rules.hash_at_compact_revision else 1)
    while_compacting = [store.hash_kv(at)[0] for at in range(max(lowest, 1), model.revision + 1)]
    client.finish_compactions()
    assert client.rows() == model.rows()
    after = [store.hash_kv(at)[0] for at in range(max(lowest, 1), model.revision + 1)]
    # With no key alive stock hashes rows that a compaction is about to remove.
    alive = [bool(model.alive(at)) for at in range(max(lowest, 1), model.revision + 1)]
    assert [a for a, keep in zip(while_compacting, alive, strict=True) if keep] == [
        a for a, keep in zip(after, alive, strict=True) if keep
    ]
    if store.rules is V3_6:
        assert after == [model.hash_kv(at) for at in range(max(lowest, 1), model.revision + 1)]


def _compare_history(client: Client, model: Model) -> None:
    start = max(model.compact_revision, 1)
    found = [
        (revision, event.is_delete, event.key, event.kv)
        for revision, events in client.store.events_between(start, model.revision, chunk_rows=2)
        for event in events
        if revision > start
    ]
    wanted = []
    for change in model.changes:
        if change.main > start:
            kv = change.kv
            if change.deletes:
                kv = KeyValue(key=kv.key, mod_revision=change.main)
            wanted.append((change.main, change.deletes, kv.key, kv.SerializeToString()))
    assert found == wanted
    told = [
        (revision, event.is_delete, event.key, event.kv)
        for revision, events in client.events
        for event in events
        if revision > start
    ]
    assert told == wanted
