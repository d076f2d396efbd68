"""Migrations of stopped members' directories. Stock etcd starts on them: tests/interop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from kvorum.cluster import v2store
from kvorum.cluster.members import add_change
from kvorum.errors import ConfigError, CorruptionError
from kvorum.ops.bolt_file import MIGRATING
from kvorum.ops.log_version import V3_4, V3_5, V3_6
from kvorum.ops.migrate import migrate, parse_target_version
from kvorum.proto.raftpb import HardState
from kvorum.proto.versions import Version
from kvorum.server.log import NO_LOG, Event, Level, Logger
from kvorum.server.opening import open_member
from kvorum.storage import Backend
from kvorum.storage.bbolt import is_bolt
from kvorum.storage.buckets import (
    CLUSTER,
    CLUSTER_VERSION,
    CONF_STATE,
    KEY,
    META,
    STORAGE_VERSION,
    TERM,
    Bucket,
)
from kvorum.storage.files import open_database
from kvorum.wal import SnapshotFiles, Wal, WalSnapshot, read_wal, valid_snapshot_entries
from tests.unit.server.members import options_of, put_many, running
from tests.unit.server.stock_directory import OTHER, OWN, StockDirectory

V3_7 = Version(3, 7)


def rows(data_dir: Path, bucket: Bucket) -> dict[bytes, bytes]:
    with open_database(data_dir / "member" / "snap" / "db") as file:
        assert file.check() == []
        return {key: value for part in file.rows(bucket.name) for key, value in part}


def newest(data_dir: Path) -> tuple[v2store.Membership, WalSnapshot]:
    """The membership in the newest raft snapshot that the log knows, and its place."""
    known = valid_snapshot_entries(data_dir / "member" / "wal")
    snapshot = SnapshotFiles(data_dir / "member" / "snap").load_newest(known)
    assert snapshot is not None
    about = snapshot.metadata
    return v2store.decode(snapshot.data or b""), WalSnapshot(about.index, about.term)


def ours(folder: Path, version: Version = V3_6) -> Path:
    """A directory in which a member of ours has run."""

    async def run() -> None:
        async with running(folder, version=version) as server:
            await put_many(server, 30)

    asyncio.run(run())
    return folder


@pytest.fixture
def stock(tmp_path: Path) -> StockDirectory:
    """A directory of 3.5."""
    directory = StockDirectory(tmp_path / "data")
    directory.put(b"a", b"b")
    return directory


def to_stock(data_dir: Path, target: Version | None, *, force: bool = False) -> None:
    migrate(data_dir, format="stock", target_version=target, force=force, log=NO_LOG)


# Giving back.


@pytest.mark.parametrize("target", [V3_4, V3_5, V3_6], ids=str)
def test_keys_are_the_same_and_the_snapshot_has_the_members(
    tmp_path: Path, target: Version
) -> None:
    data_dir = ours(tmp_path)
    before = rows(data_dir, KEY)
    to_stock(data_dir, target)
    assert is_bolt(data_dir / "member" / "snap" / "db")
    assert rows(data_dir, KEY) == before
    membership, place = newest(data_dir)
    assert [member.name for member in membership.members.values()] == ["m1"]
    assert membership.version == target
    contents = read_wal(data_dir / "member" / "wal", place)
    assert contents.entries == []
    assert contents.hard_state.commit == place.index


@pytest.mark.parametrize(
    ("target", "has"),
    [(V3_4, set()), (V3_5, {TERM, CONF_STATE}), (V3_6, {TERM, CONF_STATE, STORAGE_VERSION})],
    ids=["3.4", "3.5", "3.6"],
)
def test_the_database_says_no_more_than_the_target_knows(
    tmp_path: Path, target: Version, has: set[bytes]
) -> None:
    data_dir = ours(tmp_path)
    to_stock(data_dir, target)
    assert rows(data_dir, META).keys() & {TERM, CONF_STATE, STORAGE_VERSION} == has
    assert rows(data_dir, CLUSTER)[CLUSTER_VERSION] == str(target).encode()


def test_without_a_target_it_is_given_to_the_version_of_the_cluster(tmp_path: Path) -> None:
    data_dir = ours(tmp_path, V3_5)
    to_stock(data_dir, None)
    assert newest(data_dir)[0].version == V3_5
    assert STORAGE_VERSION not in rows(data_dir, META)


def test_given_back_and_adopted_again_it_goes_on(tmp_path: Path) -> None:
    data_dir = ours(tmp_path)
    before = rows(data_dir, KEY)
    to_stock(data_dir, V3_5)
    migrate(data_dir, format="kvorum", log=NO_LOG)
    assert not is_bolt(data_dir / "member" / "snap" / "db")
    assert rows(data_dir, KEY) == before
    ours(data_dir)
    assert len(rows(data_dir, KEY)) > len(before)


def test_the_commit_index_covers_the_snapshot(tmp_path: Path) -> None:
    """The log's record of a snapshot counts only up to the commit index that the log knows."""
    data_dir = ours(tmp_path)
    wal, contents = Wal.open(data_dir / "member" / "wal", WalSnapshot(), fsync=False)
    state = contents.hard_state
    wal.save(HardState(state.term, state.vote, 3), (), must_sync=False)  # as after a crash
    wal.close()
    to_stock(data_dir, V3_5)
    assert newest(data_dir)[1].index > 3


