"""Texts of refusals are those of etcdutl 3.5.1, up to the `;` or `:` where our advice begins."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from kvorum.errors import ConfigError, CorruptionError, KvorumError
from kvorum.ops import restore as restoring
from kvorum.ops.hashkv import file_hash_kv
from kvorum.ops.restore import RestoreOptions, restore
from kvorum.ops.status import snapshot_status
from kvorum.ops.verify import verify_data_dir
from kvorum.server.log import NO_LOG, Event, Logger
from kvorum.storage.files import DatabaseFile, Row, open_database
from tests.unit.ops.files import make_database, names_below, options, start_restore

PEER = "http://10.0.0.1:2380"


@pytest.mark.parametrize("kind", ["snapshot", "bare", "database"])
def test_all_kinds_of_backup_give_the_same_member(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source: Path = request.getfixturevalue(kind)
    restore(options(source, tmp_path / "data", skip_hash_check=kind == "bare"), NO_LOG)
    database = tmp_path / "data/member/snap/db"
    assert verify_data_dir(tmp_path / "data") == []
    assert file_hash_kv(database) == file_hash_kv(source)
    with open_database(source) as old, open_database(database) as new:
        for bucket in (b"key", b"lease", b"alarm", b"auth", b"authUsers", b"authRoles", b"cluster"):
            assert rows_of(new, bucket) == rows_of(old, bucket), bucket
        assert rows_of(new, b"members") == [
            (
                b"8e9e05c52164694d",
                b'{"id":10276657743932975437,"peerURLs":["http://localhost:2380"],"name":"default"}',
            )
        ]
        assert rows_of(new, b"members_removed") == []
        assert new.get(b"meta", b"consistent_index") == (1).to_bytes(8, "big")
        assert new.get(b"meta", b"term") == (1).to_bytes(8, "big")
        voters = b'{"voters":[10276657743932975437],"auto_leave":false}'
        assert new.get(b"meta", b"confState") == voters
        finished = old.get(b"meta", b"finishedCompactRev")
        assert new.get(b"meta", b"finishedCompactRev") == finished


def test_files_have_the_modes_that_a_member_gives_them(snapshot: Path, tmp_path: Path) -> None:
    restore(options(snapshot, tmp_path / "a/b/data"), NO_LOG)
    modes = {
        str(path.relative_to(tmp_path / "a")): path.stat().st_mode & 0o777
        for path in (tmp_path / "a").rglob("*")
    }
    assert modes == {
        "b": 0o700,
        "b/data": 0o700,
        "b/data/member": 0o700,
        "b/data/member/snap": 0o700,
        "b/data/member/snap/db": 0o600,
        "b/data/member/snap/0000000000000001-0000000000000001.snap": 0o666 & ~umask(),
        "b/data/member/wal": 0o700,
        "b/data/member/wal/0000000000000000-0000000000000000.wal": 0o600,
    }


def rows_of(database: DatabaseFile, bucket: bytes) -> list[Row]:
    return [row for part in database.rows(bucket) for row in part]


def umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found


def test_an_empty_data_directory_is_filled_and_stays_the_same_directory(
    snapshot: Path, tmp_path: Path
) -> None:
    """It may be a mount point."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    before = data_dir.stat().st_ino
    restore(options(snapshot, data_dir), NO_LOG)
    assert data_dir.stat().st_ino == before
    assert [one.name for one in data_dir.iterdir()] == ["member"]


