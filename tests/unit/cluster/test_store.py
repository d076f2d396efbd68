"""The membership buckets: keys and values as stock writes them, and what damage looks like."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvorum.cluster.member import Member
from kvorum.cluster.store import MembershipStore
from kvorum.errors import CorruptionError
from kvorum.proto.versions import Version
from kvorum.storage.backend import Backend
from kvorum.storage.buckets import CLUSTER, CLUSTER_VERSION, MEMBERS, MEMBERS_REMOVED


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    with Backend.open(tmp_path / "db", fsync=False) as backend:
        yield backend


@pytest.fixture
def store(backend: Backend) -> MembershipStore:
    return MembershipStore(backend)


def test_rows_have_etcds_keys_and_values(store: MembershipStore, backend: Backend) -> None:
    store.put_member(Member(id=0xA05418C58A7BFC4, peer_urls=("http://a:1",), name="a"))
    store.put_member(Member(id=5, peer_urls=("http://b:1",)))
    store.remove_member(5)
    store.put_version(Version(3, 5, 0))
    assert backend.range(MEMBERS, b"", None) == [
        (
            b"a05418c58a7bfc4",
            b'{"id":722055386301448132,"peerURLs":["http://a:1"],"name":"a"}',
        )
    ]
    assert backend.range(MEMBERS_REMOVED, b"", None) == [(b"5", b"removed")]
    assert backend.get(CLUSTER, CLUSTER_VERSION) == b"3.5.0"


def test_an_empty_database_has_no_membership(store: MembershipStore) -> None:
    assert (store.members(), store.removed_ids(), store.version()) == ([], [], None)


def test_a_record_that_cannot_be_read_names_its_key(
    store: MembershipStore, backend: Backend
) -> None:
    backend.put(MEMBERS, b"5", b"{")
    with pytest.raises(CorruptionError, match=r"bucket members, key 5: member record is not JSON"):
        store.members()


def test_a_record_under_another_members_key_is_damage(
    store: MembershipStore, backend: Backend
) -> None:
    backend.put(MEMBERS, b"5", Member(id=6).encode())
    with pytest.raises(CorruptionError, match="holds the record of member 6"):
        store.members()


def test_a_bad_removed_id_and_a_bad_version_are_damage(
    store: MembershipStore, backend: Backend
) -> None:
    backend.put(MEMBERS_REMOVED, b"xyz", b"removed")
    with pytest.raises(CorruptionError, match="is not a member id"):
        store.removed_ids()
    backend.put(CLUSTER, CLUSTER_VERSION, b"new")
    with pytest.raises(CorruptionError, match="is not a version"):
        store.version()
