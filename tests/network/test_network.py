"""The network of the tests itself, with real packets between real namespaces."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from tests.network.namespace import Namespace, why_not
from tests.network.network import Network, start_network

COUNT = 1000
BURST = 50
"""Sent before what they are is received: the sockets hold that many."""
WAIT_S = 10.0
ON_A_BUSY_MACHINE_S = 4.0
LONGER_THAN_SENDING_S = 1.5


@pytest.fixture(scope="module")
def made() -> Iterator[Network]:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with start_network(2, seed=1) as network:
        yield network


@pytest.fixture
def network(made: Network) -> Iterator[Network]:
    yield made
    made.heal()


class Ends:
    """A UDP socket on each node and on the host."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.sockets = [network.socket(node, socket.SOCK_DGRAM) for node in range(3)]
        for node, one in enumerate(self.sockets):
            one.bind((network.address(node), 0))
            one.settimeout(WAIT_S)

    def __enter__(self) -> Ends:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.sockets:
            one.close()

    def send(self, source: int, target: int, payload: bytes = b"x") -> None:
        self.sockets[source].sendto(payload, self.sockets[target].getsockname())

    def receive(self, target: int) -> bytes:
        return self.sockets[target].recv(2000)

    def wait_counted(self, source: int, target: int, count: int) -> None:
        """Return once so many packets of the link were delivered or not."""
        give_up = time.monotonic() + WAIT_S
        while True:
            counts = self.network.counts()[source, target]
            if counts.delivered + counts.lost + counts.blocked + counts.overflowed >= count:
                return
            assert time.monotonic() < give_up, counts
            time.sleep(0.01)


@pytest.mark.parametrize(("source", "target"), [(0, 1), (1, 0), (2, 0), (1, 2)])
def test_a_packet_arrives(network: Network, source: int, target: int) -> None:
    with Ends(network) as ends:
        ends.send(source, target, b"hello")
        assert ends.receive(target) == b"hello"
        assert ends.sockets[source].getsockname()[0] == network.address(source)


def test_a_connection_moves_megabytes_unharmed(network: Network) -> None:
    data = os.urandom(2 << 20)
    network.change(network.pairs(), loss=0.01, jitter_s=0.002)
    with network.socket(0) as listener, network.socket(1) as client:
        listener.settimeout(WAIT_S)
        client.settimeout(WAIT_S)
        listener.bind((network.address(0), 0))
        listener.listen()
        client.connect(listener.getsockname())
        with listener.accept()[0] as server:
            server.settimeout(WAIT_S)
            sender = threading.Thread(target=client.sendall, args=(data,))
            sender.start()
            received = bytearray()
            while len(received) < len(data):
                received += server.recv(1 << 16)
            sender.join()
    assert received == data
    assert network.counts()[1, 0].lost > 0


def test_a_tenth_of_the_packets_is_lost_on_the_way_that_was_chosen(network: Network) -> None:
    network.lose([(0, 1)], 0.1)
    before = network.counts()
    with Ends(network) as ends:
        for sent in range(BURST, COUNT + 1, BURST):
            for _ in range(BURST):
                ends.send(0, 1)
                ends.send(1, 0)
            for link in ((0, 1), (1, 0)):
                ends.wait_counted(*link, before[link].delivered + before[link].lost + sent)
    after = network.counts()
    lost = after[0, 1].lost - before[0, 1].lost
    assert abs(lost - COUNT / 10) < 4 * math.sqrt(COUNT * 0.1 * 0.9)
    assert after[1, 0].lost == before[1, 0].lost


def test_200_ms_are_200_ms_and_keep_the_order(network: Network) -> None:
    network.delay([(0, 1)], 0.2, 0.2)
    with Ends(network) as ends:
        began = time.monotonic()
        for number in range(BURST):
            ends.send(0, 1, b"%d" % number)
        received = [ends.receive(1) for _ in range(BURST)]
        assert 0.2 <= time.monotonic() - began < 0.2 + ON_A_BUSY_MACHINE_S
        assert received == [b"%d" % number for number in range(BURST)]


def test_what_is_sent_the_other_way_is_not_delayed(network: Network) -> None:
    network.delay([(0, 1)], LONGER_THAN_SENDING_S, LONGER_THAN_SENDING_S)
    delivered = network.counts()[0, 1].delivered
    with Ends(network) as ends:
        ends.send(0, 1)
        ends.send(1, 0, b"not delayed")
        assert ends.receive(0) == b"not delayed"
        assert network.counts()[0, 1].delivered == delivered
        ends.receive(1)  # nothing is under way when the next test begins


def test_jitter_changes_the_order_and_loses_nothing(network: Network) -> None:
    network.delay([(0, 1)], 0.0, 0.1)
    with Ends(network) as ends:
        sent = [b"%d" % number for number in range(BURST)]
        for payload in sent:
            ends.send(0, 1, payload)
        received = [ends.receive(1) for _ in sent]
    assert received != sent
    assert {*received} == {*sent}


def test_one_way_can_be_blocked_alone_and_opened_again(network: Network) -> None:
    with Ends(network) as ends:
        network.cut([0], [1], both_ways=False)
        before = network.counts()[0, 1].blocked
        ends.send(0, 1, b"not heard")
        ends.send(1, 0, b"heard")
        assert ends.receive(0) == b"heard"
        ends.wait_counted(0, 1, before + 1)
        network.heal()
        ends.send(0, 1, b"heard again")
        assert ends.receive(1) == b"heard again"


def test_a_cut_between_members_leaves_clients_alone(network: Network) -> None:
    with Ends(network) as ends:
        network.cut([0], [1])
        ends.send(0, 1)
        ends.send(1, 0)
        for node in (0, 1):
            ends.send(network.host, node, b"request")
            assert ends.receive(node) == b"request"
            ends.send(node, network.host, b"answer")
            assert ends.receive(network.host) == b"answer"


def test_a_queue_that_is_full_loses_packets(network: Network) -> None:
    network.change([(0, 1)], delay_s=LONGER_THAN_SENDING_S, queue_packets_max=5)
    before = network.counts()[0, 1]
    with Ends(network) as ends:
        for number in range(8):
            ends.send(0, 1, b"%d" % number)
        received = [ends.receive(1) for _ in range(5)]
    after = network.counts()[0, 1]
    assert received == [b"0", b"1", b"2", b"3", b"4"]
    assert after.overflowed == before.overflowed + 3


def test_a_process_on_a_node_sees_the_node_s_addresses_and_no_others(network: Network) -> None:
    done = subprocess.run(
        [*network.command(0), "cat", "/proc/net/fib_trie"], capture_output=True, check=True
    )
    told = done.stdout.decode()
    assert network.address(0) in told
    assert network.address(network.host) not in told


def test_nothing_is_left_when_the_network_is_closed() -> None:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with start_network(1) as network:
        address = network.address(network.host)
        assert address in addresses()
    assert address not in addresses()


def addresses() -> str:
    with open("/proc/net/fib_trie") as table:
        return table.read()


def test_what_a_namespace_runs_does_not_change_where_we_are() -> None:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    here = os.stat("/proc/self/ns/net").st_ino
    namespace = Namespace()
    try:
        there = namespace.run(lambda: os.stat("/proc/thread-self/ns/net").st_ino)
    finally:
        namespace.close()
    assert there != here
    assert os.stat("/proc/self/ns/net").st_ino == os.stat("/proc/thread-self/ns/net").st_ino == here
