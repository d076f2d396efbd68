"""Leadership, leases, versions and comparisons of data in clusters of real processes."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from kvorum.proto import rpc_pb2 as rpc
from kvorum.storage import Backend
from kvorum.storage.buckets import KEY
from tests.cluster import Cluster, start_cluster, wait_for
from tests.robustness.calls import Calls
from tests.runbook.commands import etcdctl

DEADLINE_S = 60.0
CALL_S = 20.0


def endpoints_of(cluster: Cluster, *indexes: int) -> str:
    urls = [cluster.endpoints[n] for n in indexes] if indexes else cluster.endpoints
    return f"--endpoints={','.join(urls)}"


def version_of(cluster: Cluster, index: int) -> dict[str, str]:
    with urllib.request.urlopen(f"{cluster.endpoints[index]}/version", timeout=CALL_S) as answer:
        told: dict[str, str] = json.load(answer)
    return told


def wait_cluster_version(cluster: Cluster, version: str) -> None:
    def agreed() -> bool | None:
        told = {version_of(cluster, index)["etcdcluster"] for index in cluster.running()}
        return told == {version} or None

    wait_for(agreed, DEADLINE_S, f"the cluster's version is not {version}")


# Leases.


@pytest.mark.parametrize(
    "kinds", [["kvorum"] * 3, ["kvorum3.5", "stock3.5", "kvorum3.5"]], ids=["kvorum", "mixed"]
)
def test_a_lease_is_kept_alive_through_any_member(kinds: list[str]) -> None:
    with start_cluster(kinds) as cluster:
        granted = etcdctl(endpoints_of(cluster, 0), "lease", "grant", "600").stdout.split()[1]
        assert etcdctl(endpoints_of(cluster), "put", "k", "v", f"--lease={granted}").returncode == 0
        for index in range(3):
            own = endpoints_of(cluster, index)
            kept = etcdctl(own, "lease", "keep-alive", "--once", granted)
            assert kept.stdout == f"lease {granted} keepalived with TTL(600)\n", kept.stderr
            life = etcdctl(own, "lease", "timetolive", granted, "--keys").stdout
            assert "granted with TTL(600s), remaining(59" in life
            assert "attached keys([k])" in life
            gone = etcdctl(own, "lease", "keep-alive", "--once", "1234")
            assert "etcdserver: requested lease not found" in gone.stderr
            assert "already expired" in etcdctl(own, "lease", "timetolive", "1234").stdout


# Leaders.


@pytest.fixture(scope="module")
def ours() -> Iterator[Cluster]:
    with start_cluster() as cluster:
        yield cluster


def test_a_leader_that_is_stopped_hands_over_first(ours: Cluster) -> None:
    leader = ours.wait_leader()
    began_s = time.monotonic()
    ours.stop(leader)
    assert "leadership transfer finished" in ours.members[leader].log_text()
    assert ours.wait_leader(other_than=leader) != leader
    followers = [index for index in range(3) if index != leader]
    assert etcdctl(endpoints_of(ours, *followers), "put", "a", "b").returncode == 0
    assert time.monotonic() - began_s < DEADLINE_S
    ours.restart(leader)


def test_streams_that_want_a_leader_end_when_it_is_lost() -> None:
    with start_cluster() as cluster:
        leader = cluster.wait_leader()
        left = (leader + 1) % 3
        with Calls(cluster.members[left].target) as calls:
            asked = threading.Event()
            create = rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=b"a"))

            def requests() -> Iterator[rpc.WatchRequest]:
                yield create
                asked.wait(DEADLINE_S)

            wanting = calls.watch_call(requests(), metadata=(("hasleader", "true"),))
            patient = calls.watch_call(requests())
            assert next(wanting).created
            assert next(patient).created
            for index in range(3):
                if index != left:
                    cluster.kill(index)
            with pytest.raises(grpc.RpcError) as ended:
                next(wanting)
            assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
            assert ended.value.details() == "etcdserver: no leader"
            assert patient.is_active()
            with pytest.raises(grpc.RpcError) as refused:
                calls.put_call(
                    rpc.PutRequest(key=b"a"), timeout=CALL_S, metadata=(("hasleader", "true"),)
                )
            assert refused.value.details() == "etcdserver: no leader"
            asked.set()
            patient.cancel()


# Versions.


def test_mixed_versions_run_at_the_lowest_and_rise_together() -> None:
    flags = "--emulated-version=3.5"
    with start_cluster(["kvorum3.5", "kvorum3.6", "kvorum3.6"]) as cluster:
        wait_cluster_version(cluster, "3.5.0")
        assert version_of(cluster, 1)["etcdserver"].startswith("3.6")
        assert etcdctl(endpoints_of(cluster), "put", "a", "b").returncode == 0
        member = cluster.members[0]
        cluster.stop(0)
        member.extra_flags = [flag for flag in member.extra_flags if flag != flags]
        member.extra_flags.append("--emulated-version=3.6")
        cluster.restart(0)
        wait_cluster_version(cluster, "3.6.0")
        logs = [json.loads(line) for one in cluster.members for line in one.log_text().splitlines()]
        messages = [(line["msg"], line.get("from"), line.get("to")) for line in logs]
        assert ("updated cluster version", "3.5", "3.6") in messages
        assert any(
            line["msg"] == "enabled capabilities for version" and line["cluster-version"] == "3.6"
            for line in logs
        )
        cluster.stop(0)  # and there is no way back
        member.log_path.unlink()
        member.extra_flags.append(flags)
        member.start()
        assert member.wait_exit(DEADLINE_S) != 0
        assert "server version is lower than determined cluster version" in member.log_text()


def test_a_cluster_goes_down_one_version_member_by_member() -> None:
    with start_cluster(["kvorum3.6"] * 3) as cluster:
        wait_cluster_version(cluster, "3.6.0")
        every = endpoints_of(cluster)
        asked = etcdctl(every, "downgrade", "validate", "3.5")
        assert asked.stdout == "Downgrade validate success, cluster version 3.6\n"
        refused = etcdctl(every, "downgrade", "enable", "3.4")
        assert "etcdserver: invalid downgrade target version" in refused.stderr
        enabled = etcdctl(every, "downgrade", "enable", "3.5")
        assert enabled.stdout == "Downgrade enable success, cluster version 3.6\n"
        wait_cluster_version(cluster, "3.5.0")
        for index, member in enumerate(cluster.members):
            assert version_of(cluster, index)["storage"] == "3.5.0"
            cluster.stop(index)
            member.extra_flags.append("--emulated-version=3.5")
            cluster.restart(index)
            assert etcdctl(every, "put", f"k{index}", "v").returncode == 0
        wait_for(
            lambda: (
                any("the cluster has been downgraded" in one.log_text() for one in cluster.members)
                or None
            ),
            DEADLINE_S,
            "the downgrade does not end",
        )
        cluster.wait_equal_hashes()


# Comparisons of data.


def damage(database: Path) -> None:
    """Change a value behind the member's back."""
    with Backend.open(database, fsync=False) as backend:
        row, value = next(iter(backend.range(KEY, b"", b"\xff", 1)))
        backend.put(KEY, row, value.replace(b"good", b"evil"))


