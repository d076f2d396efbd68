"""A full disk on one member: it stops and says why, the others go on, and it comes back."""

from __future__ import annotations

import resource
import subprocess

import pytest

from tests.cluster import Cluster, start_cluster, wait_for
from tests.interop.clients import put_for_sure, put_quickly
from tests.robustness.calls import Calls

FULL_BYTES = 96 * 1024 * 1024
"""More than a log's segment, which is made in its full size of 64 MB at once."""
VALUE = b"v" * 500_000
WRITES_MAX = 400
END_S = 30.0


def limit_files(cluster: Cluster, index: int) -> None:
    """No file of the member may grow beyond what it is allowed; that ends like a full disk."""
    pid = cluster.members[index].pid
    subprocess.run(
        ["prlimit", f"--fsize={FULL_BYTES}:{resource.RLIM_INFINITY}", f"--pid={pid}"], check=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("is_leader", [True, False], ids=["leader", "follower"])
def test_a_member_whose_disk_is_full_stops_and_the_others_go_on(is_leader: bool) -> None:
    with start_cluster() as cluster:
        leader = cluster.wait_leader()
        full = leader if is_leader else (leader + 1) % 3
        others = [index for index in range(3) if index != full]
        limit_files(cluster, full)
        with Calls(cluster.targets[others[0]]) as calls:
            for number in range(WRITES_MAX):
                put_for_sure(calls, b"big/%d" % number, VALUE)
                if cluster.members[full].returncode is not None:
                    break
        wait_for(lambda: cluster.members[full].returncode, END_S, "the full member still runs")
        assert cluster.members[full].returncode != 0
        assert "make room or repair the disk" in cluster.members[full].log_text()
        put_quickly(cluster.targets[others[1]], b"after", 50)
        cluster.wait_equal_hashes(others)
        cluster.restart(full)  # without the limit: there is room again
        cluster.wait_equal_hashes()
