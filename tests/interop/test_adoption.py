"""Data directories handed from stock etcd to Kvorum and back (mission rows U1, U3, B10).

The stock member has raft snapshots and truncated logs (`--snapshot-count=100`), and what `fill`
put into it; then its directory goes round twice.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path

import grpc
import pytest

from kvorum.errors import ConfigError
from kvorum.ops.log_version import V3_4
from kvorum.ops.migrate import migrate, parse_target_version
from kvorum.server.adoption import AdoptionOptions, adopt
from kvorum.server.log import NO_LOG
from kvorum.server.opening import open_member
from tests.interop.adopted import (
    STOCK_FLAGS,
    Client,
    State,
    disarm,
    etcdctl,
    fill,
    rows_of,
    run_as,
    start,
    state_of,
    stock_binary,
    write,
)
from tests.servers import (
    READY_DEADLINE_S,
    Server,
    free_port,
    server_command,
    start_server,
    under_test_is_stock,
)
from tests.unit.server.members import options_of

pytestmark = [
    pytest.mark.skipif(under_test_is_stock(), reason="stock etcd adopts nothing"),
    pytest.mark.slow,
]


def give_back(server: Server, version: str) -> None:
    target = parse_target_version(version, lowest=V3_4)
    migrate(server.data_dir, target_version=target, format="stock", log=NO_LOG)


@pytest.mark.parametrize("ends", ["SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("version", ["3.4", "3.5", "3.6"])
def test_a_directory_goes_to_kvorum_and_back_twice_and_nothing_differs(
    version: str, ends: str
) -> None:
    stock = stock_binary(version)
    with start_server(stock, extra_flags=STOCK_FLAGS) as server:
        fill(server)
        for turn in range(2):
            stocks = state_of(server)
            if ends == "SIGTERM":
                server.terminate()
                before = rows_of(server.data_dir)
                run_as(server, "kvorum")
            else:
                server.kill9()
                run_as(server, "kvorum")
            assert state_of(server) == stocks
            if ends == "SIGTERM":
                server.terminate()
                assert rows_of(server.data_dir) == before
                start(server)
            if not turn:
                disarm(server)
            write(server, f"kvorum {turn}", 150)
            ours = state_of(server)
            server.terminate()
            before = rows_of(server.data_dir)
            give_back(server, version)
            assert rows_of(server.data_dir) == before
            run_as(server, stock)
            assert state_of(server) == ours
            write(server, f"stock {turn}", 150)


@pytest.mark.parametrize(("version", "emulated"), [("3.4", "3.4"), ("3.4", "3.5"), ("3.5", "3.5")])
def test_a_member_that_presents_itself_as_an_old_one_keeps_the_clusters_version(
    version: str, emulated: str
) -> None:
    """So going back needs nothing to be lowered (U3)."""
    stock = stock_binary(version)
    with start_server(stock, extra_flags=STOCK_FLAGS) as server:
        write(server, "stock", 120)
        before = state_of(server)
        server.terminate()
        run_as(server, "kvorum", f"--emulated-version={emulated}")
        assert state_of(server) == before
        write(server, "kvorum", 120)
        ours = state_of(server)
        server.kill9()
        start(server)
        server.terminate()
        migrate(server.data_dir, format="stock", log=NO_LOG)
        run_as(server, stock_binary(emulated))
        assert state_of(server) == ours


def test_a_member_older_than_its_cluster_leaves_the_directory_alone() -> None:
    stock = stock_binary("3.5")
    with start_server(stock, extra_flags=STOCK_FLAGS) as server:
        write(server, "stock", 20)
        before = state_of(server)
        server.terminate()
        server.command = server_command("kvorum")
        server.extra_flags = ["--emulated-version=3.4"]
        server.start()
        assert server.wait_exit() != 0
        assert "determined cluster version 3.5" in server.log_text()
        run_as(server, stock)
        assert state_of(server) == before


@pytest.mark.parametrize("version", ["3.4", "3.5", "3.6"])
def test_a_directory_that_stock_restored_is_adopted(version: str, tmp_path: Path) -> None:
    """Stale rows of the source's members and version are in it; the first start is ours."""
    with start_server(stock_binary(version), extra_flags=STOCK_FLAGS) as source:
        fill(source)
        disarm(source)
        write(source, "third", 10)
        expected = state_of(source)
        snapshot = tmp_path / "snapshot.db"
        etcdctl(source, "snapshot", "save", str(snapshot))
    peer = f"http://127.0.0.1:{free_port()}"
    restored = tmp_path / "restored"
    tool = Path(stock_binary(version)).with_name("etcdctl" if version == "3.4" else "etcdutl")
    command = [str(tool), "snapshot", "restore", str(snapshot), f"--data-dir={restored}"]
    command += ["--name=fresh", f"--initial-cluster=fresh={peer}"]
    command += [f"--initial-advertise-peer-urls={peer}"]
    subprocess.run(command, env={"ETCDCTL_API": "3"}, check=True, capture_output=True)
    with start_server("kvorum", data_dir=restored, name="fresh") as server:
        found = state_of(server)
        assert found.keys == expected.keys
        assert found.leases == expected.leases
        assert found.hash_kv == expected.hash_kv
        ((member_id, name, peer_urls, is_learner),) = found.members
        assert (name, peer_urls, is_learner) == ("fresh", (peer,), False)
        assert member_id == found.member_id != expected.member_id