def test_entries_that_the_target_does_not_know_must_be_in_the_database(tmp_path: Path) -> None:
    data_dir = ours(tmp_path)
    with Backend.open(data_dir / "member" / "snap" / "db") as backend:
        backend.put(META, b"consistent_index", (2).to_bytes(8, "big"))
    for target, needed in ((V3_4, V3_6), (V3_5, V3_6)):
        with pytest.raises(ConfigError) as caught:
            to_stock(data_dir, target)
        assert str(caught.value).startswith(
            "cannot downgrade storage, WAL contains newer entries, as the target version"
            f" ({target}) is lower than the version ({needed}) detected from WAL logs"
        )
        assert not is_bolt(data_dir / "member" / "snap" / "db")
    to_stock(data_dir, V3_5, force=True)
    assert is_bolt(data_dir / "member" / "snap" / "db")


def large(stock: StockDirectory, version: str = "3.6.0") -> Path:
    """A cluster of two at `version`, one member of which is ours."""
    stock.change(add_change(0, OTHER))
    stock.request(cluster_version_set={"ver": version})
    stock.write()
    migrate(stock.path, format="kvorum", log=NO_LOG)
    return stock.path


def test_the_version_of_a_larger_cluster_is_not_lowered_behind_its_back(
    stock: StockDirectory,
) -> None:
    data_dir = large(stock)
    with pytest.raises(ConfigError, match=r"its 2 members must agree.*`etcdctl downgrade enable"):
        to_stock(data_dir, V3_5)
    assert not is_bolt(data_dir / "member" / "snap" / "db")
    to_stock(data_dir, V3_5, force=True)
    membership, _ = newest(data_dir)
    assert (set(membership.members), membership.version) == ({OWN.id, OTHER.id}, V3_5)


def test_the_way_below_3_5_is_by_a_restart_of_each_member_and_the_refusal_says_so(
    stock: StockDirectory,
) -> None:
    data_dir = large(stock, "3.5.0")
    with pytest.raises(ConfigError, match=r"downgrade enable 3\.4.*--emulated-version=3\.4"):
        to_stock(data_dir, V3_4)


def test_a_larger_cluster_at_the_target_s_version_is_given_back(stock: StockDirectory) -> None:
    """Before the last member moves: the cluster is still at the old version (U3)."""
    stock.change(add_change(0, OTHER))
    stock.v2("PUT", "/0/version", "3.5.0")
    stock.write()
    migrate(stock.path, format="kvorum", log=NO_LOG)
    to_stock(stock.path, None)
    assert newest(stock.path)[0].version == V3_5


def test_a_running_member_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path):
            for kind in ("stock", "kvorum", None):
                with pytest.raises(ConfigError, match="in use by a running member"):
                    migrate(tmp_path, format=kind, target_version=V3_5, log=NO_LOG)  # type: ignore[arg-type]

    asyncio.run(run())
    assert not is_bolt(tmp_path / "member" / "snap" / "db")


def test_a_directory_without_a_database_is_refused(tmp_path: Path) -> None:
    for kind in ("stock", "kvorum", None):
        with pytest.raises(ConfigError, match="no such file or directory"):
            migrate(tmp_path, format=kind, target_version=V3_5, log=NO_LOG)  # type: ignore[arg-type]


def test_a_directory_without_a_log_is_refused(tmp_path: Path) -> None:
    data_dir = ours(tmp_path)
    for segment in (data_dir / "member" / "wal").iterdir():
        segment.unlink()
    with pytest.raises(CorruptionError, match="the log is missing"):
        to_stock(data_dir, V3_5)


def test_what_a_killed_migration_left_is_removed(tmp_path: Path) -> None:
    data_dir = ours(tmp_path)
    left = data_dir / "member" / "snap" / MIGRATING
    left.write_bytes(b"half")
    open_member(options_of(data_dir), NO_LOG).close()
    assert not left.exists()
    left.write_bytes(b"half")
    to_stock(data_dir, V3_5)
    assert not left.exists()


def test_nothing_of_ours_stays_beside_the_database(tmp_path: Path) -> None:
    data_dir = ours(tmp_path)
    to_stock(data_dir, V3_5)
    names = {path.name for path in (data_dir / "member" / "snap").iterdir()}
    assert {name for name in names if not name.endswith(".snap")} == {"db"}


