"""The guide "Upgrade etcd from 3.2 to 3.3", walked through with three members.

Rows U1 to U7 and U9. Stopping the old process and starting the new one is here a restart with
another `--emulated-version`.
"""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster, start_cluster
from tests.runbook.commands import etcdctl, get, output_of, wait_until
from tests.runbook.writer import Writer
from tests.servers import under_test_is_stock

OLD, NEW = "3.2", "3.3"
GAP_S_MAX = 10.0
"""On a machine that runs other tests as well; alone it is about a second."""
HEALTHY = re.compile(
    r"(\S+) is healthy: successfully committed proposal: took = [0-9.]+(?:µs|ms|s)\n"
)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Three members of the old version, as the guide begins."""
    if under_test_is_stock():
        pytest.skip("stock etcd is the version that it is")
    flags = [f"--emulated-version={OLD}"]
    with start_cluster(flags=flags) as started:
        yield started


def check_health(cluster: Cluster) -> None:
    """U4: etcdctl endpoint health --endpoints=localhost:2379,localhost:22379,localhost:32379"""
    endpoints = [f"localhost:{member.client_port}" for member in cluster.members]
    told = output_of("endpoint", "health", f"--endpoints={','.join(endpoints)}")
    assert sorted(HEALTHY.findall(told)) == sorted(endpoints)


def versions(cluster: Cluster, index: int) -> tuple[str, str]:
    """U5: curl http://localhost:2379/version; maj.min of the server, and the cluster's version."""
    _, text = get("127.0.0.1", "/version", cluster.members[index].client_port)
    told = json.loads(text)
    return told["etcdserver"].rpartition(".")[0], told["etcdcluster"]


def replace_process(cluster: Cluster, index: int, version: str, *, wait: bool = True) -> None:
    """Stop the process; start the one of another version on the same data."""
    member = cluster.members[index]
    assert cluster.stop(index) == -15
    member.log_path.rename(member.log_path.with_suffix(f".{time.monotonic_ns()}"))
    member.extra_flags = [
        *(flag for flag in member.extra_flags if "emulated-version" not in flag),
        f"--emulated-version={version}",
    ]
    member.start()
    if wait:
        cluster.wait_healthy(index)


def back_up(cluster: Cluster, path: Path) -> None:
    """U7: etcdctl --endpoints … snapshot save backup.db"""
    output_of(f"--endpoints={cluster.targets[0]}", "snapshot", "save", str(path))
    assert "HASH" in output_of("snapshot", "status", str(path), "--write-out=table")


def gateway_status(cluster: Cluster, index: int, prefix: str) -> int:
    """HTTP status of a read of a key."""
    port = cluster.members[index].client_port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", f"{prefix}/kv/range", '{"key":"Zm9v"}')
        return connection.getresponse().status
    finally:
        connection.close()


def test_U1_U2_U3_U6_U7_the_guide_from_its_beginning_to_its_end(
    cluster: Cluster, tmp_path: Path
) -> None:
    leader = cluster.wait_leader()
    first, second = (index for index in range(3) if index != leader)
    with Writer(cluster.targets) as writer:
        wait_until(lambda: len(writer.acknowledged) > 10, "writes are acknowledged")
        check_health(cluster)
        assert [versions(cluster, index) for index in range(3)] == [(OLD, "3.2.0")] * 3
        back_up(cluster, tmp_path / "before.db")

        replace_process(cluster, first, NEW)
        published = "published local member to cluster through raft"
        own = cluster.members[first]
        line = next(line for line in own.log_text().splitlines() if published in line)
        assert f"ClientURLs:[{own.client_url}]}}" in line
        check_health(cluster)
        assert versions(cluster, first) == (NEW, "3.2.0")
        cluster.wait_log(leader, "leader found higher-versioned member")
        text = cluster.members[leader].log_text()
        assert '"the local etcd version is not up-to-date"' in text
        assert re.search(r'"remote-member-version":"3\.3\.\d+"', text)

        replace_process(cluster, second, NEW)
        back_up(cluster, tmp_path / "during.db")
        assert {versions(cluster, index)[1] for index in range(3)} == {"3.2.0"}

        # Not the last one yet: going back works.
        replace_process(cluster, second, OLD)
        check_health(cluster)
        assert versions(cluster, second) == (OLD, "3.2.0")
        replace_process(cluster, second, NEW)

        replace_process(cluster, leader, NEW)
        for index in range(3):
            cluster.wait_log(index, "enabled capabilities for version")
            wait_until(
                lambda index=index: versions(cluster, index) == (NEW, "3.3.0"),
                "the cluster's version rises",
            )
        check_health(cluster)
        new_leader = cluster.wait_leader()
        cluster.wait_log(new_leader, '"updated cluster version","from":"3.2","to":"3.3"')
        back_up(cluster, tmp_path / "after.db")

        # Afterwards a plain downgrade is refused, and nothing is lost by having tried.
        replace_process(cluster, second, OLD, wait=False)
        assert cluster.members[second].wait_exit(60) not in {0, None}
        assert "lower than determined cluster version" in cluster.members[second].log_text()
        cluster.members[second].extra_flags[-1] = f"--emulated-version={NEW}"
        cluster.members[second].start()
        cluster.wait_healthy(second)
    cluster.wait_equal_hashes()
    assert [writer.missing(target) for target in cluster.targets] == [set()] * 3
    assert writer.longest_gap_s < GAP_S_MAX


def test_U9_each_member_has_the_gateway_of_its_version(cluster: Cluster) -> None:
    assert [gateway_status(cluster, 0, prefix) for prefix in ("/v3alpha", "/v3beta")] == [200, 404]
    replace_process(cluster, 0, NEW)
    told = [gateway_status(cluster, 0, prefix) for prefix in ("/v3alpha", "/v3beta", "/v3")]
    assert told == [200, 200, 404]  # the old prefix leads to the new one
    assert gateway_status(cluster, 1, "/v3alpha") == 200
    assert etcdctl(f"--endpoints={cluster.targets[0]}", "put", "k", "v").returncode == 0
