"""Rows T1, S3, S4 and S5 of the mission: clusters of several members, and ways to find them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.cluster import Cluster, start_cluster
from tests.dns import name_server
from tests.runbook.commands import CLIENTS, etcdctl, output_of
from tests.servers import start_server


@pytest.mark.parametrize(
    "size", [3, pytest.param(5, marks=pytest.mark.slow)], ids=["three", "five"]
)
def test_T1_S3_a_cluster_from_static_member_information(size: int) -> None:
    """etcd --name … --initial-advertise-peer-urls … --initial-cluster infra0=…,infra1=…,…

    Led, replicated to all, and serving without a minority of its members.
    """
    with start_cluster(["kvorum"] * size) as cluster:
        for index, target in enumerate(cluster.targets):
            assert output_of(f"--endpoints={target}", "put", f"k{index}", "v") == "OK\n"
        for target in cluster.targets:
            listed = output_of(f"--endpoints={target}", "member", "list").splitlines()
            assert len(listed) == size
            assert all(", started, m" in line for line in listed)
            keys = output_of(f"--endpoints={target}", "get", "k", "--prefix", "--keys-only")
            assert keys.split() == [f"k{index}" for index in range(size)]
        for index in range(size // 2):  # a minority may fail
            cluster.kill(index)
        cluster.wait_leader()
        rest = f"--endpoints={','.join(cluster.targets[size // 2 :])}"
        assert output_of(rest, "put", "after", "v", "--command-timeout=20s") == "OK\n"
        cluster.kill(size // 2)  # and no more than that: without a majority nothing is changed
        last = f"--endpoints={cluster.targets[-1]}"
        refused = etcdctl(last, "put", "never", "v", "--command-timeout=2s")
        assert refused.returncode != 0
        cluster.start(*range(size // 2 + 1))
        cluster.wait_healthy()
        cluster.wait_equal_hashes()
        assert output_of(last, "get", "after") == "after\nv\n"


@contextlib.contextmanager
def found_members(folder: Path, flags: Sequence[str], env: dict[str, str]) -> Iterator[Cluster]:
    """Three members that are told where to look, and not who they are; healthy."""
    cluster = Cluster(folder, ["kvorum"] * 3)
    try:
        for _ in range(3):
            index = cluster.add_server("kvorum")
            member = cluster.members[index]
            member.extra_flags = ["--initial-cluster=", *flags]
            member.env = env
        yield cluster
    finally:
        cluster.close()


def test_S4_a_cluster_by_a_discovery_service(tmp_path: Path) -> None:
    """etcd --discovery-token … --discovery-endpoints … (another etcd; nothing else is known)"""
    with start_server() as service:
        at = f"--endpoints={service.target}"
        assert output_of(at, "put", "/_etcd/registry/6c007a14/_config/size", "3") == "OK\n"
        flags = ["--discovery-token=6c007a14", f"--discovery-endpoints={service.client_url}"]
        with found_members(tmp_path, flags, {}) as cluster:
            cluster.start()
            cluster.wait_healthy()
            service.terminate()  # it is needed no more
            assert output_of(f"--endpoints={cluster.targets[0]}", "put", "k", "v") == "OK\n"
            assert output_of(f"--endpoints={cluster.targets[2]}", "get", "k") == "k\nv\n"
            cluster.restart(1)


def test_S4_a_cluster_by_dns_srv_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """etcd --discovery-srv example.com; etcdctl --discovery-srv example.com"""
    records: dict[str, list[tuple[int, int, int, str]]] = {}
    with name_server(records) as server:
        env = {"KVORUM_DNS_SERVER": server}
        flags = ["--discovery-srv=example.com", "--initial-cluster-token=etcd-cluster-1"]
        with found_members(tmp_path, flags, env) as cluster:
            for service in ("server", "client"):
                records[f"_etcd-{service}._tcp.example.com"] = [
                    (0, 0, one.peer_port if service == "server" else one.client_port, "127.0.0.1")
                    for one in cluster.members
                ]
            cluster.start()
            cluster.wait_healthy()
            monkeypatch.setenv("KVORUM_DNS_SERVER", server)
            assert output_of("--discovery-srv", "example.com", "put", "k", "v") == "OK\n"
            listed = output_of("--discovery-srv", "example.com", "member", "list").splitlines()
            assert len(listed) == 3
            assert {line.split(", ")[2] for line in listed} == {"m1", "m2", "m3"}
            told = output_of("-d", "example.com", "endpoint", "status")
            assert told.count("http://127.0.0.1:") == 3


class RoundRobin:
    """A TCP load balancer: each new connection goes to the next member that takes it."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = list(ports)
        self._turns = itertools.count(random.randrange(len(ports)))
        self.port = 0
        self.served: list[int] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self._ready = threading.Event()
        self._done = asyncio.Event()

    def __enter__(self) -> RoundRobin:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._done.wait()
        server.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in self._ports:
            port = self._ports[next(self._turns) % len(self._ports)]
            try:
                member_reader, member_writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                continue
        else:
            writer.close()
            return
        self.served.append(port)
        await asyncio.wait(
            [
                asyncio.create_task(_copy(reader, member_writer)),
                asyncio.create_task(_copy(member_reader, writer)),
            ],
            return_when=asyncio.FIRST_COMPLETED,
        )
        for one in (writer, member_writer):
            one.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_S5_through_a_load_balancer_any_member_serves_any_request(
    client: tuple[str, ...], three: Cluster
) -> None:
    ports = [member.client_port for member in three.members]
    with RoundRobin(ports) as balancer:
        at = f"--endpoints=127.0.0.1:{balancer.port}"
        for number in range(4):
            assert output_of(at, "put", f"s5/{number}", "v", client=client) == "OK\n"
            assert output_of(at, "get", f"s5/{number}", client=client) == f"s5/{number}\nv\n"
        granted = output_of(at, "lease", "grant", "60", client=client).split()[1]
        assert "granted with TTL(60s)" in output_of(
            at, "lease", "timetolive", granted, client=client
        )
        kept = output_of(at, "lease", "keep-alive", "--once", granted, client=client)
        assert "keepalived with TTL(60)" in kept
        deleted = output_of(at, "del", "s5/", "--prefix", client=client)
        assert deleted == "4\n"
        assert set(balancer.served) == set(ports)


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    with start_cluster() as cluster:
        yield cluster


def test_S5_a_member_that_is_down_is_not_noticed_behind_a_load_balancer() -> None:
    with start_cluster() as cluster:
        follower = next(i for i in range(3) if i != cluster.wait_leader())
        cluster.kill(follower)
        with RoundRobin([member.client_port for member in cluster.members]) as balancer:
            at = f"--endpoints=127.0.0.1:{balancer.port}"
            for number in range(6):
                assert output_of(at, "put", f"k{number}", "v") == "OK\n"
            assert len(set(balancer.served)) == 2
