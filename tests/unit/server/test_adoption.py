"""Adoption of stock etcd's directories, made by hand. Real ones: tests/interop/test_adoption.py."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest

from kvorum.cluster import v2store
from kvorum.cluster.member import Member
from kvorum.cluster.members import add_change, remove_change, update_change
from kvorum.cluster.versions import DowngradeError
from kvorum.errors import ConfigError, CorruptionError
from kvorum.proto.membership_pb2 import Attributes
from kvorum.proto.raftpb import ConfState
from kvorum.proto.versions import Version
from kvorum.server.adoption import ADOPTING, AdoptionOptions, adopt, logged
from kvorum.server.log import NO_LOG, Event, Level, Logger
from kvorum.server.opening import OpenedMember, open_member
from kvorum.storage.bbolt import is_bolt
from kvorum.storage.buckets import (
    ALARM,
    AUTH,
    AUTH_ENABLED,
    CLUSTER,
    CLUSTER_VERSION,
    CONF_STATE,
    DOWNGRADE,
    KEY,
    LEASE,
    MEMBERS,
    META,
    STORAGE_VERSION,
    TERM,
    decode_u64,
    member_key,
)
from kvorum.wal import WalSnapshot, read_wal
from tests.unit.server.members import options_of
from tests.unit.server.stock_directory import OTHER, OWN, TERM_NOW, StockDirectory, write_bolt

LOCK_WAIT_S = 0.2


@pytest.fixture
def stock(tmp_path: Path) -> StockDirectory:
    return StockDirectory(tmp_path / "data")


def opened(stock: StockDirectory, log: Logger = NO_LOG, **more: Any) -> OpenedMember:
    return open_member(options_of(stock.path, **more), log)


def adopt_quickly(stock: StockDirectory) -> None:
    """Without the wait for another process's lock."""
    options = AdoptionOptions(data_dir=stock.path, wal_dir=stock.wal_dir, lock_wait_s=LOCK_WAIT_S)
    lock = adopt(options, NO_LOG)
    if lock is not None:
        lock.release()


def assert_untouched(stock: StockDirectory, before: dict[str, bytes]) -> None:
    assert stock.files() == before
    assert is_bolt(stock.database)


def test_every_row_of_clients_is_there_afterwards(stock: StockDirectory) -> None:
    for number in range(300):
        stock.put(b"key/%d" % number, b"v" * number)
    long_name = b"\x0a" + b"n" * 600
    stock.rows = {LEASE: {b"\0" * 8: b"lease"}, ALARM: {b"\x08\x01": b"\x01", long_name: b"\x02"}}
    stock.write()
    member = opened(stock)
    try:
        assert member.applied_index == 301
        assert dict(member.backend.range(KEY, b"", None)) == stock.keys
        assert dict(member.backend.range(LEASE, b"", None)) == stock.rows[LEASE]
        assert dict(member.backend.range(ALARM, b"", None)) == stock.rows[ALARM]
    finally:
        member.close()
    assert not is_bolt(stock.database)


def test_the_member_is_the_same_one(stock: StockDirectory) -> None:
    stock.write()
    member = opened(stock)
    try:
        assert (member.member_id, member.cluster.id, member.is_new) == (OWN.id, 0xC1, False)
        assert member.cluster.members() == [OWN]
    finally:
        member.close()


def test_an_adopted_directory_is_not_adopted_again(stock: StockDirectory) -> None:
    stock.write()
    opened(stock).close()
    before = stock.database.stat().st_ino
    opened(stock).close()
    assert stock.database.stat().st_ino == before


