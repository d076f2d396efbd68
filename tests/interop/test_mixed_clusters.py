"""Kvorum and stock members in one cluster, in every arrangement.

Each is led by each kind of member in turn; there is every kind of write, on every member; watches
run on every member all along; each member is stopped and started again. In the end all have the
same hash, and all watches have told the same.
"""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.cluster import Cluster, is_kvorum, start_cluster
from tests.interop.clients import Watching, put_for_sure, use_every_kind_of_write
from tests.robustness.calls import Calls

WRITES = 40

ARRANGEMENTS = [
    ("kvorum3.5", "stock3.5", "stock3.5"),
    ("kvorum3.5", "kvorum3.5", "stock3.5"),
    ("kvorum3.4", "stock3.4", "stock3.4"),
    ("kvorum3.4", "kvorum3.4", "stock3.4"),
    ("kvorum3.5", "stock3.4", "stock3.5"),
    ("kvorum", "stock3.5", "kvorum3.5"),
    ("kvorum", "kvorum", "stock3.6"),
    ("kvorum", "stock3.6", "stock3.6"),
]


def first_of_each_kind(cluster: Cluster) -> list[int]:
    kinds = list(map(is_kvorum, cluster.kinds))
    return [kinds.index(wanted) for wanted in (False, True)]


@pytest.mark.slow
@pytest.mark.parametrize("kinds", ARRANGEMENTS, ids="+".join)
def test_a_mixed_cluster_stays_equal(kinds: tuple[str, ...]) -> None:
    with start_cluster(kinds) as cluster, ExitStack() as stack:
        watches = [stack.enter_context(Watching(target)) for target in cluster.targets]
        for leader in first_of_each_kind(cluster):
            cluster.move_leader(leader)
            write_on_every_member(cluster, b"led%d" % leader)
            cluster.wait_equal_hashes()
        for index in range(len(kinds)):
            cluster.stop(index)
            others = [at for at in range(len(kinds)) if at != index]
            with Calls(cluster.targets[others[0]]) as calls:
                revision = put_for_sure(calls, b"while-%d-is-away" % index, b"v")
            cluster.restart(index)
            watches[index].wait_revision(revision)
        with Calls(cluster.targets[0]) as calls:
            revision = put_for_sure(calls, b"last", b"v")
        for watch in watches:
            watch.wait_revision(revision)
            assert not watch.problems
        told = [watch.seen for watch in watches]
        assert told[0] == told[1] == told[2]
        compact_on_every_member(cluster)
        cluster.wait_equal_hashes()


def write_on_every_member(cluster: Cluster, prefix: bytes) -> None:
    for index, target in enumerate(cluster.targets):
        with Calls(target) as calls:
            use_every_kind_of_write(calls, b"%b/m%d" % (prefix, index), WRITES)


def compact_on_every_member(cluster: Cluster) -> None:
    for target in cluster.targets:
        with Calls(target) as calls:
            calls.compact(calls.revision() - 5)
            put_for_sure(calls, b"after", target.encode())
