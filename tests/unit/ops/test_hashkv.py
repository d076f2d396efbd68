from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvorum.errors import CompactedError, FutureRevisionError
from kvorum.mvcc.rules import V3_6
from kvorum.ops.hashkv import FileHash, file_hash_kv
from kvorum.storage import Backend
from tests.unit.mvcc.leases import LeaseBook
from tests.unit.mvcc.stores import Client
from tests.unit.ops.files import make_snapshot

Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "delete", "compact"]), st.integers(0, 4)),
    max_size=40,
)


@settings(max_examples=40)
@given(steps=STEPS)
def test_a_file_has_the_hash_of_its_member_at_every_revision(
    steps: list[Step], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("hash") / "db"
    told: dict[int, int] = {}
    with Backend.open(path, fsync=False) as backend:
        client = Client(backend, V3_6, LeaseBook())
        for kind, n in steps:
            if kind == "put":
                client.put(b"k%d" % n, b"v")
            elif kind == "delete":
                client.delete(b"k%d" % n)
            elif client.store.revision - n > max(client.store.compact_revision, 0):
                client.compact(client.store.revision - n)
        compacted, newest = client.store.compact_revision, client.store.revision
        for revision in range(max(compacted, 1), newest + 1):
            told[revision] = client.store.hash_kv(revision)[0]
    snapshot = make_snapshot(path, path.with_name("snapshot"))
    for revision, expected in told.items():
        found = FileHash(hash=expected, hash_revision=revision, compact_revision=compacted)
        assert file_hash_kv(path, revision) == found
        assert file_hash_kv(snapshot, revision) == found
    assert file_hash_kv(path).hash_revision == newest


def test_revisions_that_are_not_there_are_refused_as_by_a_member(database: Path) -> None:
    newest = file_hash_kv(database)
    assert file_hash_kv(database, newest.compact_revision)
    with pytest.raises(CompactedError):
        file_hash_kv(database, newest.compact_revision - 1)
    with pytest.raises(FutureRevisionError):
        file_hash_kv(database, newest.hash_revision + 1)


def test_an_empty_store_has_stocks_hash(tmp_path: Path) -> None:
    Backend.open(tmp_path / "db").close()
    expected = FileHash(hash=1084519789, hash_revision=1, compact_revision=-1)
    assert file_hash_kv(tmp_path / "db") == expected
