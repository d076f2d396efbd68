"""Rows R1 to R6 of the mission: a failed member is replaced, three members become five.

The steps are those of the document "Runtime reconfiguration"; addresses are loopback's.
"""

from __future__ import annotations

import re
import shutil

import pytest

from tests.cluster import Cluster, start_cluster, wait_for
from tests.runbook.commands import CLIENTS, etcdctl, wait_until
from tests.runbook.writer import Writer
from tests.servers import free_port

DEADLINE_S = 60.0


def endpoints_of(cluster: Cluster, *without: int) -> str:
    urls = [url for n, url in enumerate(cluster.endpoints) if n not in without]
    return f"--endpoints={','.join(urls)}"


def add(cluster: Cluster, endpoints: str, name: str, peer_url: str, client: tuple[str, ...]) -> str:
    """`member add`, again while the members have not been connected for long; what it printed."""

    def added() -> str | None:
        done = etcdctl(endpoints, "member", "add", name, f"--peer-urls={peer_url}", client=client)
        assert done.returncode == 0 or "etcdserver: unhealthy cluster" in done.stderr, done.stderr
        return done.stdout if done.returncode == 0 else None

    return wait_for(added, DEADLINE_S, "the member is not added")


def start_added(cluster: Cluster, printed: str, peer_port: int, kind: str = "kvorum") -> int:
    """Start a member with nothing but the environment that `member add` printed."""
    environment = dict(re.findall(r'^(ETCD_\w+)="(.*)"$', printed, re.MULTILINE))
    assert set(environment) == {
        "ETCD_NAME",
        "ETCD_INITIAL_CLUSTER",
        "ETCD_INITIAL_ADVERTISE_PEER_URLS",
        "ETCD_INITIAL_CLUSTER_STATE",
    }
    index = cluster.add_server(kind, state="existing", peer_port=peer_port)
    member = cluster.members[index]
    assert environment["ETCD_NAME"] == member.name
    assert environment["ETCD_INITIAL_CLUSTER_STATE"] == "existing"
    member.extra_flags = [
        f"--initial-cluster={environment['ETCD_INITIAL_CLUSTER']}",
        "--initial-cluster-state=existing",
    ]
    member.start()
    cluster.wait_healthy(index)
    return index


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
def test_R1_to_R4_a_failed_member_is_replaced(client: tuple[str, ...]) -> None:
    with start_cluster(["kvorum"] * 3) as cluster:
        assert etcdctl(endpoints_of(cluster), "put", "kept", "v").returncode == 0
        failed = 0
        cluster.kill(failed)
        endpoints = endpoints_of(cluster, failed)
        cluster.wait_leader(other_than=failed)

        # R1: get the failed member's id.
        listed = etcdctl(endpoints, "member", "list", client=client)
        assert listed.returncode == 0, listed.stderr
        member = cluster.members[failed]
        line = next(line for line in listed.stdout.splitlines() if member.name in line)
        assert re.fullmatch(
            rf"([0-9a-f]+), started, {member.name}, {member.peer_url}, {member.client_url}, false",
            line,
        )
        member_id = line.split(", ")[0]

        # R2: remove it.
        removed = etcdctl(endpoints, "member", "remove", member_id, client=client)
        assert removed.returncode == 0, removed.stderr
        assert re.fullmatch(
            rf"Member +{member_id} removed from cluster +[0-9a-f]+\n", removed.stdout
        )
        member.start()
        assert member.wait_exit(DEADLINE_S) == 0
        assert "the member has been permanently removed from the cluster" in member.log_text()

        # R3: add the new member.
        peer_port = free_port()
        peer_url = f"http://127.0.0.1:{peer_port}"
        printed = add(cluster, endpoints, "m4", peer_url, client)
        first, _, environment = printed.partition("\n\n")
        assert re.fullmatch(r"Member +[0-9a-f]+ added to cluster +[0-9a-f]+", first)
        assert f'ETCD_INITIAL_ADVERTISE_PEER_URLS="{peer_url}"\n' in environment
        assert f"m4={peer_url}" in environment
        assert member.peer_url not in environment

        # R4: start it.
        index = start_added(cluster, printed, peer_port)
        own = f"--endpoints={cluster.endpoints[index]}"
        assert etcdctl(own, "get", "kept", client=client).stdout == "kept\nv\n"
        assert etcdctl(own, "put", "new", "v", client=client).returncode == 0
        cluster.wait_equal_hashes([1, 2, index])
        healthy = etcdctl(
            endpoints_of(cluster, failed), "endpoint", "health", "--cluster", client=client
        )
        assert healthy.returncode == 0, healthy.stderr