def test_each_directory_of_a_stock_cluster_is_adopted_with_all_members(tmp_path: Path) -> None:
    """Three members, one of which was removed; nobody serves yet, so the files are looked at."""
    names = ("a", "b", "c")
    ports = {name: (free_port(), free_port()) for name in names}
    cluster = ",".join(f"{name}=http://127.0.0.1:{ports[name][1]}" for name in names)
    flags = [*STOCK_FLAGS, f"--initial-cluster={cluster}", "--strict-reconfig-check=false"]
    with contextlib.ExitStack() as stack:
        servers = {
            name: stack.enter_context(
                start_server(
                    stock_binary("3.5"),
                    data_dir=tmp_path / name,
                    name=name,
                    extra_flags=flags,
                    client_port=ports[name][0],
                    peer_port=ports[name][1],
                    wait=False,
                )
            )
            for name in names
        }
        for server in servers.values():
            server.wait_ready()
        write(servers["a"], "cluster", 150)
        removed = state_of(servers["c"]).member_id
        etcdctl(servers["a"], "member", "remove", f"{removed:x}")
        wait_for_leader(servers["b"])
        write(servers["b"], "cluster", 20)
        expected = state_of(servers["a"])
        for server in servers.values():
            server.stop()
        for name in ("a", "b"):
            check_adopted(tmp_path / name, expected, removed)
            migrate(tmp_path / name, format="stock", log=NO_LOG)
            servers[name].start()
        for name in ("a", "b"):
            servers[name].wait_ready()
        found = state_of(servers["b"])
        assert (found.keys, found.hash_kv) == (expected.keys, expected.hash_kv)
        assert found.members == expected.members


def check_adopted(data_dir: Path, expected: State, removed: int) -> None:
    opened = open_member(options_of(data_dir, fsync=True), NO_LOG)
    try:
        ids = [member[0] for member in expected.members]
        assert {member.name for member in opened.cluster.members()} == {"a", "b"}
        assert [member.id for member in opened.cluster.members()] == ids
        assert opened.cluster.removed_ids() == [removed]
        assert sorted(opened.storage.initial_state()[1].voters) == ids
    finally:
        opened.close()


def wait_for_leader(server: Server) -> None:
    """The member that was removed may have been the leader."""
    give_up = time.monotonic() + READY_DEADLINE_S
    while True:
        try:
            with Client(server.target) as client:
                client.put(b"there is a leader")
                return
        except grpc.RpcError:
            assert time.monotonic() < give_up


def test_a_running_stock_member_is_left_alone() -> None:
    stock = stock_binary("3.5")
    with start_server(stock) as server:
        write(server, "stock", 20)
        options = AdoptionOptions(
            data_dir=server.data_dir,
            wal_dir=server.data_dir / "member" / "wal",
            lock_wait_s=0.2,
        )
        with pytest.raises(ConfigError, match="is in use by another process"):
            adopt(options, NO_LOG)
        with pytest.raises(ConfigError, match="is in use by a running member"):
            migrate(server.data_dir, format="kvorum", log=NO_LOG)
        write(server, "more", 20)