@pytest.mark.parametrize("version", ["3.4", "3.5"])
def test_the_members_are_those_of_the_log_and_not_those_of_the_rows(
    stock: StockDirectory, version: str
) -> None:
    """3.5.1 never overwrites a row; a restored directory of 3.4 has those of another cluster."""
    stock.version = version
    attributes = '{"name":"new name","clientURLs":["http://127.0.0.1:1"]}'
    stock.v2("PUT", f"/0/members/{OWN.id:x}/attributes", attributes)
    stock.v2("PUT", "/0/version", f"{version}.0")
    stock.change(update_change(1, OWN.id, ["http://127.0.0.1:9"]))
    learner = Member(id=0xB2, peer_urls=("http://127.0.0.1:7",), is_learner=True)
    stock.change(add_change(2, learner))
    stock.change(remove_change(3, learner.id))
    stale = Member(id=0x99, peer_urls=("http://127.0.0.1:1",), name="stale")
    stock.rows = {
        MEMBERS: {member_key(0x99): stale.encode()},
        META: {CONF_STATE: b'{"voters":[153],"auto_leave":false}'},
        CLUSTER: {CLUSTER_VERSION: b"3.0.0", DOWNGRADE: b'{"enabled":false}'},
    }
    stock.write()
    member = opened(stock)
    try:
        (own,) = member.cluster.members()
        assert own == Member(
            id=OWN.id,
            name="new name",
            peer_urls=("http://127.0.0.1:9",),
            client_urls=("http://127.0.0.1:1",),
        )
        assert member.cluster.removed_ids() == [learner.id]
        assert str(member.cluster.version) == f"{version}.0"
        assert member.storage.initial_state()[1].voters == [OWN.id]
        assert member.backend.get(CLUSTER, DOWNGRADE) == b'{"enabled":false}'
        assert decode_u64(member.backend.get(META, TERM) or b"") == TERM_NOW
    finally:
        member.close()


def test_the_log_is_replayed_from_the_newest_snapshot_to_the_consistent_index_only(
    stock: StockDirectory,
) -> None:
    """What is behind the consistent index is applied by the start; twice would be once too many."""
    renamed = Member(id=OWN.id, peer_urls=OWN.peer_urls, name="in the snapshot")
    stock.snapshot_at = stock.put(b"a", b"")
    stock.snapshot_data = v2store.encode([renamed], [0xDD], Version(3, 5))
    attributes = Attributes(name="of the log", client_urls=[])
    publication = {"member_ID": OWN.id, "member_attributes": attributes}
    stock.applied = stock.request(cluster_member_attr_set=publication)
    stock.request(cluster_version_set={"ver": "3.6.0"})
    stock.write()
    member = opened(stock)
    try:
        assert [m.name for m in member.cluster.members()] == ["of the log"]
        assert member.cluster.removed_ids() == [0xDD]
        assert str(member.cluster.version) == "3.5.0"
        assert (member.applied_index, member.snapshot_index) == (3, 2)
        assert member.storage.last_index() == 4
    finally:
        member.close()


def test_of_data_of_36_the_database_says_who_the_members_are(stock: StockDirectory) -> None:
    known = Member(id=OWN.id, peer_urls=("http://127.0.0.1:6",), name="row")
    stock.rows = {
        MEMBERS: {member_key(OWN.id): known.encode()},
        META: {STORAGE_VERSION: b"3.6.0"},
        CLUSTER: {CLUSTER_VERSION: b"3.6.0"},
    }
    stock.write()
    member = opened(stock)
    try:
        assert member.cluster.members() == [known]
        assert member.backend.get(META, STORAGE_VERSION) == b"3.6.0"
        assert member.storage.initial_state()[1].voters == [OWN.id]
    finally:
        member.close()


def test_a_member_of_a_larger_cluster_keeps_all_members(stock: StockDirectory) -> None:
    stock.change(add_change(0, OTHER))
    stock.write()
    member = opened(stock)
    try:
        assert member.cluster.members() == [OWN, OTHER]
        assert member.storage.initial_state()[1].voters == [OWN.id, OTHER.id]
    finally:
        member.close()


def test_a_snapshot_that_contradicts_itself_is_refused(stock: StockDirectory) -> None:
    stock.snapshot_at = stock.put(b"a", b"")
    stock.snapshot_conf = ConfState(voters=[OWN.id, OTHER.id])
    stock.write()
    before = stock.files()
    with pytest.raises(CorruptionError, match=r"voters \[a1 a2\].*is not that of its members"):
        opened(stock)
    assert_untouched(stock, before)


def test_a_snapshot_that_the_log_does_not_know_is_ignored(stock: StockDirectory) -> None:
    stock.put(b"a", b"")
    stock.snapshot_at = 1
    stock.write()
    (snapshot,) = stock.snap_dir.glob("*.snap")
    snapshot.rename(snapshot.with_name(f"{TERM_NOW:016x}-{2:016x}.snap"))
    stray = v2store.encode([], [], None)
    assert stray
    member = opened(stock)
    try:
        assert member.applied_index == 2
    finally:
        member.close()


