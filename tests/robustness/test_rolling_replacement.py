"""A cluster whose programs are replaced one process at a time, under load: stock etcd by Kvorum,
Kvorum by a newer stock etcd, and all the way back.

No acknowledged write is lost, no client sees anything that is not linearizable, watches miss
nothing, and the other members take writes again as soon as they have a leader.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster import Cluster, start_cluster, wait_for
from tests.robustness.calls import Calls
from tests.robustness.replacing import Trip, change_program, travel
from tests.runbook.commands import etcdctl, get, output_of
from tests.servers import Server, under_test_is_stock

pytestmark = pytest.mark.skipif(under_test_is_stock(), reason="stock etcd adopts nothing")

ELECTION_S = 1.0
"""`--election-timeout`, the default."""
GAP_S_MAX = 2 * 2 * ELECTION_S
"""Two elections: members wait one to two timeouts before each. A lead that is handed over needs
none, and is gone for some 10 ms; a member that starts beside the others on two busy cores costs
them more (0.1 to 0.5 s were usual and 1.7 s the most, with a load of 20)."""
VERSION_S = 30.0
PENDING = "etcd_server_proposals_pending "
LOG_TAIL_CHARS = 6000
# So that directories change hands with raft snapshots in them and a log that has been cut.
FLAGS = ("--snapshot-count=300",)


@contextmanager
def trip_of(kind: str, *, crowd_size: int = 6) -> Iterator[Trip]:
    with start_cluster([kind] * 3, flags=FLAGS) as cluster:
        try:
            with travel(cluster, crowd_size=crowd_size) as trip:
                yield trip
        except BaseException:
            for member in cluster.members:
                print(f"--- {member.name}\n{member.log_text()[-LOG_TAIL_CHARS:]}")
            raise
        longest = max(trip.replaced, key=lambda one: one.gap)
        assert longest.gap.unavailable_s < GAP_S_MAX, str(longest)


def wait_cluster_version(cluster: Cluster, version: str) -> None:
    def agreed() -> bool | None:
        told = [get("127.0.0.1", "/version", member.client_port)[1] for member in cluster.members]
        return all(json.loads(text)["etcdcluster"] == version for text in told) or None

    wait_for(agreed, VERSION_S, f"the cluster's version does not become {version}")


def allow_downgrade(cluster: Cluster, version: str) -> None:
    endpoints = ",".join(cluster.targets)
    output_of(f"--endpoints={endpoints}", "downgrade", "enable", version)


def wait_downgrade_ended(cluster: Cluster) -> None:
    def ended() -> bool | None:
        ports = [member.peer_port for member in cluster.members]
        told = [get("127.0.0.1", "/downgrade/enabled", port)[1] for port in ports]
        return told == ["false"] * len(told) or None

    wait_for(ended, VERSION_S, "the downgrade does not end")


def test_stock_3_4_is_replaced_by_kvorum_under_load() -> None:
    with trip_of("stock3.4", crowd_size=3) as trip:
        trip.replace_all("kvorum3.5")
        wait_cluster_version(trip.cluster, "3.5.0")


def test_a_member_that_is_stopped_answers_what_it_was_asked_before() -> None:
    """The answer needs the leader, which is slow: so the others have to be heard until then."""
    flags = ["--election-timeout=3000"]
    with start_cluster(flags=flags) as cluster:
        leader = cluster.wait_leader()
        follower = (leader + 1) % 3
        with Calls(cluster.targets[follower]) as calls:
            calls.put(b"connected")
            cluster.pause(leader)
            asked = calls.put_async(b"asked", b"before")
            member = cluster.members[follower]
            wait_received(member)
            assert member.process is not None
            member.process.terminate()
            cluster.wait_log(follower, "closing etcd server")
            cluster.resume(leader)
            assert asked.result().header.revision
        assert member.wait_exit() == -15
        with Calls(cluster.targets[leader]) as calls:
            assert calls.get(b"asked").kvs[0].value == b"before"


def wait_received(member: Server) -> None:
    """Return when the put that waits has arrived."""

    def received() -> bool | None:
        text = get("127.0.0.1", "/metrics", member.client_port)[1]
        (line,) = (one for one in text.splitlines() if one.startswith(PENDING))
        return float(line.rpartition(" ")[2]) == 1 or None

    wait_for(received, VERSION_S, "the put does not arrive")


@pytest.mark.slow
def test_stock_3_4_joins_a_cluster_that_has_come_down_from_3_5() -> None:
    """It gets a snapshot: the log has requests that it does not know, and would end it."""
    with start_cluster(["kvorum3.5"] * 3) as cluster:
        wait_cluster_version(cluster, "3.5.0")
        with Calls(cluster.targets[0]) as calls:
            calls.put(b"from", b"3.5")
        allow_downgrade(cluster, "3.4")
        for index in range(3):
            cluster.stop(index)
            change_program(cluster, index, "kvorum3.4")
            cluster.restart(index)
        wait_cluster_version(cluster, "3.4.0")
        joined = cluster.add_server("stock3.4", state="existing")
        peer_url = f"--peer-urls={cluster.members[joined].peer_url}"
        add = ["member", "add", "m4", peer_url, f"--endpoints={','.join(cluster.targets[:3])}"]
        wait_for(
            # Refused until the last one to be restarted has been connected for a while.
            lambda: etcdctl(*add).returncode == 0 or None,
            VERSION_S,
            "the member is not added",
        )
        cluster.start(joined)
        cluster.wait_healthy(joined)
        cluster.wait_equal_hashes()
        with Calls(cluster.targets[joined]) as calls:
            assert calls.get(b"from").kvs[0].value == b"3.5"


@pytest.mark.soak
def test_from_stock_3_4_by_kvorum_to_stock_3_5_and_back_under_load() -> None:
    with trip_of("stock3.4") as trip:
        trip.replace_all("kvorum3.5")
        wait_cluster_version(trip.cluster, "3.5.0")
        trip.replace_all("stock3.5")

        trip.replace_all("kvorum3.5")
        allow_downgrade(trip.cluster, "3.4")
        trip.replace_all("kvorum3.4")
        wait_cluster_version(trip.cluster, "3.4.0")
        trip.replace_all("stock3.4")


@pytest.mark.soak
def test_from_stock_3_5_by_kvorum_to_stock_3_6_and_back_under_load() -> None:
    with trip_of("stock3.5") as trip:
        trip.replace_all("kvorum3.6")
        wait_cluster_version(trip.cluster, "3.6.0")
        trip.replace_all("stock3.6")

        allow_downgrade(trip.cluster, "3.5")
        wait_cluster_version(trip.cluster, "3.5.0")
        trip.replace_all("kvorum3.5")
        wait_downgrade_ended(trip.cluster)
        trip.replace_all("stock3.5")