def test_a_format_that_it_has_already_is_left_alone(stock: StockDirectory) -> None:
    stock.write()
    before = stock.files()
    migrate(stock.path, format="stock", log=NO_LOG)
    assert stock.files() == before
    migrate(stock.path, format="kvorum", log=NO_LOG)
    inode = stock.database.stat().st_ino
    migrate(stock.path, format="kvorum", log=NO_LOG)
    assert stock.database.stat().st_ino == inode


def test_an_adoption_can_set_the_storage_version_as_well(stock: StockDirectory) -> None:
    stock.version = "3.4"
    stock.write()
    migrate(stock.path, format="kvorum", target_version=V3_6, log=NO_LOG)
    assert not is_bolt(stock.database)
    assert rows(stock.path, META)[STORAGE_VERSION] == b"3.6.0"


def test_progress_is_told_up_to_the_end(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    data_dir = ours(tmp_path)
    migrate(
        data_dir,
        format="stock",
        log=NO_LOG,
        progress=lambda done, total: told.append((done, total)),
    )
    size = (data_dir / "member" / "snap" / "db").stat().st_size
    assert told[-1] == (size, size)


# The storage version alone, as stock's `etcdutl migrate`.

Make = Callable[[], Path]


@pytest.fixture(params=["bbolt", "lmdb"])
def of_35(request: pytest.FixtureRequest, stock: StockDirectory) -> Path:
    stock.write()
    if request.param == "lmdb":
        migrate(stock.path, format="kvorum", log=NO_LOG)
    return stock.path


def test_the_storage_version_is_set_and_removed(of_35: Path) -> None:
    kind = is_bolt(of_35 / "member" / "snap" / "db")
    keys = rows(of_35, KEY)
    migrate(of_35, target_version=V3_6, log=NO_LOG)
    assert rows(of_35, META)[STORAGE_VERSION] == b"3.6.0"
    migrate(of_35, target_version=V3_5, log=NO_LOG)
    assert STORAGE_VERSION not in rows(of_35, META)
    assert rows(of_35, KEY) == keys
    assert is_bolt(of_35 / "member" / "snap" / "db") == kind


def test_a_version_that_it_has_already_is_left_alone(of_35: Path) -> None:
    events: list[Event] = []
    inode = (of_35 / "member" / "snap" / "db").stat().st_ino
    migrate(of_35, target_version=V3_5, log=Logger(events.append, Level.INFO))
    assert [event.message for event in events] == ["storage version up-to-date"]
    assert events[0].fields == {"storage-version": "3.5"}
    assert (of_35 / "member" / "snap" / "db").stat().st_ino == inode


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (V3_7, 'cannot create migration plan: version "3.7.0" is not supported'),
        (
            Version(4, 0),
            "cannot create migration plan: changing major storage version is not supported",
        ),
    ],
    ids=str,
)
def test_versions_that_cannot_be_reached_are_refused_unless_forced(
    of_35: Path, target: Version, text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        migrate(of_35, target_version=target, log=NO_LOG)
    assert str(caught.value) == text
    migrate(of_35, target_version=target, force=True, log=NO_LOG)
    assert rows(of_35, META)[STORAGE_VERSION] == str(target).encode()


def test_a_log_with_entries_of_36_is_refused_unless_forced(stock: StockDirectory) -> None:
    stock.request(downgrade_version_test={"ver": "3.6.0"})
    stock.rows = {META: {STORAGE_VERSION: b"3.6.0"}}
    stock.write()
    with pytest.raises(ConfigError) as caught:
        migrate(stock.path, target_version=V3_5, log=NO_LOG)
    assert str(caught.value) == (
        "cannot downgrade storage, WAL contains newer entries, as the target version (3.5.0) is"
        " lower than the version (3.6.0) detected from WAL logs"
    )
    events: list[Event] = []
    log = Logger(events.append, Level.INFO)
    migrate(stock.path, target_version=V3_5, force=True, log=log)
    assert STORAGE_VERSION not in rows(stock.path, META)
    assert "forcefully cleared storage version" in [event.message for event in events]


def test_data_of_34_has_no_storage_version(stock: StockDirectory) -> None:
    stock.version = "3.4"
    stock.write()
    with pytest.raises(ConfigError, match="storage schema version: missing term information"):
        migrate(stock.path, target_version=V3_6, log=NO_LOG)


def test_a_migration_needs_a_target_or_a_format(stock: StockDirectory) -> None:
    stock.write()
    with pytest.raises(ConfigError, match="target-version"):
        migrate(stock.path, log=NO_LOG)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("3", 'wrong target version format, expected "X.Y", got "3"'),
        ("3.5.1", 'wrong target version format, expected "X.Y", got "3.5.1"'),
        ("3.4", 'target version "3.4" not supported. Minimal "3.5"'),
        ("a.b", "failed to parse target version: "),
    ],
)
def test_target_versions_are_refused_in_stocks_words(text: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_target_version(text)
    assert str(caught.value).startswith(error)


def test_a_target_version_has_two_parts() -> None:
    assert parse_target_version("3.6") == V3_6
    assert parse_target_version("3.4", lowest=V3_4) == V3_4
