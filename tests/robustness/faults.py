"""What can happen to a cluster: each fault begins, lasts for a while, and is made good."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from tests.cluster import Cluster
from tests.network.network import Network

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
    _deafen(cluster, any_member(cluster, rng), rng)


def deafen_leader(cluster: Cluster, rng: random.Random) -> None:
    _deafen(cluster, cluster.wait_leader(), rng)


def ring(cluster: Cluster, rng: random.Random) -> None:
    """The leader and one follower do not reach each other; both reach the rest."""
    leader = cluster.wait_leader()
    other = rng.choice([at for at in range(len(cluster.members)) if at != leader])
    cluster.network.cut([leader], [other])
    last(rng)
    cluster.network.heal()


def others_than(cluster: Cluster, index: int) -> list[int]:
    return [other for other in range(len(cluster.members)) if other != index]


def _isolate(cluster: Cluster, index: int, rng: random.Random, *, both_ways: bool) -> None:
    cluster.network.cut([index], others_than(cluster, index), both_ways=both_ways)
    last(rng)
    cluster.network.heal()


def _deafen(cluster: Cluster, index: int, rng: random.Random) -> None:
    cluster.network.cut(others_than(cluster, index), [index], both_ways=False)
    last(rng)
    cluster.network.heal()


def delay(cluster: Cluster, rng: random.Random) -> None:
    """200 ms, more or less: connections, or packets, overtake each other."""
    cluster.network.delay(cluster.network.pairs(), 0.15, 0.25)
    last(rng)
    cluster.network.heal()


def delay_leader(cluster: Cluster, rng: random.Random) -> None:
    index = cluster.wait_leader()
    links = [(index, other) for other in others_than(cluster, index)]
    cluster.network.delay(links, 0.0, 0.6)
    last(rng)
    cluster.network.heal()


def lose(cluster: Cluster, rng: random.Random) -> None:
    """One packet of ten is lost, or, with a proxy, one piece of ten breaks its connection."""
    cluster.network.lose(cluster.network.pairs(), 0.1)
    last(rng)
    cluster.network.heal()


def lose_of_clients(cluster: Cluster, rng: random.Random) -> None:
    """One packet of ten, and what is left comes late: between clients and members alone."""
    network = _packets(cluster)
    network.lose(network.client_pairs(), 0.1)
    network.delay(network.client_pairs(), 0.0, 0.1)
    last(rng)
    network.heal()


def shuffle(cluster: Cluster, rng: random.Random) -> None:
    """Packets overtake each other, and some are lost on the way."""
    network = _packets(cluster)
    network.delay(network.pairs(), 0.0, 0.05)
    network.lose(network.pairs(), 0.02)
    last(rng)
    network.heal()


def overflow(cluster: Cluster, rng: random.Random) -> None:
    """A narrow line with short queues: the more is sent, the more is lost."""
    network = _packets(cluster)
    network.change(network.pairs(), bytes_per_s=100_000, delay_s=0.02, queue_packets_max=20)
    last(rng)
    network.heal()


def kill_leader_in_a_bad_network(cluster: Cluster, rng: random.Random) -> None:
    """The election, too, has to get along with lost packets and late ones."""
    network = _packets(cluster)
    network.change(network.pairs(), loss=0.1, jitter_s=0.05)
    kill_leader(cluster, rng)
    last(rng)
    network.heal()


def _packets(cluster: Cluster) -> Network:
    assert cluster.packets is not None
    return cluster.packets


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
    lose,
]
PACKET_FAULTS: list[Fault] = [
    *NETWORK_FAULTS,
    deafen_leader,
    lose_of_clients,
    shuffle,
    overflow,
    kill_leader_in_a_bad_network,
]
"""These need a cluster in a network of packets."""