def test_R2_a_member_that_is_removed_while_it_runs_stops_serving() -> None:
    with start_cluster(["kvorum"] * 3) as cluster:
        leader = cluster.wait_leader()
        removed = (leader + 1) % 3
        member = cluster.members[removed]
        listed = etcdctl(endpoints_of(cluster), "member", "list").stdout
        member_id = next(
            line.split(", ")[0] for line in listed.splitlines() if f" {member.name}," in line
        )
        endpoints = endpoints_of(cluster, removed)
        wait_for(
            lambda: etcdctl(endpoints, "member", "remove", member_id).returncode == 0 or None,
            DEADLINE_S,
            "the member is not removed",
        )
        assert member.wait_exit(DEADLINE_S) == 0
        log = member.log_text()
        assert "the member has been permanently removed from the cluster" in log
        assert "data-dir used by this member must be removed" in log
        own = f"--endpoints={member.client_url}"
        assert etcdctl(own, "get", "a", "--command-timeout=1s").returncode != 0
        assert etcdctl(endpoints, "put", "a", "b").returncode == 0


def test_R6_three_members_become_five() -> None:
    with start_cluster(["kvorum"] * 3) as cluster:
        client = CLIENTS["ours"]
        for number in range(3):
            assert etcdctl(endpoints_of(cluster), "put", f"k{number}", "v").returncode == 0
        for name in ("m4", "m5"):
            peer_port = free_port()
            endpoints = endpoints_of(cluster)
            printed = add(cluster, endpoints, name, f"http://127.0.0.1:{peer_port}", client)
            start_added(cluster, printed, peer_port)
        listed = etcdctl(endpoints_of(cluster), "member", "list").stdout.splitlines()
        assert sorted(line.split(", ")[2] for line in listed) == ["m1", "m2", "m3", "m4", "m5"]
        assert all(", started, " in line and line.endswith(", false") for line in listed)
        cluster.wait_equal_hashes()
        leader = cluster.wait_leader()
        other = (leader + 1) % 5
        for gone in (leader, other):  # five members serve with two of them gone
            cluster.kill(gone)
        cluster.wait_leader(other_than=leader)
        left = endpoints_of(cluster, leader, other)
        wait_for(
            lambda: etcdctl(left, "put", "still", "here").returncode == 0 or None,
            DEADLINE_S,
            "three of five members do not serve",
        )


def lose_and_replace(cluster: Cluster, lost: int, living: list[int], name: str) -> int:
    """Kill a member, remove its disk, and do R1 to R4 with what is left. Index of the new one."""
    member = cluster.members[lost]
    cluster.kill(lost)
    shutil.rmtree(member.data_dir)
    endpoints = f"--endpoints={','.join(cluster.targets[index] for index in living)}"

    def removed() -> bool:
        listed = etcdctl(endpoints, "member", "list")
        ids = [
            line.split(", ")[0] for line in listed.stdout.splitlines() if member.peer_url in line
        ]
        for one in ids:
            etcdctl(endpoints, "member", "remove", one)
        return listed.returncode == 0 and not ids

    wait_until(removed, "the lost member is removed", DEADLINE_S)
    peer_port = free_port()
    url = f"http://127.0.0.1:{peer_port}"
    printed = add(cluster, endpoints, name, url, CLIENTS["ours"])
    return start_added(cluster, printed, peer_port)


@pytest.mark.slow
def test_R5_members_are_replaced_one_by_one_under_load_and_no_write_is_lost() -> None:
    """Every founder is lost once, the leader of the moment first; in the end all are new."""
    with (
        start_cluster(["kvorum"] * 3) as cluster,
        Writer(cluster.targets, follow_members=True) as writer,
    ):

        def wait_written() -> None:
            so_far = len(writer.acknowledged)
            wait_until(lambda: len(writer.acknowledged) > so_far + 20, "writes are acknowledged")

        living = [0, 1, 2]
        leader = cluster.wait_leader()
        for number, lost in enumerate((leader, (leader + 1) % 3, (leader + 2) % 3), start=4):
            wait_written()
            living.remove(lost)
            living.append(lose_and_replace(cluster, lost, living, f"m{number}"))
        wait_written()
        writer.close()
        assert living == [3, 4, 5]
        cluster.wait_equal_hashes(living)
        assert [writer.missing(cluster.targets[index]) for index in living] == [set()] * 3
        endpoints = ",".join(cluster.targets[index] for index in living)
        listed = etcdctl(f"--endpoints={endpoints}", "member", "list").stdout.splitlines()
        assert sorted(line.split(", ")[2] for line in listed) == ["m4", "m5", "m6"]