def test_U14_a_snapshot_without_a_database_is_refused(stock: StockDirectory) -> None:
    stock.snapshot_at = stock.put(b"a", b"")
    stock.write()
    stock.database.unlink()
    with pytest.raises(CorruptionError, match="database file of the backend is missing, but there"):
        opened(stock)
    assert not stock.database.exists()


def test_a_database_older_than_the_snapshot_is_refused(stock: StockDirectory) -> None:
    stock.put(b"a", b"")
    stock.snapshot_at = stock.put(b"b", b"")
    stock.applied = 1
    stock.write()
    before = stock.files()
    with pytest.raises(CorruptionError, match=r"index 1\) does not match with snapshot \(index 3"):
        opened(stock)
    assert_untouched(stock, before)


@pytest.mark.parametrize("old_is_there", [True, False])
def test_a_database_that_a_leader_has_sent_is_taken_in_its_place(
    stock: StockDirectory, old_is_there: bool
) -> None:
    """As stock does after a crash between receiving it and giving it its name."""
    stock.put(b"a", b"")
    stock.snapshot_at = stock.put(b"b", b"")
    stock.applied = 1
    stock.write()
    received = stock.snap_dir / f"{3:016x}.snap.db"
    stock.write_database(received, 3)
    if not old_is_there:
        stock.database.unlink()
    member = opened(stock)
    try:
        assert member.applied_index == 3
        assert dict(member.backend.range(KEY, b"", None)) == stock.keys
    finally:
        member.close()
    assert not received.exists()


def test_a_database_that_is_ahead_of_the_log_is_refused(stock: StockDirectory) -> None:
    stock.applied = 5
    stock.write()
    before = stock.files()
    with pytest.raises(CorruptionError, match="the log ends at index 1, but the database has"):
        opened(stock)
    assert_untouched(stock, before)


def test_a_database_without_its_log_is_refused(stock: StockDirectory) -> None:
    stock.write()
    for segment in stock.wal_dir.iterdir():
        segment.unlink()
    stock.wal_dir.rmdir()
    with pytest.raises(CorruptionError, match="the log is missing beside a database"):
        opened(stock)
    assert is_bolt(stock.database)


def test_a_database_of_somebody_else_is_refused(stock: StockDirectory) -> None:
    stock.write()
    write_bolt(stock.database, {}, more={b"zettel": {b"a": b"b"}})
    with pytest.raises(ConfigError, match="has a bucket 'zettel' that etcd does not have"):
        opened(stock)


def test_a_directory_in_use_is_refused(stock: StockDirectory) -> None:
    stock.write()
    before = stock.files()
    with stock.database.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="is in use by another process"):
            adopt_quickly(stock)
    assert_untouched(stock, before)


def test_a_cluster_at_a_higher_version_is_refused_before_anything_is_changed(
    stock: StockDirectory,
) -> None:
    stock.v2("PUT", "/0/version", "3.5.0")
    stock.write()
    before = stock.files()
    with pytest.raises(DowngradeError, match=r"determined cluster version 3\.5"):
        opened(stock, version=Version(3, 4))
    assert_untouched(stock, before)


def test_enabled_authentication_is_refused_while_it_is_not_enforced(stock: StockDirectory) -> None:
    stock.rows = {AUTH: {AUTH_ENABLED: b"\x01"}}
    stock.write()
    before = stock.files()
    with pytest.raises(ConfigError, match=r"authentication is enabled.*etcdctl auth disable"):
        opened(stock)
    assert_untouched(stock, before)


def test_requests_that_are_not_applied_yet_must_be_known(stock: StockDirectory) -> None:
    stock.request(auth_user_add={"name": "applied"})
    stock.applied = 2
    stock.request(auth_role_add={"name": "not applied"})
    stock.write()
    before = stock.files()
    with pytest.raises(ConfigError, match=r"\(auth_role_add\).*stop it with SIGTERM"):
        opened(stock)
    assert_untouched(stock, before)


