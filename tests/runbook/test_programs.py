"""Rows T1, T2 and T6 of the mission: the programs and the library, as far as one member goes.

What of T1 needs several members is in test_clusters.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvorum.client import Client
from kvorum.embed import Config, Member
from tests.runbook.commands import CLIENTS, OURS, etcdctl, output_of
from tests.servers import Server, free_port, server_environment, start_server

ANY_PORT = ("http://127.0.0.1:0",)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with start_server() as started:
        yield started


def status(server: Server) -> dict[str, int]:
    text = output_of(f"--endpoints={server.target}", "endpoint", "status", "-w", "json")
    return dict(json.loads(text)[0]["Status"])


def test_T1_the_server_is_led_by_an_elected_leader_and_commits_through_the_log(
    server: Server,
) -> None:
    before = status(server)
    assert before["leader"] == before["header"]["member_id"]  # type: ignore[index]
    assert before["raftTerm"] >= 2
    output_of(f"--endpoints={server.target}", "put", "t1", "x")
    assert status(server)["raftIndex"] == before["raftIndex"] + 1


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_T2_etcdctl_works_on_keys_over_the_network(server: Server, client: tuple[str, ...]) -> None:
    at = f"--endpoints={server.target}"
    assert output_of(at, "put", "t2/a", "1", client=client) == "OK\n"
    assert output_of(at, "put", "t2/b", "2", client=client) == "OK\n"
    assert output_of(at, "get", "--prefix", "t2/", client=client) == "t2/a\n1\nt2/b\n2\n"
    txn = b'value("t2/a") = "1"\n\nput t2/a 3\n\nget t2/b\n\n'
    assert output_of(at, "txn", client=client, stdin=txn) == "SUCCESS\n\nOK\n"
    assert output_of(at, "del", "--prefix", "t2/", client=client) == "2\n"
    assert output_of(at, "get", "--prefix", "t2/", client=client) == ""


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_T2_etcdctl_shows_the_cluster_and_its_health(
    server: Server, client: tuple[str, ...]
) -> None:
    at = f"--endpoints={server.target}"
    listed = output_of(at, "member", "list", client=client)
    assert f", started, m1, {server.peer_url}, {server.client_url}" in listed
    assert f"{server.target}, " in output_of(at, "endpoint", "status", client=client)
    health = etcdctl(at, "endpoint", "health", client=client)
    assert f"{server.target} is healthy" in health.stdout + health.stderr


async def test_T6_the_client_library_goes_on_when_the_first_endpoint_is_down(
    server: Server,
) -> None:
    dead = f"127.0.0.1:{free_port()}"
    async with Client([dead, server.target]) as client:
        await client.kv.put(b"t6", b"1")
        assert (await client.kv.get(b"t6")).kvs[0].value == b"1"


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_T6_etcdctl_goes_on_when_the_first_endpoint_is_down(
    server: Server, client: tuple[str, ...]
) -> None:
    dead = f"127.0.0.1:{free_port()}"
    at = f"--endpoints={dead},{server.target}"
    assert output_of(at, "put", "t6/ctl", "1", client=client) == "OK\n"


async def test_T6_a_member_runs_inside_a_program(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path, listen_client_urls=ANY_PORT, listen_peer_urls=ANY_PORT)
    async with Member(config) as member, Client(member.client_urls) as client:
        await client.kv.put(b"greeting", b"hello")
        assert (await client.kv.get(b"greeting")).kvs[0].value == b"hello"


def test_T6_another_process_reaches_the_member_inside_a_program(tmp_path: Path) -> None:
    """The embedding program serves whoever comes, as `etcd` does."""
    program = textwrap.dedent(
        """
        import asyncio, sys
        from kvorum.embed import Config, Member

        async def main():
            any_port = ("http://127.0.0.1:0",)
            config = Config(
                data_dir=sys.argv[1], listen_client_urls=any_port, listen_peer_urls=any_port
            )
            async with Member(config) as member:
                print(member.client_urls[0], flush=True)
                await asyncio.to_thread(sys.stdin.read)

        asyncio.run(main())
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "data")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=server_environment(),
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().decode().strip()
        assert output_of(f"--endpoints={url}", "put", "a", "1", client=OURS) == "OK\n"
        process.communicate(timeout=20)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()
