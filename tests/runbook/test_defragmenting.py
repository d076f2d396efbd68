"""Rows M2, M3 and T7 of the mission, with members running: full, defragmented, writable again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kvorum.storage.lmdb_file import LmdbFile
from tests.cluster import Cluster, start_cluster
from tests.runbook.commands import (
    CLIENTS,
    etcdctl,
    output_of,
    path_with_etcdctl,
    script_of,
    wait_until,
)
from tests.runbook.test_maintaining import NO_SPACE, QUOTA_BYTES, fill, status_fields
from tests.servers import server_environment, start_server, under_test_is_stock


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_M2_a_full_member_recovers_without_a_restart(client: tuple[str, ...]) -> None:
    with start_server(extra_flags=[f"--quota-backend-bytes={QUOTA_BYTES}"]) as server:
        at = f"--endpoints={server.target}"

        def run(*arguments: str) -> str:
            return output_of(at, *arguments, client=client)

        fill(server)
        assert "alarm:NOSPACE" in run("alarm", "list")
        refused = etcdctl(at, "put", "new", "value", client=client)
        assert (refused.returncode, NO_SPACE in refused.stderr) == (1, True)
        run("del", "--prefix", "big/")
        revision = status_fields(server)["header"]["revision"]
        run("compaction", str(revision), "--physical")
        assert status_fields(server)["dbSize"] >= QUOTA_BYTES
        assert run("defrag") == f"Finished defragmenting etcd member[{server.target}]\n"
        assert status_fields(server)["dbSize"] < QUOTA_BYTES // 2
        assert "alarm:NOSPACE" in run("alarm", "disarm")
        assert run("alarm", "list") == ""
        assert run("put", "new", "value") == "OK\n"
        assert run("get", "new") == "new\nvalue\n"


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_M3_a_member_is_defragmented_while_it_serves(client: tuple[str, ...]) -> None:
    with start_server() as server:
        at = f"--endpoints={server.target}"
        fill_some(server.target)
        revision = status_fields(server)["header"]["revision"]
        output_of(at, "compaction", "--physical", str(revision))
        before = status_fields(server)
        told = output_of(at, "defrag", "--cluster", client=client)
        assert told == f"Finished defragmenting etcd member[{server.client_url}]\n"
        after = status_fields(server)
        assert after["dbSize"] < before["dbSize"]
        assert after["dbSizeInUse"] <= before["dbSizeInUse"]
        assert output_of(at, "get", "key") == "key\n" + "x" * 100_000 + "\n"
        server.stop()
        if not under_test_is_stock():
            with LmdbFile.open(server.data_dir / "member" / "snap" / "db") as file:
                assert file.check() == []


def test_M3_a_member_that_cannot_be_reached_is_told() -> None:
    with start_server() as server:
        dead = "127.0.0.1:1"
        done = etcdctl(f"--endpoints={dead},{server.target}", "--command-timeout=1s", "defrag")
        assert done.returncode == 1
        assert f"Failed to defragment etcd member[{dead}]" in done.stderr
        assert done.stdout == f"Finished defragmenting etcd member[{server.target}]\n"


def test_M3_T7_members_are_defragmented_by_rule_and_on_a_schedule(tmp_path: Path) -> None:
    """The script of docs/running.md, run as cron does: followers first, and only who would win."""
    program = script_of("running.md", tmp_path / "etcd-defrag")
    with start_cluster() as cluster:
        env = server_environment(
            {
                "PATH": path_with_etcdctl(tmp_path / "bin"),
                "ETCDCTL_ENDPOINTS": ",".join(cluster.endpoints),
                "ETCD_DEFRAG_FREE_MB": "1",
            }
        )

        def run() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [program],
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )

        leader = cluster.wait_leader()
        fill_some(cluster.targets[leader])
        revision = str(cluster.status(leader).header.revision)
        output_of(f"--endpoints={cluster.targets[leader]}", "compaction", "--physical", revision)
        wait_until(
            lambda: all(free_bytes(cluster, index) > 1_000_000 for index in range(3)),
            "all have free pages",
        )
        done = run()
        assert done.returncode == 0, done.stderr
        told = [
            f"Finished defragmenting etcd member[{cluster.endpoints[index]}]"
            for index in sorted(range(3), key=lambda index: index == leader)
        ]
        assert sorted(done.stdout.splitlines()) == sorted(told)
        assert done.stdout.splitlines()[-1] == told[-1], "the leader is last"
        assert all(free_bytes(cluster, index) < 1_000_000 for index in range(3))
        assert (run().stdout, run().returncode) == ("", 0), "nobody would win now"
        cluster.kill((leader + 1) % 3)
        assert run().returncode != 0


def free_bytes(cluster: Cluster, index: int) -> int:
    status = cluster.status(index)
    return int(status.dbSize - status.dbSizeInUse)


def fill_some(target: str) -> None:
    """Put one large value again and again."""
    for _ in range(20):
        output_of(f"--endpoints={target}", "put", "key", "x" * 100_000)
