"""Backups go from stock to us and from us to stock, and nothing is lost or changed on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvorum.ops.hashkv import file_hash_kv
from kvorum.ops.restore import RestoreOptions, restore
from kvorum.ops.status import snapshot_status
from kvorum.ops.verify import verify_data_dir
from kvorum.server.log import NO_LOG
from tests.interop.backups import (
    data_rows,
    rows_of,
    run,
    seen,
    stock_restore,
    stock_snapshot,
    stock_status,
)
from tests.servers import READY_DEADLINE_S, Server, free_port, start_server
from tests.stock import (
    BinDir,
    StockEtcd,
    require_stock_34,
    require_stock_35,
    start_stock_etcd,
)

QUOTA = 16_777_216
BUMP = 1_000_000

Stocks = pytest.mark.parametrize("stock", [require_stock_35, require_stock_34], ids=["3.5", "3.4"])


def etcdctl(url: str) -> Callable[..., str]:
    binary = require_stock_35().etcdctl
    return lambda *args: run(binary, f"--endpoints={url}", *args).stdout


def fill(url: str) -> None:
    """Keys with history, deleted and born again, a compaction, and leases."""
    do = etcdctl(url)
    lease = do("lease", "grant", "100000").split()[1]
    idle = do("lease", "grant", "90000").split()[1]
    assert lease != idle
    for n in range(12):
        do("put", f"key{n}", f"value {n}")
    do("put", "key1", "second")
    do("put", "leased", "by a lease", f"--lease={lease}")
    do("del", "key2")
    do("compaction", "9")
    do("put", "key2", "born again")
    do("del", "key3", "key6")
    do("put", "binary", "a\tb\\c")
    do("put", "empty", "")


def fill_auth(url: str) -> None:
    """Users and roles; authentication stays off."""
    do = etcdctl(url)
    do("role", "add", "writer")
    do("role", "grant-permission", "writer", "readwrite", "a", "z")
    do("user", "add", "ann:pass word")
    do("user", "add", "nobody", "--no-password")
    do("user", "grant-role", "ann", "writer")


def raise_alarm(member: StockEtcd) -> None:
    """Overfill the quota: what a backup of a full member looks like."""
    do = etcdctl(member.client_url)
    value = "x" * 1_000_000
    for n in range(40):
        done = run(
            member.bin_dir.etcdctl, f"--endpoints={member.client_url}", "put", f"big{n}",
            "--", value[: 120_000], ok=False,
        )  # fmt: skip
        if done.returncode:
            break
    assert "NOSPACE" in do("alarm", "list")


def wait_serving(server: Server) -> None:
    """Return once the member serves clients, healthy or not."""
    give_up = time.monotonic() + READY_DEADLINE_S
    while "ready to serve client requests" not in server.log_text():
        assert server.returncode is None, server.log_text()
        assert time.monotonic() < give_up, server.log_text()
        time.sleep(0.02)


def restored(snapshot: Path, data_dir: Path, peer_port: int, **more: object) -> Path:
    peer_url = f"http://127.0.0.1:{peer_port}"
    options = RestoreOptions(
        snapshot=snapshot,
        data_dir=data_dir,
        name="m1",
        initial_cluster=f"m1={peer_url}",
        initial_advertise_peer_urls=peer_url,
        **more,  # type: ignore[arg-type]
    )
    restore(options, NO_LOG)
    return data_dir


@Stocks
def test_a_stock_snapshot_is_restored_to_a_member_of_ours(
    stock: Callable[[], BinDir], tmp_path: Path
) -> None:
    snapshot = tmp_path / "snapshot.db"
    with start_stock_etcd(stock()) as member:
        fill(member.client_url)
        fill_auth(member.client_url)
        member.etcdctl("snapshot", "save", str(snapshot))
        before = seen(member.client_url)
    status, stocks = snapshot_status(snapshot), stock_status(snapshot)
    assert stocks == {
        "hash": status.hash,
        "revision": status.revision,
        "totalKey": status.total_keys,
        "totalSize": status.total_size_bytes,
        **({"version": status.version} if "version" in stocks else {}),
    }
    port = free_port()
    data_dir = restored(snapshot, tmp_path / "data", port)
    assert data_rows(data_dir / "member/snap/db") == data_rows(snapshot)
    assert verify_data_dir(data_dir) == []
    assert file_hash_kv(snapshot).hash == file_hash_kv(data_dir / "member/snap/db").hash
    with start_server("kvorum", data_dir=data_dir, peer_port=port) as server:
        after = seen(server.client_url)
        etcdctl(server.client_url)("put", "goes", "on")
        assert seen(server.client_url).revision == after.revision + 1
    assert after.keys == before.keys
    assert after.leases == before.leases
    assert after.revision == before.revision
    assert after.hash_kv == before.hash_kv == file_hash_kv(snapshot).hash


@Stocks
def test_our_database_is_restored_by_stock(stock: Callable[[], BinDir], tmp_path: Path) -> None:
    with start_server("kvorum", data_dir=tmp_path / "ours") as server:
        fill(server.client_url)
        before = seen(server.client_url)
    database = tmp_path / "ours/member/snap/db"
    snapshot = stock_snapshot(database, tmp_path / "snapshot.db")
    status = snapshot_status(database)
    found = stock_status(snapshot)
    assert (found["hash"], found["revision"], found["totalKey"]) == (
        status.hash,
        status.revision,
        status.total_keys,
    )
    stock_restore(stock(), snapshot, tmp_path / "stocks", "stock", "http://127.0.0.1:1")
    assert verify_data_dir(tmp_path / "stocks") == []
    with start_stock_etcd(stock(), data_dir=tmp_path / "stocks") as member:
        assert seen(member.client_url) == before
    assert file_hash_kv(database).hash == before.hash_kv


@Stocks
def test_users_and_roles_go_from_stock_to_us_and_back(
    stock: Callable[[], BinDir], tmp_path: Path
) -> None:
    snapshot = tmp_path / "snapshot.db"
    with start_stock_etcd(stock()) as member:
        fill_auth(member.client_url)
        member.etcdctl("put", "b", "1")
        member.etcdctl("snapshot", "save", str(snapshot))
    restored(snapshot, tmp_path / "ours", 1)
    back = stock_snapshot(tmp_path / "ours/member/snap/db", tmp_path / "back.db")
    stock_restore(stock(), back, tmp_path / "stocks", "stock", "http://127.0.0.1:1")
    with start_stock_etcd(stock(), data_dir=tmp_path / "stocks") as member:
        assert member.etcdctl("user", "list").split() == ["ann", "nobody"]
        assert "[a, z)" in member.etcdctl("role", "get", "writer")
        member.etcdctl("user", "add", "root:root")
        member.etcdctl("user", "grant-role", "root", "root")
        member.etcdctl("auth", "enable")
        assert member.etcdctl("get", "b", "--user=ann:pass word").split() == ["b", "1"]


@pytest.mark.parametrize("kind", ["bbolt", "lmdb"])
def test_a_bare_database_of_a_stopped_member_is_restored(kind: str, tmp_path: Path) -> None:
    """B2: no snapshot was ever taken, but the directory of the dead member is there."""
    database = tmp_path / "old/member/snap/db"
    if kind == "bbolt":
        with start_stock_etcd(require_stock_35(), data_dir=tmp_path / "old") as member:
            fill(member.client_url)
            before = seen(member.client_url)
    else:
        with start_server("kvorum", data_dir=tmp_path / "old") as server:
            fill(server.client_url)
            before = seen(server.client_url)
    port = free_port()
    data_dir = restored(database, tmp_path / "new", port, skip_hash_check=kind == "bbolt")
    with start_server("kvorum", data_dir=data_dir, peer_port=port) as server:
        assert seen(server.client_url) == before


def test_an_alarm_is_still_raised_after_a_restore(tmp_path: Path) -> None:
    """Stock keeps it as well: the restored member is as full as the old one was."""
    snapshot = tmp_path / "snapshot.db"
    quota = f"--quota-backend-bytes={QUOTA // 8}"
    with start_stock_etcd(require_stock_35(), quota) as member:
        raise_alarm(member)
        member.etcdctl("snapshot", "save", str(snapshot))
    stock_restore(require_stock_35(), snapshot, tmp_path / "stocks", "stock", "http://127.0.0.1:1")
    port = free_port()
    data_dir = restored(snapshot, tmp_path / "ours", port)
    alarms = rows_of(snapshot)[b"alarm"]
    assert len(alarms) == 1
    assert rows_of(data_dir / "member/snap/db")[b"alarm"] == alarms
    assert rows_of(tmp_path / "stocks/member/snap/db")[b"alarm"] == alarms
    # A member with an alarm is not healthy, which is what `wait` would wait for.
    with start_server("kvorum", data_dir=data_dir, peer_port=port, wait=False) as server:
        wait_serving(server)
        do = etcdctl(server.client_url)
        assert "NOSPACE" in do("alarm", "list")
        do("alarm", "disarm")
        do("put", "there is", "room")


@pytest.fixture
def bumped(tmp_path: Path) -> Iterator[tuple[Server, int, Path]]:
    """A member of ours on a restored snapshot whose revision was bumped; the snapshot's one."""
    snapshot = tmp_path / "snapshot.db"
    with start_stock_etcd(require_stock_35()) as member:
        fill(member.client_url)
        member.etcdctl("snapshot", "save", str(snapshot))
        before = seen(member.client_url)
    port = free_port()
    data_dir = restored(snapshot, tmp_path / "data", port, bump_revision=BUMP, mark_compacted=True)
    with start_server("kvorum", data_dir=data_dir, peer_port=port) as server:
        after = seen(server.client_url)
        assert after.keys == before.keys
        yield server, before.revision, data_dir