def damaged(cluster: Cluster) -> int:
    """Stop a follower and damage it; its index."""
    assert etcdctl(endpoints_of(cluster), "put", "a", "good").returncode == 0
    cluster.wait_equal_hashes()
    index = (cluster.wait_leader() + 1) % 3
    cluster.stop(index)
    damage(cluster.members[index].data_dir / "member" / "snap" / "db")
    return index


def wait_alarm(cluster: Cluster) -> None:
    def raised() -> bool | None:
        for member in cluster.members:
            with Calls(member.target) as calls:
                try:
                    status = calls.status_call(rpc.StatusRequest(), timeout=CALL_S)
                except grpc.RpcError:
                    continue
                if any("CORRUPT" in text for text in status.errors):
                    return True
        return None

    wait_for(raised, DEADLINE_S, "there is no alarm")


def test_a_member_whose_data_is_damaged_does_not_start_when_it_compares_first() -> None:
    with start_cluster() as cluster:
        index = damaged(cluster)
        member = cluster.members[index]
        member.extra_flags.append("--feature-gates=InitialCorruptCheck=true")
        member.start()
        assert member.wait_exit(DEADLINE_S) != 0
        assert "found data inconsistency with peers" in member.log_text()
        healthy = (index + 1) % 3
        cluster.members[healthy].extra_flags.append("--experimental-initial-corrupt-check")
        cluster.restart(healthy)
        assert "initial corruption checking passed" in cluster.members[healthy].log_text()


def test_damage_is_found_by_comparing_and_the_cluster_takes_no_more_requests() -> None:
    with start_cluster(flags=["--corrupt-check-time=1s"]) as cluster:
        index = damaged(cluster)
        cluster.restart(index, wait=False)
        wait_alarm(cluster)
        refused = etcdctl(endpoints_of(cluster), "put", "a", "b")
        assert "etcdserver: corrupt cluster" in refused.stderr


def test_damage_is_found_by_the_hashes_of_compactions() -> None:
    gate = "--experimental-compact-hash-check-enabled"
    flags = [gate, "--compact-hash-check-time=1s"]
    with start_cluster(flags=flags) as cluster:
        index = damaged(cluster)
        cluster.restart(index)
        for number in range(3):
            assert etcdctl(endpoints_of(cluster), "put", "b", str(number)).returncode == 0
        assert etcdctl(endpoints_of(cluster), "compaction", "4").returncode == 0
        wait_alarm(cluster)
        assert any("Detected compaction hash mismatch" in one.log_text() for one in cluster.members)
