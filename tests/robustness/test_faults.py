"""Clusters under faults of processes and of the network: linearizable, and watches complete.

A round has one fault or two. KVORUM_FAULT_MINUTES asks for rounds for so long, of faults by chance,
over clusters of several kinds; by default there is a round for each of a few faults.
KVORUM_FAULT_SEED repeats a choice (not the timing). KVORUM_FAULT_NETWORK=packets makes the network
faults with packets (`tests.network`) instead of with a proxy of connections.
"""

from __future__ import annotations

import os
import random
import time
from functools import partial

import pytest

from tests.cluster import Cluster, start_cluster
from tests.robustness.crowd import Crowd
from tests.robustness.faults import (
    NETWORK_FAULTS,
    PACKET_FAULTS,
    PROCESS_FAULTS,
    Fault,
    deafen_one,
    isolate_leader,
    kill_all,
    kill_leader,
    lose,
    mute_leader,
    pause_leader,
    ring,
)
from tests.robustness.rounds import run_round

MINUTES = float(os.environ.get("KVORUM_FAULT_MINUTES", "0"))
SEED = int(os.environ.get("KVORUM_FAULT_SEED", "0")) or random.SystemRandom().randrange(10**6)
NETWORK = os.environ.get("KVORUM_FAULT_NETWORK", "proxy")
SNAPSHOT_FLAGS = ("--snapshot-count=300",)
CATCH_UP_FLAGS = ("--experimental-snapshot-catchup-entries=50",)

KVORUM = ("kvorum", "kvorum", "kvorum")
MIXED = ("kvorum3.5", "stock3.5", "kvorum3.5")
KINDS = [KVORUM, KVORUM, MIXED, ("stock3.5", "kvorum3.5", "stock3.5"), ("kvorum",) * 5]


def flags_of(_: int, kind: str) -> list[str]:
    # Stock 3.5.1 has no flag for what is kept of the log.
    return [*SNAPSHOT_FLAGS, *(CATCH_UP_FLAGS if kind.startswith("kvorum") else ())]


def disturb(cluster: Cluster, faults: list[Fault], rng: random.Random, _: Crowd) -> None:
    for fault in faults:
        fault(cluster, rng)


def run_rounds(kinds: tuple[str, ...], plan: list[list[Fault]], rng: random.Random) -> None:
    assert NETWORK in {"proxy", "packets"}, NETWORK
    packets = NETWORK == "packets"
    with start_cluster(kinds, flags_of=flags_of, proxied=not packets, packets=packets) as cluster:
        answered = 0
        for number, faults in enumerate(plan):
            names = "+".join(fault.__name__ for fault in faults)
            begun_s = time.monotonic()
            try:
                count = run_round(cluster, number, partial(disturb, cluster, faults, rng), rng)
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
            [lose, kill_all],
        ]
        run_rounds(KVORUM, few, rng)
        run_rounds(MIXED, [[kill_leader], [mute_leader], [ring], [deafen_one]], rng)


def run_for_long(rng: random.Random) -> None:
    give_up_s = time.monotonic() + 60 * MINUTES
    print(f"seed {SEED}")
    network_faults = PACKET_FAULTS if NETWORK == "packets" else NETWORK_FAULTS
    while time.monotonic() < give_up_s:
        kinds = rng.choice(KINDS)
        plan = [
            rng.choices([*PROCESS_FAULTS, *network_faults], k=rng.choice([1, 1, 2, 3]))
            for _ in range(6)
        ]
        run_rounds(kinds, plan, rng)
