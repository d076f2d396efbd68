"""The router: a process that moves packets between TUN devices, as the rules of its links say.

    python -m tests.network.router CONTROL_FD SEED ADDRESS=TUN_FD …

All descriptors are inherited. On the control socket (SOCK_SEQPACKET, JSON) each request is answered
by the counts of all links, once its rules are in force:

    {"rules": [[from, to, {"loss": 0.1}], …]}    →    {"counts": [[from, to, {…}], …]}

Nodes are numbered in the order of the arguments. The end of the control socket ends the process, so
it never outlives the test. It is no thread of the test, whose computing would delay packets.
"""

from __future__ import annotations

import heapq
import json
import os
import select
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from random import Random

from tests.network.rules import Link, Rule

PACKET_BYTES_MAX = 65_535
HEADER_BYTES_MIN = 20
TURN_PACKETS_MAX = 64
"""Read from one device before the others get their turn."""
REQUEST_BYTES_MAX = 1 << 20

_Waiting = tuple[float, int, int, Link, bytes]
"""When it is due, a number that keeps equal ones in order, the target, the link, the packet."""


class Router:
    """Nodes by their TUN devices and IPv4 addresses, in the same order."""

    def __init__(self, tuns: Sequence[int], addresses: Sequence[str], seed: int) -> None:
        self._tuns = list(tuns)
        self._node_of = {socket.inet_aton(one): node for node, one in enumerate(addresses)}
        self._sequence = 0
        self._waiting: list[_Waiting] = []
        nodes = range(len(self._tuns))
        self._links = {
            (a, b): Link(Random(f"{seed}/{a}/{b}")) for a in nodes for b in nodes if a != b
        }

    def run(self, control: socket.socket) -> None:
        """Until the other side of `control` is closed."""
        poll = select.poll()
        node_of_fd = {fd: node for node, fd in enumerate(self._tuns)}
        for fd in (control.fileno(), *self._tuns):
            poll.register(fd, select.POLLIN)
        while True:
            for fd, _ in poll.poll(self._timeout_ms()):
                if fd != control.fileno():
                    self._read(node_of_fd[fd])
                elif not self._answer(control):
                    return
            self._deliver_due()

    def _timeout_ms(self) -> float | None:
        if not self._waiting:
            return None
        return max(0.0, (self._waiting[0][0] - time.monotonic()) * 1000)

    def _read(self, source: int) -> None:
        for _ in range(TURN_PACKETS_MAX):
            try:
                packet = os.read(self._tuns[source], PACKET_BYTES_MAX)
            except BlockingIOError:
                return
            self._forward(source, packet)

    def _forward(self, source: int, packet: bytes) -> None:
        """Anything but IPv4 between two nodes goes nowhere: kernels look for IPv6 neighbours."""
        if len(packet) < HEADER_BYTES_MIN or packet[0] >> 4 != 4:
            return
        target = self._node_of.get(packet[16:20])
        if target is None or target == source:
            return
        link = self._links[source, target]
        due_s = link.accept(len(packet), now_s := time.monotonic())
        if due_s is None:
            return
        if due_s <= now_s:
            self._deliver(target, link, packet)
            return
        self._sequence += 1
        heapq.heappush(self._waiting, (due_s, self._sequence, target, link, packet))

    def _deliver_due(self) -> None:
        now_s = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now_s:
            _, _, target, link, packet = heapq.heappop(self._waiting)
            self._deliver(target, link, packet)

    def _deliver(self, target: int, link: Link, packet: bytes) -> None:
        os.write(self._tuns[target], packet)
        link.arrived()

    def _answer(self, control: socket.socket) -> bool:
        """One request. False: there will be no more."""
        request = control.recv(REQUEST_BYTES_MAX)
        if not request:
            return False
        for source, target, rule in json.loads(request)["rules"]:
            self._links[source, target].rule = Rule(**rule)
        counts = [[a, b, asdict(link.counts)] for (a, b), link in self._links.items()]
        control.send(json.dumps({"counts": counts}).encode())
        return True


def main(arguments: Sequence[str]) -> None:
    control_fd, seed, *nodes = arguments
    addresses, fds = zip(*(node.split("=") for node in nodes), strict=True)
    with socket.socket(fileno=int(control_fd)) as control:
        Router([int(fd) for fd in fds], addresses, int(seed)).run(control)


if __name__ == "__main__":
    main(sys.argv[1:])
