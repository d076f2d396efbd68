"""Rows M2 and M3 of the mission, with the member running: full, defragmented, writable again."""

from __future__ import annotations

import pytest

from kvorum.storage.lmdb_file import LmdbFile
from tests.runbook.commands import CLIENTS, etcdctl, output_of
from tests.runbook.test_maintaining import NO_SPACE, QUOTA_BYTES, fill, status_fields
from tests.servers import start_server, under_test_is_stock


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


def fill_some(target: str) -> None:
    """Put one large value again and again."""
    for _ in range(20):
        output_of(f"--endpoints={target}", "put", "key", "x" * 100_000)
