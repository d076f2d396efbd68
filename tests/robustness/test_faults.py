"""Clusters under faults of processes and of the network: linearizable, and watches complete.

Every round has its own keys, a crowd of clients, one fault or two, and a check of everything that
the clients and the watches were told. KVORUM_FAULT_MINUTES asks for rounds for so long, of faults
by chance, over clusters of several kinds; by default there is a round for each of a few faults.
KVORUM_FAULT_SEED repeats a choice (not the timing).
"""

from __future__ import annotations

import os
import random
import time
from contextlib import ExitStack

import pytest

from tests.cluster import Cluster, is_kvorum, start_cluster, wait_for
from tests.interop.clients import Watching, put_for_sure
from tests.robustness.calls import Calls
from tests.robustness.crowd import Crowd
from tests.robustness.faults import (
    NETWORK_FAULTS,
    PROCESS_FAULTS,
    Fault,
    deafen_one,
    isolate_leader,
    kill_all,
    kill_leader,
    mute_leader,
    pause_leader,
    reset,
    ring,
)
from tests.robustness.linearizability.history import Operation, settle
from tests.robustness.linearizability.revisions import problem_by_revisions
from tests.robustness.linearizability.wgl import problem_by_values

MINUTES = float(os.environ.get("KVORUM_FAULT_MINUTES", "0"))
SEED = int(os.environ.get("KVORUM_FAULT_SEED", "0")) or random.SystemRandom().randrange(10**6)
ANSWERS_MIN = 50
"""Before the fault and after it: the crowd is at work."""
ANSWERS_S = 60.0
SNAPSHOT_FLAGS = ("--snapshot-count=300",)
CATCH_UP_FLAGS = ("--experimental-snapshot-catchup-entries=50",)

KVORUM = ("kvorum", "kvorum", "kvorum")
MIXED = ("kvorum3.5", "stock3.5", "kvorum3.5")
KINDS = [KVORUM, KVORUM, MIXED, ("stock3.5", "kvorum3.5", "stock3.5"), ("kvorum",) * 5]


def flags_of(_: int, kind: str) -> list[str]:
    # Stock 3.5.1 has no flag for what is kept of the log.
    return [*SNAPSHOT_FLAGS, *(CATCH_UP_FLAGS if kind.startswith("kvorum") else ())]


def run_round(cluster: Cluster, number: int, faults: list[Fault], rng: random.Random) -> int:
    """One round. Returns how many operations were answered."""
    prefix = b"round%05d" % number
    with ExitStack() as stack:
        watches = [
            stack.enter_context(Watching(target, prefix + b"/")) for target in cluster.targets
        ]
        with Crowd(cluster.targets, prefix, seed=rng.randrange(10**6)) as crowd:
            wait_answers(crowd, ANSWERS_MIN)
            for fault in faults:
                fault(cluster, rng)
            cluster.wait_healthy()
            wait_answers(crowd, crowd.answered() + ANSWERS_MIN)
        history = crowd.history()
        check_history(history)
        with Calls(cluster.targets[0]) as calls:
            last = put_for_sure(calls, prefix + b"/last", b"end of the round")
        for watch in watches:
            watch.wait_revision(last)
        check_watches(cluster.kinds, watches, history)
    cluster.wait_equal_hashes()
    return sum(op.answered for op in history)


def wait_answers(crowd: Crowd, count: int) -> None:
    wait_for(
        lambda: True if crowd.answered() >= count else None,
        ANSWERS_S,
        "the clients get hardly any answers",
    )


def check_history(history: list[Operation]) -> None:
    settled = settle(history)
    problem = problem_by_revisions(settled)
    assert problem is None, problem
    problem = problem_by_values(settled)
    assert problem is None, problem


def check_watches(kinds: list[str], watches: list[Watching], history: list[Operation]) -> None:
    """All saw the same, in order, once, and everything that was acknowledged.

    Stock of these versions tells its watchers everything once more after it was sent a snapshot.
    """
    for kind, watch in zip(kinds, watches, strict=True):
        if is_kvorum(kind):
            assert not watch.problems, f"{kind}: {watch.problems[0]}"
            assert len(set(watch.seen)) == len(watch.seen), f"{kind}: an event came twice"
    for watch in watches[1:]:
        first = watches[0].seen
        assert sorted(set(watch.seen)) == sorted(set(first)), "two members tell different events"
    seen = {(revision, key, value) for revision, _, key, value in watches[0].seen}
    for op in history:
        if op.answered and op.wrote:
            assert (op.revision, op.key, op.value) in seen, f"no event of {op}"


def run_rounds(kinds: tuple[str, ...], plan: list[list[Fault]], rng: random.Random) -> None:
    with start_cluster(kinds, flags_of=flags_of, proxied=True) as cluster:
        answered = 0
        for number, faults in enumerate(plan):
            names = "+".join(fault.__name__ for fault in faults)
            begun_s = time.monotonic()
            try:
                count = run_round(cluster, number, faults, rng)
            except BaseException:
                print(f"seed {SEED}, round {number} ({names}) of {'+'.join(kinds)} failed")
                for member in cluster.members:
                    print(f"--- {member.name}\n{member.log_text()[-6000:]}")
                raise
            answered += count
            took_s = time.monotonic() - begun_s
            print(f"{'+'.join(kinds)} {number} {names}: {count} answers, {took_s:.1f} s")
        assert answered > 0


@pytest.mark.slow
def test_clusters_stay_linearizable_under_faults() -> None:
    rng = random.Random(SEED)
    if MINUTES:
        run_for_long(rng)
    else:
        few: list[list[Fault]] = [
            [kill_leader],
            [pause_leader],
            [isolate_leader],
            [reset, kill_all],
        ]
        run_rounds(KVORUM, few, rng)
        run_rounds(MIXED, [[kill_leader], [mute_leader], [ring], [deafen_one]], rng)


def run_for_long(rng: random.Random) -> None:
    give_up_s = time.monotonic() + 60 * MINUTES
    print(f"seed {SEED}")
    while time.monotonic() < give_up_s:
        kinds = rng.choice(KINDS)
        plan = [
            rng.choices([*PROCESS_FAULTS, *NETWORK_FAULTS], k=rng.choice([1, 1, 2, 3]))
            for _ in range(6)
        ]
        run_rounds(kinds, plan, rng)