def test_B11_watchers_notice_a_restore_that_bumped_the_revision(
    bumped: tuple[Server, int, Path],
) -> None:
    server, revision, _ = bumped
    do = etcdctl(server.client_url)
    assert seen(server.client_url).revision == revision + BUMP
    told = run(
        require_stock_35().etcdctl, f"--endpoints={server.client_url}", "watch", "key",
        "--prefix", f"--rev={revision + 1}", ok=False,
    )  # fmt: skip
    assert "required revision has been compacted" in told.stderr
    do("put", "key1", "after")
    assert seen(server.client_url).revision == revision + BUMP + 1


@Stocks
def test_a_bumped_member_can_be_given_back_to_stock(
    bumped: tuple[Server, int, Path], stock: Callable[[], BinDir], tmp_path: Path
) -> None:
    server, revision, data_dir = bumped
    etcdctl(server.client_url)("put", "key1", "after")
    ours = seen(server.client_url)
    server.terminate()
    database = data_dir / "member/snap/db"
    assert verify_data_dir(data_dir) == []
    snapshot = stock_snapshot(database, tmp_path / "back.db")
    assert snapshot_status(snapshot).revision == stock_status(snapshot)["revision"]
    stock_restore(stock(), snapshot, tmp_path / "stocks", "stock", "http://127.0.0.1:1")
    with start_stock_etcd(stock(), data_dir=tmp_path / "stocks") as member:
        assert seen(member.client_url) == ours
        member.etcdctl("put", "key1", "later")
        assert seen(member.client_url).revision == revision + BUMP + 2


