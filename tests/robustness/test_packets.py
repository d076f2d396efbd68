"""Clusters in a network of packets (`tests.network`) that cuts, loses, delays and shuffles them.

While the network is bad the clients must go on: cutting the leader off costs an election, what is
only slow or lossy costs time. Then it is healed, and everything that clients and watches were told
is checked, as in every round (`tests.robustness.rounds`).
"""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cluster import Cluster, is_kvorum, start_cluster, wait_for
from tests.network.network import Network
from tests.robustness.crowd import Crowd
from tests.robustness.faults import others_than
from tests.robustness.rounds import ANSWERS_MIN, run_round, wait_answers
from tests.servers import Server

SEED = int(os.environ.get("KVORUM_FAULT_SEED", "0")) or random.SystemRandom().randrange(10**6)
ROUNDS = int(os.environ.get("KVORUM_PACKET_ROUNDS", "4"))
"""Of each fault, in the long runs."""

KVORUM = ("kvorum", "kvorum", "kvorum")
MIXED = ("kvorum3.5", "stock3.5", "kvorum3.5")
MIXED_STOCK = ("stock3.5", "kvorum3.5", "stock3.5")

LASTS_S = 2.5
"""At least: more than two election timeouts as they come."""
LASTS_LONG_S = 8.0
"""More than the 5 s after which a member gives a silent stream up."""
GIVEN_UP_S = 20.0
FAR_APART_FLAGS = ("--heartbeat-interval=400", "--election-timeout=4000")
"""What etcd's tuning guide asks for where a round trip takes 400 ms."""
TIGHT_FLAGS = ("--heartbeat-interval=200", "--election-timeout=2000")

Begin = Callable[[Cluster, Network], None]


def isolate_leader(cluster: Cluster, network: Network) -> None:
    leader = cluster.wait_leader()
    network.cut([leader], others_than(cluster, leader))


def mute_leader(cluster: Cluster, network: Network) -> None:
    """It hears and is not heard."""
    leader = cluster.wait_leader()
    network.cut([leader], others_than(cluster, leader), both_ways=False)


def deafen_leader(cluster: Cluster, network: Network) -> None:
    """It is heard, so nobody else stands for election, and hears nobody."""
    leader = cluster.wait_leader()
    network.cut(others_than(cluster, leader), [leader], both_ways=False)


def delay_200_ms(_: Cluster, network: Network) -> None:
    network.delay(network.pairs(), 0.2, 0.2)


def lose_a_tenth(_: Cluster, network: Network) -> None:
    network.lose(network.pairs(), 0.1)


def shuffle(_: Cluster, network: Network) -> None:
    network.delay(network.pairs(), 0.0, 0.06)


def all_at_once(_: Cluster, network: Network) -> None:
    """Between members late, lost and out of order; to and from clients lossy too."""
    network.change(network.pairs(), delay_s=0.05, jitter_s=0.05, loss=0.05)
    network.change(network.client_pairs(), jitter_s=0.02, loss=0.02)


CUTS: list[Begin] = [isolate_leader, mute_leader, deafen_leader]
SLOW: list[Begin] = [delay_200_ms, lose_a_tenth, shuffle, all_at_once]


@dataclass(slots=True)
class Disturbance:
    """One fault of a round: begins, lasts, lets the clients go on, and is healed."""

    cluster: Cluster
    begin: Begin
    lasts_s: float
    took_s: dict[str, float] = field(default_factory=dict)

    def __call__(self, crowd: Crowd) -> None:
        network = self.cluster.packets
        assert network is not None
        before = harmed(network)
        began_s = time.monotonic()
        self.begin(self.cluster, network)
        wait_answers(crowd, crowd.answered() + ANSWERS_MIN)
        self.took_s["progress"] = time.monotonic() - began_s
        time.sleep(max(0.0, began_s + self.lasts_s - time.monotonic()))
        if self.begin not in {delay_200_ms, shuffle}:
            assert harmed(network) > before, "the fault has met no packet"
        network.heal()
        healed_s = time.monotonic()
        self.cluster.wait_healthy()
        wait_answers(crowd, crowd.answered() + ANSWERS_MIN)
        self.took_s["healthy again"] = time.monotonic() - healed_s


