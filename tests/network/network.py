"""The network as a test sees it: nodes by their number, rules by pairs of them."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any

from tests.network.namespace import Namespace, open_tun
from tests.network.rules import Counts, Rule

ROOT = Path(__file__).parents[2]
HOST_NUMBER = 254
ANSWER_S = 20.0
END_S = 10.0
ANSWER_BYTES_MAX = 1 << 20

Pair = tuple[int, int]
"""From, to."""


class Network:
    """Nodes 0 to `count` - 1 in namespaces of their own, and the host.

    Args:
        count: how many nodes.
        seed: of what is lost and of how long packets take.
    """

    def __init__(self, count: int, seed: int = 0) -> None:
        self.count = count
        self.host = count
        """Number of the host in pairs."""
        self._subnet = free_subnet()
        self._rules: dict[Pair, Rule] = {}
        self._opened = contextlib.ExitStack()
        try:
            self._start(seed)
        except BaseException:
            self._opened.close()
            raise

    def _start(self, seed: int) -> None:
        self._namespaces = [Namespace() for _ in range(self.count)]
        for namespace in self._namespaces:
            self._opened.callback(namespace.close)
        with contextlib.ExitStack() as lent:
            tuns = []
            for node, namespace in enumerate(self._namespaces):
                tuns.append(namespace.run(partial(open_tun, self.address(node))))
                lent.callback(os.close, tuns[-1])
            tuns.append(open_tun(self.address(self.host)))
            lent.callback(os.close, tuns[-1])
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            lent.enter_context(theirs)
            nodes = [f"{self.address(node)}={tun}" for node, tun in enumerate(tuns)]
            command = [sys.executable, "-m", "tests.network.router", str(theirs.fileno())]
            self._router = subprocess.Popen(
                [*command, str(seed), *nodes],
                cwd=ROOT,
                pass_fds=[theirs.fileno(), *tuns],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the test; the router ends with it
            )
        self._opened.callback(self._router.wait, END_S)
        self._opened.enter_context(self._control)  # closed first: that ends the router
        self._control.settimeout(ANSWER_S)
        self.counts()  # it runs

    # Who is there.

    def address(self, node: int) -> str:
        return f"{self._subnet}.{HOST_NUMBER if node == self.host else node + 1}"

    def command(self, node: int) -> list[str]:
        """Comes before the command of a process that is to run on the node."""
        return self._namespaces[node].command()

    def socket(self, node: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A socket of this process that is on the node."""

        def make() -> socket.socket:
            return socket.socket(socket.AF_INET, kind)

        return make() if node == self.host else self._namespaces[node].run(make)

    def pairs(self) -> list[Pair]:
        """Both directions between all nodes, without the host."""
        return [(a, b) for a in range(self.count) for b in range(self.count) if a != b]

    def client_pairs(self) -> list[Pair]:
        """Both directions between the host and each node."""
        return [
            pair for node in range(self.count) for pair in ((self.host, node), (node, self.host))
        ]

    # What is done to them. All of it is in force when the call returns.

    def change(self, pairs: Iterable[Pair], **changes: Any) -> None:
        """Change fields of the links' rules (`tests.network.rules.Rule`)."""
        changed = {pair: replace(self._rules.get(pair, Rule()), **changes) for pair in pairs}
        self._rules.update(changed)
        self._ask(changed)

    def cut(self, some: Iterable[int], others: Iterable[int], *, both_ways: bool = True) -> None:
        """Block what `some` send to `others`, and the other way round too."""
        others = list(others)
        there = [(a, b) for a in some for b in others]
        back = [(b, a) for a, b in there] if both_ways else []
        self.change([*there, *back], blocked=True)

    def delay(self, pairs: Iterable[Pair], low_s: float, high_s: float) -> None:
        """Each packet takes between `low_s` and `high_s`."""
        self.change(pairs, delay_s=low_s, jitter_s=high_s - low_s)

    def lose(self, pairs: Iterable[Pair], chance: float) -> None:
        self.change(pairs, loss=chance)

    def heal(self) -> None:
        """A good network again."""
        self._rules = dict.fromkeys(self._rules, Rule())
        self._ask(self._rules)

    def counts(self) -> dict[Pair, Counts]:
        """What has become of packets so far."""
        return self._ask({})

    def close(self) -> None:
        """The router ends, and with it every device."""
        self._opened.close()

    def _ask(self, rules: dict[Pair, Rule]) -> dict[Pair, Counts]:
        request = {"rules": [[a, b, rule.to_json()] for (a, b), rule in rules.items()]}
        self._control.send(json.dumps(request).encode())
        answer = self._control.recv(ANSWER_BYTES_MAX)
        assert answer, f"the router has ended with {self._router.wait(END_S)}"
        return {(a, b): Counts(**counts) for a, b, counts in json.loads(answer)["counts"]}


@contextlib.contextmanager
def start_network(count: int, seed: int = 0) -> Iterator[Network]:
    network = Network(count, seed)
    try:
        yield network
    finally:
        network.close()


def free_subnet() -> str:
    """The first three numbers of a /24 in 10.0.0.0/8 that this host has no route to.

    By chance, so that test processes side by side do not meet.
    """
    random = SystemRandom()
    routes = Path("/proc/net/route").read_text()
    while True:
        second, third = random.randrange(1, 255), random.randrange(256)
        # As the kernel prints it: the bytes of the address from the last to the first.
        if f"00{third:02X}{second:02X}0A" not in routes:
            return f"10.{second}.{third}"