@pytest.mark.parametrize("place", ["wal", "deep/er/wal", "data/wal", "data/member/log"])
def test_the_log_can_be_elsewhere(place: str, snapshot: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    restore(options(snapshot, here / "data", wal_dir=here / place), NO_LOG)
    assert [one.name for one in (here / place).iterdir()] == [f"{0:016x}-{0:016x}.wal"]
    assert not (here / "data/member/wal").exists()
    assert verify_data_dir(here / "data", here / place) == []
    assert not [name for name in names_below(here) if ".restoring" in name]


def test_what_is_done_is_logged_as_stock_logs_it(snapshot: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    restore(options(snapshot, tmp_path / "data"), Logger(events.append))
    assert [event.message for event in events] == [
        "restoring snapshot",
        "Trimming membership information from the backend...",
        "added member",
        "restored snapshot",
    ]
    assert list(events[0].fields) == ["path", "wal-dir", "data-dir", "snap-dir"]
    assert dict(events[2].fields) == {
        "cluster-id": "cdf818194e3a8c32",
        "local-member-id": "0",
        "added-peer-id": "8e9e05c52164694d",
        "added-peer-peer-urls": ["http://localhost:2380"],
    }


def test_B11_a_bumped_revision_is_the_newest_and_all_before_is_compacted(
    snapshot: Path, tmp_path: Path
) -> None:
    before = snapshot_status(snapshot).revision
    restore(options(snapshot, tmp_path / "data", bump_revision=1000, mark_compacted=True), NO_LOG)
    database = tmp_path / "data/member/snap/db"
    found = file_hash_kv(database)
    assert (found.hash_revision, found.compact_revision) == (before + 1000, before + 1000)
    assert snapshot_status(database).revision == before + 1000
    with open_database(database) as new:
        last = new.last(b"key")
    assert last is not None
    assert last[1] == b""
    assert verify_data_dir(tmp_path / "data") == []


# Refusals. Each leaves nothing behind.

Spoil = Callable[[Path, Path], dict[str, Any]]


def spoil(act: Callable[[bytearray], object]) -> Spoil:
    """A case whose snapshot has been tampered with."""

    def spoiled(snapshot: Path, _: Path) -> dict[str, Any]:
        content = bytearray(snapshot.read_bytes())
        act(content)
        snapshot.write_bytes(content)
        return {}

    return spoiled


def flip(content: bytearray) -> None:
    content[9000] ^= 1


def flag(**more: Any) -> Spoil:
    return lambda _snapshot, _folder: more


def no_directory(snapshot: Path, folder: Path) -> dict[str, Any]:
    return {"snapshot": folder / "no"}


def is_directory(snapshot: Path, folder: Path) -> dict[str, Any]:
    return {"snapshot": folder}


def has_data(snapshot: Path, folder: Path) -> dict[str, Any]:
    (folder / "data").mkdir()
    (folder / "data/x").touch()
    return {}


def data_is_a_file(snapshot: Path, folder: Path) -> dict[str, Any]:
    (folder / "data").touch()
    return {}


def was_killed(snapshot: Path, folder: Path) -> dict[str, Any]:
    (folder / "data/member.restoring-123").mkdir(parents=True)
    return {}


def has_log(snapshot: Path, folder: Path) -> dict[str, Any]:
    (folder / "wal").mkdir()
    return {"wal_dir": folder / "wal"}


def log_around(snapshot: Path, folder: Path) -> dict[str, Any]:
    return {"wal_dir": folder / "w", "data_dir": folder / "w/data"}


REFUSALS: list[tuple[Spoil, str]] = [
    (flag(name="x"), 'couldn\'t find local name "x" in the initial cluster configuration'),
    (
        flag(initial_cluster=f"default={PEER}"),
        f"--initial-cluster has default={PEER} but missing from "
        '--initial-advertise-peer-urls=http://localhost:2380 ("http://localhost:2380"(resolved '
        f'from "http://localhost:2380") != "{PEER}"(resolved from "{PEER}"))',
    ),
    (
        flag(initial_cluster=f"default={PEER}", initial_advertise_peer_urls=f"{PEER},{PEER}1"),
        f"--initial-advertise-peer-urls has {PEER}1 but missing from "
        f"--initial-cluster=default={PEER},default={PEER}1",
    ),
    (
        flag(initial_cluster="default=http://localhost:2380,b=http://localhost:2380"),
        "initial cluster b=http://localhost:2380,default=http://localhost:2380 has duplicate url",
    ),
    (
        flag(initial_cluster="default=http://localhost:2380,default=http://localhost:2380"),
        "failed to resolve http://localhost:2380 to match "
        '--initial-cluster=default=http://localhost:2380 (len(["http://localhost:2380"]) != '
        'len(["http://localhost:2380" "http://localhost:2380"]))',
    ),
    (
        flag(initial_cluster="default=ftp://x:1"),
        "URL scheme must be http, https, unix, or unixs: ftp://x:1",
    ),
    (
        flag(initial_advertise_peer_urls="bad"),
        "URL scheme must be http, https, unix, or unixs: bad",
    ),
    (flag(bump_revision=5), "--mark-compacted required if --revision-bump > 0:"),
    (flag(mark_compacted=True), "--mark-compacted required if --revision-bump > 0:"),
    (
        flag(bump_revision=1 << 63, mark_compacted=True),
        f"--bump-revision {1 << 63}: the backup is at revision",
    ),
    (has_data, 'data-dir "{0}/data" not empty or could not be read; choose another --data-dir'),
    (data_is_a_file, 'data-dir "{0}/data" not empty or could not be read; choose'),
    (was_killed, 'data-dir "{0}/data" not empty or could not be read; {0}/data/member.restoring-'),
    (has_log, 'wal-dir "{0}/wal" exists; choose another --wal-dir'),
    (log_around, 'wal-dir "{0}/w" holds data-dir "{0}/w/data"'),
    (no_directory, "open {0}/no: no such file or directory"),
    (is_directory, "read {0}: is a directory"),
    (spoil(lambda content: content.__delitem__(slice(-32, None))), "snapshot missing hash but "),
    (spoil(lambda content: content.clear()), "invalid database: {0}/in.db is no etcd database"),
    (spoil(lambda content: content.__setitem__(slice(None), b"x" * 9000)), "invalid database:"),
    (spoil(flip), "expected sha256 ["),
    (spoil(lambda content: content.__setitem__(-1, content[-1] ^ 1)), "expected sha256 ["),
    (spoil(lambda content: content.__delitem__(slice(9000, None))), "{0}/in.db"),
    (spoil(lambda content: content.__delitem__(slice(4096, 8192))), "{0}/in.db"),
]


@pytest.mark.parametrize(("case", "text"), REFUSALS)
def test_a_refused_restore_leaves_nothing_behind(
    case: Spoil, text: str, snapshot: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    mine = snapshot.rename(folder / "in.db")
    fields: dict[str, Any] = {"snapshot": mine, "data_dir": folder / "data"} | case(mine, folder)
    before = names_below(folder)
    with pytest.raises(KvorumError) as refused:
        restore(RestoreOptions(**fields), NO_LOG)
    assert str(refused.value).startswith(text.format(folder))
    assert names_below(folder) == before


def test_a_full_disk_is_foreseen(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "SPARE_BYTES", 1 << 60)
    before = names_below(tmp_path)
    with pytest.raises(ConfigError, match=r"not enough room on the disk of .* needs \d+ MiB there"):
        restore(options(snapshot, tmp_path / "a/data"), NO_LOG)
    assert names_below(tmp_path) == before


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("wal", [None, "deep/wal"])
def test_an_interrupted_restore_leaves_nothing_behind(
    exists: bool, wal: str | None, snapshot: Path, tmp_path: Path
) -> None:
    """Ctrl-C is an exception at any place; here it comes with the progress."""
    folder = tmp_path / "here"
    folder.mkdir()
    if exists:
        (folder / "data").mkdir()

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = names_below(folder)
    wal_dir = None if wal is None else folder / wal
    with pytest.raises(KeyboardInterrupt):
        restore(options(snapshot, folder / "data", wal_dir=wal_dir), NO_LOG, interrupt)
    assert names_below(folder) == before


@pytest.mark.parametrize("page", range(3))
def test_a_damaged_database_of_ours_is_refused(page: int, database: Path, tmp_path: Path) -> None:
    content = bytearray(database.read_bytes())
    at = len(content) - 4096 * (page + 3)
    content[at : at + 4096] = bytes(4096)
    database.write_bytes(content)
    try:
        snapshot_status(database)
    except KvorumError:
        with pytest.raises(CorruptionError):
            restore(options(database, tmp_path / "data"), NO_LOG)
        assert not (tmp_path / "data").exists()
    else:  # the page was a free one
        restore(options(database, tmp_path / "data"), NO_LOG)
        assert verify_data_dir(tmp_path / "data") == []


@pytest.mark.slow
def test_kill9_at_any_point_leaves_the_whole_or_only_what_is_named_as_unfinished(
    tmp_path: Path,
) -> None:
    database = make_database(tmp_path / "db", keys=4000)
    random = Random(7)
    outcomes = []
    whole_s = 0.0
    for turn in range(20):
        here = tmp_path / f"turn{turn}"
        here.mkdir()
        wal = [str(here / "wal")] if turn % 2 else []
        with start_restore(database, here / "data", *wal) as process:
            begun_s = time.monotonic()
            if turn >= 2:
                time.sleep(random.uniform(0, whole_s))  # a random point is what is wanted here
                process.kill()
            process.wait(30)
        if turn < 2:
            assert process.returncode == 0
            whole_s = time.monotonic() - begun_s
        outcomes.append(check_outcome(here))
    assert outcomes[:2] == ["whole", "whole"]
    assert "unfinished" in outcomes


def check_outcome(here: Path) -> str:
    names = {one.name for one in here.iterdir()}
    unfinished = {name for name in names if ".restoring-" in name}
    if "data" in names:
        wal = here / "wal" if "wal" in names else None
        assert verify_data_dir(here / "data", wal) == []
        return "whole"
    # The log is renamed first; it is of no use alone.
    assert names - unfinished <= {"wal"}, names
    assert all(re.fullmatch(r"(data|wal)\.restoring-\d+", name) for name in unfinished)
    return "unfinished"