def harmed(network: Network) -> int:
    """Packets that did not arrive so far."""
    return sum(one.lost + one.blocked for one in network.counts().values())


def run_rounds(
    kinds: Sequence[str], faults: Sequence[Begin], flags: Sequence[str], lasts_s: float = LASTS_S
) -> None:
    rng = random.Random(SEED)
    with start_cluster(kinds, flags=flags, packets=True) as cluster:
        for number, begin in enumerate(faults):
            name = f"{'+'.join(kinds)} {number} {getattr(begin, '__name__', begin)}"
            disturbance = Disturbance(cluster, begin, lasts_s)
            try:
                answers = run_round(cluster, number, disturbance, rng)
            except BaseException:
                print(f"seed {SEED}: {name} failed after {disturbance.took_s}")
                for member in cluster.members:
                    print(f"--- {member.name}\n{member.log_text()[-6000:]}")
                raise
            times = ", ".join(f"{what} {took:.1f} s" for what, took in disturbance.took_s.items())
            print(f"{name}: {answers} answers, {times}")
        check_logs(cluster)


def check_logs(cluster: Cluster) -> None:
    """No task of a Kvorum member has ended by an error that nobody expected."""
    for kind, member in zip(cluster.kinds, cluster.members, strict=True):
        text = member.log_text() if is_kvorum(kind) else ""
        for sign in ("Traceback", "broke down", '"level":"error"', '"level":"panic"'):
            where = text.find(sign)
            assert where < 0, f"{member.name}: {text[max(0, where - 300) : where + 1000]}"


@pytest.mark.slow
def test_a_cluster_goes_on_while_its_leader_is_cut_off_one_way_or_both() -> None:
    run_rounds(KVORUM, CUTS, ())


@pytest.mark.slow
def test_a_cluster_goes_on_while_packets_are_late_lost_and_out_of_order() -> None:
    run_rounds(KVORUM, SLOW, FAR_APART_FLAGS)


@pytest.mark.slow
def test_a_cluster_with_a_stock_member_goes_on_in_a_bad_network() -> None:
    run_rounds(MIXED, [deafen_leader, lose_a_tenth], TIGHT_FLAGS)


@pytest.mark.slow
def test_a_connection_of_a_peer_that_acknowledges_nothing_is_given_up() -> None:
    """As soon as the peer gives it up: what is to be sent then takes a new one at once."""
    with start_cluster(["kvorum"], packets=True) as cluster:
        member, network = cluster.members[0], cluster.packets
        assert network is not None
        with socket.create_connection((member.host, member.peer_port), GIVEN_UP_S) as peer:
            network.cut([0], [network.host], both_ways=False)
            peer.sendall(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n")
            # Its answer does not get here. The connection exists until then.
            assert from_port(member, peer) == 1
            wait_for(
                lambda: True if from_port(member, peer) == 0 else None,
                GIVEN_UP_S,
                "the member waits for an acknowledgement still",
            )
            network.heal()


def from_port(member: Server, peer: socket.socket) -> int:
    """How many connections the member has from the port of `peer`."""
    port = f":{peer.getsockname()[1]:04X}"
    table = Path(f"/proc/{member.pid}/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[2].endswith(port) for line in table)


@pytest.mark.soak
@pytest.mark.parametrize("kinds", [KVORUM, MIXED, MIXED_STOCK], ids="+".join)
def test_clusters_stand_each_fault_again_and_again_and_for_longer(kinds: tuple[str, ...]) -> None:
    run_rounds(kinds, CUTS * ROUNDS, (), LASTS_LONG_S)
    run_rounds(kinds, SLOW * ROUNDS, FAR_APART_FLAGS, LASTS_LONG_S)
