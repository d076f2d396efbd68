"""`--force-new-cluster`: one member is left of three. Ours does what stock 3.5.1 does."""

from __future__ import annotations

import json

import pytest

from tests.cluster import Cluster, command_of, start_cluster
from tests.robustness.calls import Calls
from tests.runbook.commands import etcdctl, output_of

pytestmark = pytest.mark.slow


def lose_two(cluster: Cluster) -> None:
    """Writes, and then a `kill -9` of all three; two do not come back."""
    with Calls(cluster.targets[0]) as calls:
        for number in range(20):
            calls.put(b"k/%d" % number, b"v")
    cluster.wait_equal_hashes()
    for index in range(3):
        cluster.kill(index)


def scale_out(cluster: Cluster) -> None:
    """Add a member to the cluster of one."""
    target = cluster.targets[0]
    fourth = cluster.add_server("kvorum3.5", state="existing")
    url = cluster.members[fourth].peer_url
    output_of(f"--endpoints={target}", "member", "add", "m4", f"--peer-urls={url}")
    named = f"m1={cluster.members[0].peer_url},m4={url}"
    cluster.members[fourth].extra_flags.append(f"--initial-cluster={named}")
    cluster.start(fourth)
    cluster.wait_healthy(0, fourth)
    cluster.wait_equal_hashes([0, fourth])


@pytest.mark.parametrize(
    ("founders", "rescuer"),
    [("kvorum3.5", "kvorum3.5"), ("stock3.5", "stock3.5"), ("stock3.5", "kvorum3.5")],
    ids=["ours", "stock", "ours on a directory of stock"],
)
def test_the_last_member_becomes_a_cluster_of_one_and_grows_again(
    founders: str, rescuer: str
) -> None:
    with start_cluster([founders] * 3) as cluster:
        before = cluster.status(0).header
        lose_two(cluster)
        last = cluster.members[0]
        last.command, own_flags = command_of(rescuer)
        usual = [one for one in last.extra_flags if "emulated-version" not in one] + own_flags
        last.extra_flags = [*usual, "--force-new-cluster"]
        last.start()
        cluster.wait_healthy(0)

        at = f"--endpoints={last.target}"
        listed = json.loads(output_of(at, "member", "list", "--write-out=json"))
        assert [one["name"] for one in listed["members"]] == ["m1"]
        assert listed["header"]["cluster_id"] == before.cluster_id
        assert listed["members"][0]["ID"] == before.member_id
        keys = output_of(at, "get", "k/", "--prefix", "--keys-only").split()
        # Stock drops the last write: it was acknowledged, but this is not in its log yet.
        assert len(keys) == 20 or (rescuer == "stock3.5" and len(keys) == 19)
        assert "forcing restart member" in last.log_text()

        last.extra_flags = usual  # taken away again, as the operator should
        cluster.restart(0)
        assert output_of(at, "put", "after", "v") == "OK\n"
        scale_out(cluster)
        assert etcdctl(at, "endpoint", "health", "--cluster").returncode == 0


def test_a_new_data_directory_is_not_concerned() -> None:
    """Stock starts as always then; so do we."""
    with start_cluster(["kvorum"], flags=["--force-new-cluster"]) as cluster:
        assert output_of(f"--endpoints={cluster.targets[0]}", "put", "k", "v") == "OK\n"
