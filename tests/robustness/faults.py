"""What can happen to a cluster: each fault begins, lasts for a while, and is made good."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from tests.cluster import Cluster

Fault = Callable[[Cluster, random.Random], None]

LASTS_S = (0.5, 4.0)


def last(rng: random.Random) -> None:
    """The time that the fault is there: that is its nature, not a wait for something."""
    time.sleep(rng.uniform(*LASTS_S))


def any_member(cluster: Cluster, rng: random.Random) -> int:
    return rng.randrange(len(cluster.members))


def kill_one(cluster: Cluster, rng: random.Random) -> None:
    index = any_member(cluster, rng)
    cluster.kill(index)
    last(rng)
    cluster.restart(index, wait=False)


def kill_leader(cluster: Cluster, rng: random.Random) -> None:
    index = cluster.wait_leader()
    cluster.kill(index)
    last(rng)
    cluster.restart(index, wait=False)


def stop_leader(cluster: Cluster, rng: random.Random) -> None:
    index = cluster.wait_leader()
    cluster.stop(index)
    last(rng)
    cluster.restart(index, wait=False)


def kill_all(cluster: Cluster, rng: random.Random) -> None:
    for index in range(len(cluster.members)):
        cluster.kill(index)
    cluster.start()


def pause_leader(cluster: Cluster, rng: random.Random) -> None:
    index = cluster.wait_leader()
    cluster.pause(index)
    last(rng)
    cluster.resume(index)


def pause_one(cluster: Cluster, rng: random.Random) -> None:
    index = any_member(cluster, rng)
    cluster.pause(index)
    last(rng)
    cluster.resume(index)


def isolate_leader(cluster: Cluster, rng: random.Random) -> None:
    index = cluster.wait_leader()
    _isolate(cluster, index, rng, both_ways=True)


def isolate_one(cluster: Cluster, rng: random.Random) -> None:
    _isolate(cluster, any_member(cluster, rng), rng, both_ways=True)


def mute_leader(cluster: Cluster, rng: random.Random) -> None:
    """It hears the others, and is not heard."""
    _isolate(cluster, cluster.wait_leader(), rng, both_ways=False)


def deafen_one(cluster: Cluster, rng: random.Random) -> None:
    """It is heard, and hears nobody."""
    assert cluster.proxy is not None
    index = any_member(cluster, rng)
    others = [other for other in range(len(cluster.members)) if other != index]
    cluster.proxy.cut(others, [index], both_ways=False)
    last(rng)
    cluster.proxy.heal()


def ring(cluster: Cluster, rng: random.Random) -> None:
    """The leader and one follower do not reach each other; both reach the rest."""
    assert cluster.proxy is not None
    leader = cluster.wait_leader()
    other = rng.choice([at for at in range(len(cluster.members)) if at != leader])
    cluster.proxy.cut([leader], [other])
    last(rng)
    cluster.proxy.heal()


def _isolate(cluster: Cluster, index: int, rng: random.Random, *, both_ways: bool) -> None:
    assert cluster.proxy is not None
    others = [other for other in range(len(cluster.members)) if other != index]
    cluster.proxy.cut([index], others, both_ways=both_ways)
    last(rng)
    cluster.proxy.heal()


def delay(cluster: Cluster, rng: random.Random) -> None:
    """200 ms, more or less: connections overtake each other."""
    assert cluster.proxy is not None
    for link in cluster.proxy.all_links():
        link.delay_s = (0.15, 0.25)
    last(rng)
    cluster.proxy.heal()


def delay_leader(cluster: Cluster, rng: random.Random) -> None:
    assert cluster.proxy is not None
    index = cluster.wait_leader()
    for other in range(len(cluster.members)):
        if other != index:
            cluster.proxy.link(index, other).delay_s = (0.0, 0.6)
    last(rng)
    cluster.proxy.heal()


def reset(cluster: Cluster, rng: random.Random) -> None:
    """One piece of ten breaks its connection."""
    assert cluster.proxy is not None
    for link in cluster.proxy.all_links():
        link.reset_chance = 0.1
    last(rng)
    cluster.proxy.heal()


PROCESS_FAULTS: list[Fault] = [
    kill_one,
    kill_leader,
    stop_leader,
    kill_all,
    pause_leader,
    pause_one,
]
NETWORK_FAULTS: list[Fault] = [
    isolate_leader,
    isolate_one,
    mute_leader,
    deafen_one,
    ring,
    delay,
    delay_leader,
    reset,
]
