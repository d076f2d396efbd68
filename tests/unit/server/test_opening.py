"""Opening a data directory: new, as a first start left it, and with parts missing."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from kvorum.errors import CorruptionError
from kvorum.proto.etcdserver_pb2 import Metadata
from kvorum.server.log import NO_LOG
from kvorum.server.opening import OpenedMember, open_member
from kvorum.wal import Wal
from tests.unit.server.members import (
    CLIENT_URLS,
    NEVER_S,
    PLAN,
    crashed_copy,
    options_of,
    put,
    put_many,
    rows,
    running,
)


def open_at(folder: Path) -> OpenedMember:
    return open_member(options_of(folder), NO_LOG)


async def test_a_new_directory_gets_the_founding_entries(tmp_path: Path) -> None:
    opened = open_at(tmp_path)
    try:
        assert opened.is_new
        assert opened.cluster.id == PLAN.cluster_id
        assert opened.member_id == PLAN.members[0].id
        assert (opened.storage.first_index(), opened.storage.last_index()) == (1, 1)
    finally:
        opened.close()


async def test_directories_that_are_made_are_for_the_member_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    open_at(folder).close()
    made = [tmp_path / "a", folder, folder / "member", folder / "member" / "snap"]
    assert [stat.S_IMODE(one.stat().st_mode) for one in made] == [0o700] * len(made)


async def test_the_version_of_the_cluster_is_decided_when_a_first_start_returns(
    tmp_path: Path,
) -> None:
    for _ in range(2):
        async with running(tmp_path) as server:
            assert str(server.cluster.version) == "3.6.0"


async def test_a_member_keeps_its_identity_and_its_attributes(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        identity = (server.member_id, server.cluster.id)
    opened = open_at(tmp_path)
    try:
        assert (opened.member_id, opened.cluster.id) == identity
        (member,) = opened.cluster.members()
        assert (member.name, tuple(member.client_urls)) == ("m1", CLIENT_URLS)
    finally:
        opened.close()


async def test_a_first_start_that_got_no_further_than_the_log_is_completed(tmp_path: Path) -> None:
    """Killed between making the log and its first entries."""
    member = PLAN.members[0]
    metadata = Metadata(NodeID=member.id, ClusterID=PLAN.cluster_id).SerializeToString()
    (tmp_path / "member").mkdir()
    Wal.create(tmp_path / "member" / "wal", metadata, fsync=False).close()
    async with running(tmp_path) as server:
        assert server.member_id == member.id
        await put(server, b"a")


async def test_a_log_without_a_database_is_applied_from_its_beginning(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        await put_many(server, 30)
        before = rows(server)
    (tmp_path / "member" / "snap" / "db").unlink()
    async with running(tmp_path) as server:
        assert rows(server) == before


async def test_a_database_without_its_log_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        await put(server, b"a")
    shutil.rmtree(tmp_path / "member" / "wal")
    with pytest.raises(CorruptionError, match="the log is missing beside a database"):
        open_at(tmp_path)


async def test_a_database_ahead_of_its_log_is_refused(tmp_path: Path) -> None:
    """The log is an older one, say from a backup of half the directory."""
    async with running(tmp_path / "d") as server:
        await put(server, b"a")
        copy = crashed_copy(tmp_path / "d", tmp_path / "copy")
        await put_many(server, 30)
    (copy / "member" / "snap" / "db").unlink()
    shutil.copy(tmp_path / "d" / "member" / "snap" / "db", copy / "member" / "snap" / "db")
    with pytest.raises(CorruptionError, match=r"the log ends at index \d+, but the database"):
        open_at(copy)


async def test_a_refused_directory_can_be_opened_once_it_is_mended(tmp_path: Path) -> None:
    """Nothing stays locked behind a refusal."""
    async with running(tmp_path, batch_interval_s=NEVER_S) as server:
        await put(server, b"a")
    aside = tmp_path / "aside"
    (tmp_path / "member" / "wal").rename(aside)
    with pytest.raises(CorruptionError):
        open_at(tmp_path)
    aside.rename(tmp_path / "member" / "wal")
    async with running(tmp_path) as server:
        assert list(rows(server)) == [b"a"]


@pytest.mark.parametrize("fsync", [True, False])
async def test_whether_to_flush_is_kept_over_a_restart(tmp_path: Path, fsync: bool) -> None:
    for _ in range(2):
        opened = open_member(options_of(tmp_path, fsync=fsync), NO_LOG)
        assert opened.wal._fsync is fsync
        opened.close()
