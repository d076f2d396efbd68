"""The safety of the core on random schedules, and that it comes back to work after them.

`KVORUM_SIMULATION_RUNS` asks for more runs, with new seeds each time; the default is the same few
each time.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.simulation.raft_cluster import RaftCluster

_RUNS = int(os.environ.get("KVORUM_SIMULATION_RUNS", "0"))
_SEEDS = st.integers(0, 2**32)
_quick = settings(
    max_examples=_RUNS or 100,
    derandomize=not _RUNS,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@_quick
@given(seed=_SEEDS)
def test_a_cluster_under_faults_stays_safe_and_recovers(seed: int) -> None:
    """Checked all along: figure 3 of the Raft paper, and linearizable reads (`raft_checks`)."""
    cluster = RaftCluster(seed)
    cluster.live(steps=3_000)
    for _ in range(4):
        cluster.calm_down(ticks=25)
        cluster.retire()
    leader = cluster.leader()
    if leader is None:
        # A configuration counts from when it is applied. Who was removed or made a learner may hold
        # more of the log than the voters that are left, which still need its vote when they do not
        # know yet that its removal is committed. Or the second voter of two does not know yet that
        # it is one, and has a longer log than the first. etcd's core gets stuck there, too.
        assert cluster.may_stick, "no leader after a time without faults"
        return
    if leader.node.id in leader.node.raft.tracker.config.members:
        leader.node.propose(b"the last one")
        cluster.calm_down(ticks=5)
    assert leader.applied == leader.node.raft.log.last_index
    for id_ in leader.node.raft.tracker.config.members:
        assert cluster.members[id_].applied == leader.applied, id_