def test_what_a_killed_adoption_left_is_removed(stock: StockDirectory) -> None:
    stock.write()
    (stock.snap_dir / ADOPTING).write_bytes(b"half")
    opened(stock).close()
    assert not list(stock.snap_dir.glob("db.tmp*"))
    (stock.snap_dir / ADOPTING).write_bytes(b"half")
    opened(stock).close()
    assert not list(stock.snap_dir.glob("db.tmp*"))


def test_a_full_disk_leaves_the_directory_as_it_was(
    stock: StockDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock.write()
    before = stock.files()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kvorum.storage.bulk.BulkWriter.finish", refuse)
    with pytest.raises(ConfigError, match=r"No space left.*nothing was changed. Make room for"):
        opened(stock)
    assert_untouched(stock, before)


def test_the_log_tells_what_happens_and_how_long_it_took(stock: StockDirectory) -> None:
    stock.put(b"a", b"")
    stock.write()
    events: list[Event] = []
    opened(stock, Logger(events.append, Level.INFO)).close()
    begin, end = events[0], events[1]
    assert begin.message.startswith("found a data directory of stock etcd, adopting it")
    assert begin.fields["storage-version"] == "3.5"
    assert begin.fields["consistent-index"] == 2
    assert begin.fields["members"] == ["a1"]
    assert end.message == "adopted the data directory of stock etcd"
    assert end.fields["took"].endswith("s")


def test_progress_is_in_the_log_at_most_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr("kvorum.server.adoption.monotonic_s", lambda: now_s)
    events: list[Event] = []
    tell = logged(Logger(events.append, Level.INFO))
    for done in range(0, 100, 10):
        now_s += 0.3
        tell(done, 100)
    assert [event.fields["progress"] for event in events] == ["30%", "70%"]
    assert events[0].fields["bytes-done"] == 30


# Version-2 data (U15).


def test_U15_version_2_data_of_a_snapshot_is_named_and_the_start_refused(
    stock: StockDirectory,
) -> None:
    stock.snapshot_at = stock.put(b"a", b"")
    store = json.loads(v2store.encode([OWN], [], Version(3, 5)))
    node = {"Path": "/1/config", "Value": "x", "Children": None}
    store["Root"]["Children"]["1"]["Children"]["config"] = node
    stock.snapshot_data = json.dumps(store).encode()
    stock.write()
    before = stock.files()
    with pytest.raises(ConfigError, match=r"version 2 data.*: 1 key \(/config\)") as caught:
        opened(stock)
    assert "--v2-deprecation=write-only-skip-check" in str(caught.value)
    assert_untouched(stock, before)


@pytest.mark.parametrize("applied", [None, 1])
def test_U15_version_2_requests_of_the_log_are_found_applied_or_not(
    stock: StockDirectory, applied: int | None
) -> None:
    stock.v2("PUT", "/1/a/b", "value")
    stock.applied = applied
    stock.write()
    with pytest.raises(ConfigError, match=r"1 key \(/a/b\)"):
        opened(stock)


def test_U15_version_2_data_is_kept_in_a_file_when_the_check_is_skipped(
    stock: StockDirectory,
) -> None:
    stock.v2("PUT", "/1/a/b", "välue")
    stock.write()
    events: list[Event] = []
    opened(stock, Logger(events.append, Level.INFO), skip_v2_check=True).close()
    kept = stock.snap_dir / f"v2-data-{2:016x}.json"
    value = json.loads(kept.read_bytes())
    assert value["keys"] == ["/a/b"]
    (request,) = value["requests"]
    assert (request["index"], request["Path"], request["Val"]) == (2, "/1/a/b", "välue")
    assert kept.stat().st_mode & 0o777 == 0o600
    (warning,) = [event for event in events if event.level is Level.WARN]
    assert warning.message == "version 2 data is not served; it is kept in a file"
    assert warning.fields["path"] == str(kept)


def test_the_log_of_an_adopted_directory_is_left_as_it_was(stock: StockDirectory) -> None:
    for number in range(10):
        stock.put(b"%d" % number, b"")
    stock.write()
    opened(stock).close()
    contents = read_wal(stock.wal_dir, WalSnapshot())
    assert [(e.index, e.data) for e in contents.entries] == [
        (e.index, e.data) for e in stock.entries
    ]
