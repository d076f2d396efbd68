"""Row M4 of the mission: who leads, under load, starved, and cut off."""

from __future__ import annotations

from pathlib import Path

from tests.cluster import Cluster, start_cluster, wait_for
from tests.runbook.commands import etcdctl, output_of, wait_until
from tests.runbook.writer import Writer

NO_LEADER_S_MAX = 20.0
VALUE_BYTES = 500_000
ROUNDS = 3


def terms_of(cluster: Cluster) -> set[int]:
    return {cluster.status(index).raftTerm for index in range(len(cluster.members))}


def leader_by(cluster: Cluster, index: int) -> int:
    """Id of the leader that a member knows; 0: none."""
    return int(cluster.status(index).leader)


def id_of(cluster: Cluster, index: int) -> int:
    return int(cluster.status(index).header.member_id)


def test_M4_heartbeats_are_kept_under_load(tmp_path: Path) -> None:
    """Large writes, a backup, a compaction and a defragmentation of the leader, and no election.

    The election timeout is twice the default, as other tests run on this machine.
    """
    flags = ["--heartbeat-interval=100", "--election-timeout=2000"]
    with start_cluster(flags=flags) as cluster, Writer(cluster.targets) as writer:
        at = f"--endpoints={cluster.targets[cluster.wait_leader()]}"
        before = terms_of(cluster)
        for number in range(ROUNDS):
            put = output_of(at, "put", f"big/{number}", stdin=b"x" * VALUE_BYTES)
            assert put == "OK\n"
            output_of(at, "snapshot", "save", str(tmp_path / f"{number}.db"))
            revision = str(cluster.status(0).header.revision)
            output_of(at, "compaction", revision, "--physical")
            output_of(at, "defrag", "--command-timeout=20s")
        assert terms_of(cluster) == before
        assert len(before) == 1
        assert len(writer.acknowledged) > ROUNDS
        assert writer.failures == []


def test_M4_a_starved_leader_is_followed_by_another_and_steps_down() -> None:
    """SIGSTOP: it gets no processor time, while its connections stay."""
    with start_cluster() as cluster:
        starved = cluster.wait_leader()
        old_id = id_of(cluster, starved)
        cluster.pause(starved)
        follower = cluster.wait_leader(other_than=starved)
        at = f"--endpoints={cluster.targets[follower]}"
        assert output_of(at, "put", "k", "of the new leader") == "OK\n"
        cluster.resume(starved)
        wait_until(
            lambda: leader_by(cluster, starved) not in {0, old_id}, "it knows that it leads no more"
        )
        own = f"--endpoints={cluster.targets[starved]}"
        assert output_of(own, "get", "k") == "k\nof the new leader\n"
        cluster.wait_equal_hashes()


def test_M4_a_leader_that_is_cut_off_steps_down_and_takes_no_change() -> None:
    with start_cluster(proxied=True) as cluster:
        alone = cluster.wait_leader()
        others = [index for index in range(3) if index != alone]
        own = f"--endpoints={cluster.targets[alone]}"
        assert output_of(own, "put", "k", "before") == "OK\n"
        assert cluster.proxy is not None
        cluster.proxy.cut([alone], others)
        wait_for(
            lambda: True if leader_by(cluster, alone) == 0 else None,
            NO_LEADER_S_MAX,
            "the leader does not step down",
        )
        # Nobody leads this member: changes and reads that must be new are refused, old reads not.
        refused = etcdctl(own, "put", "k", "never")
        assert refused.returncode == 1
        assert "context deadline exceeded" in refused.stderr or "etcdserver: " in refused.stderr
        assert etcdctl(own, "get", "k", "--command-timeout=1s").returncode == 1
        assert output_of(own, "get", "k", "--consistency=s") == "k\nbefore\n"
        # The others have a majority, and go on.
        cluster.wait_leader(other_than=alone)
        assert output_of(f"--endpoints={cluster.targets[others[0]]}", "put", "k", "after") == "OK\n"
        cluster.proxy.heal()
        cluster.wait_equal_hashes()
        assert output_of(own, "get", "k") == "k\nafter\n"


def test_M4_without_a_majority_no_change_is_accepted() -> None:
    with start_cluster() as cluster:
        for target in cluster.targets:
            assert output_of(f"--endpoints={target}", "put", "k", "v") == "OK\n"
        for lost in (1, 2):
            cluster.kill(lost)
        wait_for(
            lambda: True if leader_by(cluster, 0) == 0 else None,
            NO_LEADER_S_MAX,
            "the last member goes on knowing a leader",
        )
        left = f"--endpoints={cluster.targets[0]}"
        before = cluster.status(0).header.revision
        for words in (("put", "k", "never"), ("del", "k"), ("lease", "grant", "60")):
            assert etcdctl(left, *words, "--command-timeout=1s").returncode == 1
        assert cluster.status(0).header.revision == before
        cluster.start(1, 2)
        cluster.wait_healthy()
        cluster.wait_equal_hashes()
