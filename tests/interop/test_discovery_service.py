"""Founding members that find each other through an etcd: stock's or ours, as the service."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster, wait_for
from tests.robustness.calls import Calls
from tests.servers import start_server
from tests.stock import require_stock_35

pytestmark = pytest.mark.slow

TOKEN = "6c007a14875d53d9bf0ef5a6fc0257c817f0fb83"


@pytest.fixture(params=["kvorum", "stock"])
def service(request: pytest.FixtureRequest) -> Iterator[str]:
    """`host:port` of an etcd that the size of a new cluster was put into."""
    if request.param == "stock":
        require_stock_35()
    with start_server(request.param) as server:
        with Calls(server.target) as calls:
            calls.put(f"/_etcd/registry/{TOKEN}/_config/size".encode(), b"3")
        yield server.target


@contextlib.contextmanager
def discovering(folder: Path, service: str, count: int, token: str = TOKEN) -> Iterator[Cluster]:
    """Members that know the service alone, started."""
    cluster = Cluster(folder, [])
    try:
        for _ in range(count):
            cluster.add_server("kvorum")
            cluster.kinds = ["kvorum"] * len(cluster.members)
            flags = cluster.members[-1].extra_flags
            flags[:] = [flag for flag in flags if "cluster-state" not in flag]
            # An empty --initial-cluster takes the place of the one that the helper gives.
            flags += [
                "--initial-cluster=",
                f"--discovery-endpoints={service}",
                f"--discovery-token={token}",
            ]
            cluster.members[-1].start()
        yield cluster
    finally:
        cluster.close()


def test_three_members_find_each_other(service: str, tmp_path: Path) -> None:
    with discovering(tmp_path, service, 3) as cluster:
        cluster.wait_healthy()
        with Calls(service) as calls:
            prefix = f"/_etcd/registry/{TOKEN}/members/".encode()
            found = calls.get(prefix, prefix + b"\xff").kvs
        written = {bytes(one.value).decode() for one in found}
        assert written == {f"{one.name}={one.peer_url}" for one in cluster.members}
        ids = {f"{cluster.status(index).header.member_id:x}" for index in range(3)}
        assert {bytes(one.key).rsplit(b"/", 1)[1].decode() for one in found} == ids
        cluster.restart(1)  # from its data: the token is not looked at again
        cluster.wait_equal_hashes()


def test_who_comes_late_is_refused(service: str, tmp_path: Path) -> None:
    with discovering(tmp_path, service, 3) as cluster:
        cluster.wait_healthy()
        (tmp_path / "late").mkdir()
        with discovering(tmp_path / "late", service, 1) as late:
            assert late.members[0].wait_exit(60) == 1
            assert "discovery: cluster is full" in late.members[0].log_text()


def test_a_member_waits_for_the_others(service: str, tmp_path: Path) -> None:
    with discovering(tmp_path, service, 1) as cluster:
        cluster.wait_log(0, "waiting for peers from the discovery service")
        assert '"needed-peers":2' in cluster.members[0].log_text()


def test_a_token_without_a_size_is_refused(service: str, tmp_path: Path) -> None:
    with discovering(tmp_path, service, 1, token="unknown") as cluster:
        assert cluster.members[0].wait_exit(60) == 1
        assert "discovery: size key not found" in cluster.members[0].log_text()


def test_a_service_that_is_away_is_waited_for(tmp_path: Path) -> None:
    with start_server() as server:
        with Calls(server.target) as calls:
            calls.put(f"/_etcd/registry/{TOKEN}/_config/size".encode(), b"1")
        server.kill9()
        with discovering(tmp_path, server.target, 1) as cluster:
            cluster.wait_log(0, "failed to reach the discovery service; trying again")
            server.start()
            server.wait_ready()
            cluster.wait_healthy()
            wait_for(lambda: cluster.status(0).leader or None, 30, "a leader")
