"""Patroni's own layer over etcd (`patroni.dcs.etcd3`, by the JSON gateway), without PostgreSQL.

The scenarios call it as Patroni's main loop does. `node NAME` is that loop in a process of its own,
cut down to what concerns etcd: it says `leader NAME` when it becomes the leader, and goes on until
it is killed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from patroni.dcs import get_dcs
from patroni.exceptions import DCSError

from tests.interop.third_party import ROOT

TTL_S = 4
LOOP_WAIT_S = 1
WAIT_S = 25.0


def connect(target: str, name: str, scope: str, **more: Any) -> Any:
    """What `patroni.yml` makes of Patroni's store of the cluster's state."""
    return get_dcs(
        {
            "scope": scope,
            "name": name,
            "ttl": TTL_S,
            "loop_wait": LOOP_WAIT_S,
            "retry_timeout": 3,
            "etcd3": {"hosts": [target]},
            **more,
        }
    )


def wait_until(condition: Any, what: str) -> None:
    give_up = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < give_up, f"did not happen: {what}"
        time.sleep(0.05)


def leader_name(dcs: Any) -> str | None:
    leader = dcs.get_cluster().leader
    return leader.name if leader else None


def state(target: str) -> None:
    """What Patroni keeps besides the leader: written once, or only over what was read."""
    one, two = (connect(target, name, "state") for name in ("one", "two"))
    assert one.initialize(create_new=True, sysid="1")
    assert not two.initialize(create_new=True, sysid="2")
    assert one.touch_member({"role": "primary", "state": "running", "xlog_location": 1})
    assert two.touch_member({"role": "replica", "state": "running"})
    assert one.set_config_value(json.dumps({"ttl": TTL_S}))
    assert one.manual_failover("one", "two")
    assert one.set_history_value(json.dumps([[1, 100, "no recovery target specified"]]))
    assert one.write_sync_state("one", ["two"], 0)
    wait_until(lambda: two.get_cluster().sync.version, "all of it is seen by the other")
    cluster = two.get_cluster()
    assert cluster.initialize == "1"
    assert sorted(member.name for member in cluster.members) == ["one", "two"]
    assert cluster.get_member("one").data["role"] == "primary"
    assert cluster.config.data == {"ttl": TTL_S}
    assert (cluster.failover.leader, cluster.failover.candidate) == ("one", "two")
    assert cluster.history.lines[0][1] == 100
    assert cluster.sync.matches("two")

    assert two.set_config_value(json.dumps({"ttl": 30}), cluster.config.version)
    assert not one.set_config_value(json.dumps({"ttl": 60}), cluster.config.version)
    assert two.write_sync_state("two", [], 0, cluster.sync.version)
    assert not one.delete_sync_state(cluster.sync.version)
    assert connect(target, "ctl", "state", patronictl=True).delete_cluster()
    wait_until(lambda: two.get_cluster().is_unlocked() and not two.get_cluster().members, "deleted")


def leader(target: str) -> None:
    """One takes the lock, holds it for longer than its lease, and hands it over at once."""
    one, two = (connect(target, name, "leader") for name in ("one", "two"))
    for dcs in (one, two):
        assert dcs.touch_member({"state": "running"})
    assert one.attempt_to_acquire_leader()
    assert not two.attempt_to_acquire_leader()
    held_until = time.monotonic() + TTL_S + 2
    lsn = 100
    while time.monotonic() < held_until:
        assert leader_name(one) == leader_name(two) == "one"
        lsn += 1
        assert one.update_leader(one.get_cluster(), lsn)
        one.watch(None, LOOP_WAIT_S / 2)
        assert two.touch_member({"state": "running"})
    wait_until(lambda: two.get_cluster().status.last_lsn == lsn, "the follower sees the position")

    two.event.clear()
    woken = threading.Thread(target=two.watch, args=("1", WAIT_S))
    woken.start()
    before = time.monotonic()
    assert one.delete_leader(one.get_cluster().leader, lsn)
    woken.join(WAIT_S)
    assert not woken.is_alive()
    assert time.monotonic() - before < TTL_S, "the watch did not tell of the change"
    wait_until(lambda: two.get_cluster().is_unlocked(), "the lock is free")
    assert two.attempt_to_acquire_leader()
    assert not one.attempt_to_acquire_leader()


class Node:
    """A `node` process and the lines it says."""

    def __init__(self, target: str, name: str) -> None:
        self.name = name
        module = "tests.interop.third_party.patroni_suite"
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, target, "node", name],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.strip())
        self.lines.put("(end)")

    def wait_for(self, line: str) -> None:
        heard = self.lines.get(timeout=WAIT_S)
        assert heard == line, f"{self.name} said {heard}, not {line}"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def nodes(target: str, *names: str) -> Iterator[list[Node]]:
    started: list[Node] = []
    try:
        for name in names:
            started.append(Node(target, name))
            if name == names[0]:
                started[0].wait_for(f"leader {name}")
        yield started
    finally:
        for node in started:
            node.kill()


def failover(target: str) -> None:
    """The leader is killed: the other takes over when the lease has expired, and not before."""
    with nodes(target, "first", "second") as (first, second):
        second.wait_for("follower second")
        first.kill()
        killed = time.monotonic()
        second.wait_for("leader second")
        took = time.monotonic() - killed
        assert TTL_S - 1.5 * LOOP_WAIT_S < took < WAIT_S, f"{took} s"


def run_node(target: str, name: str) -> None:
    dcs = connect(target, name, "nodes")
    role = None
    while True:
        try:
            leads = take_part(dcs, name)
        except DCSError:  # the server does not answer: nobody can say that this has changed
            time.sleep(0.1)
            continue
        if role != (role := "leader" if leads else "follower"):
            print(role, name, flush=True)
        dcs.watch(None, LOOP_WAIT_S)


def take_part(dcs: Any, name: str) -> bool:
    """One turn of the loop; whether this node leads."""
    dcs.touch_member({"state": "running"})
    cluster = dcs.get_cluster()
    if cluster.leader and cluster.leader.name == name:
        return bool(dcs.update_leader(cluster, time.monotonic_ns()))
    return cluster.is_unlocked() and bool(dcs.attempt_to_acquire_leader())


SCENARIOS = {one.__name__: one for one in (state, leader, failover)}

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    address, chosen, *rest = sys.argv[1:]
    if chosen == "node":
        run_node(address, *rest)
    SCENARIOS[chosen](address)
    print("passed", chosen)