def test_three_members_restored_from_one_file_agree(tmp_path: Path) -> None:
    """B9: as far as the files go: same cluster, same log, each its own identity."""
    snapshot = tmp_path / "snapshot.db"
    with start_stock_etcd(require_stock_35()) as member:
        fill(member.client_url)
        member.etcdctl("snapshot", "save", str(snapshot))
    urls = {f"m{n}": f"http://127.0.0.1:{free_port()}" for n in (1, 2, 3)}
    cluster = ",".join(f"{name}={url}" for name, url in urls.items())
    found = []
    for name, url in urls.items():
        for whose in ("ours", "stocks"):
            data_dir = tmp_path / whose / name
            if whose == "ours":
                restore(
                    RestoreOptions(
                        snapshot=snapshot, data_dir=data_dir, name=name, initial_cluster=cluster,
                        initial_advertise_peer_urls=url, initial_cluster_token="new",
                    ),
                    NO_LOG,
                )  # fmt: skip
            else:
                run(
                    require_stock_35().etcdutl, "snapshot", "restore", snapshot,
                    "--data-dir", data_dir, "--name", name, "--initial-cluster", cluster,
                    "--initial-advertise-peer-urls", url, "--initial-cluster-token", "new",
                )  # fmt: skip
        logs = [
            (tmp_path / whose / name / "member/wal" / f"{0:016x}-{0:016x}.wal").read_bytes()
            for whose in ("ours", "stocks")
        ]
        assert logs[0] == logs[1]
        rows = rows_of(tmp_path / "ours" / name / "member/snap/db")
        stocks = rows_of(tmp_path / "stocks" / name / "member/snap/db")
        assert rows[b"members"] == stocks[b"members"]
        assert rows[b"members_removed"] == stocks[b"members_removed"] == []
        assert data_rows(tmp_path / "ours" / name / "member/snap/db") == data_rows(snapshot)
        found.append((rows[b"members"], rows[b"meta"], logs[0][56:]))
    assert found[0][:2] == found[1][:2] == found[2][:2]
    assert len(found[0][0]) == 3
