"""Replacing the program of a member in its own data directory, while clients use the cluster.

`Trip.replace` stops one process in order, hands the directory over where its format must change,
starts the other program on it and waits until it serves. Meanwhile a `Crowd` writes down what it
was told, for the checkers, and a `Pulse` at each member measures how long it took no write.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc

from tests.cluster import Cluster, command_of, is_kvorum, wait_for
from tests.interop.clients import Watching, put_for_sure
from tests.robustness.calls import Calls
from tests.robustness.crowd import Crowd
from tests.robustness.linearizability.history import Operation, settle
from tests.robustness.linearizability.revisions import problem_by_revisions
from tests.robustness.rounds import check_history, check_watches, wait_answers
from tests.servers import server_environment

BEAT_S = 0.04
"""Time between two writes of a pulse."""
ON_THE_WAY_MAX = 400
"""Writes of one pulse without an answer yet."""
ANSWERS_MIN = 40
SERVES_S = 60.0
COMMAND_S = 60.0
ALL = b"trip/"


class Gap(NamedTuple):
    """A time without an acknowledged write."""

    beats: int
    """How many writes were begun in it. Where the whole machine stands still, none are."""
    length_s: float
    after_s: float
    """When it began, from the signal on."""

    @property
    def unavailable_s(self) -> float:
        return min(self.beats * BEAT_S, self.length_s)


class Pulse:
    """Puts at one member at even intervals, whether or not the last one has been answered.

    So the time between two answers is that in which the member took no write, and not that which
    one client spent waiting for its own.
    """

    def __init__(self, number: int, target: str) -> None:
        self.target = target
        self.acknowledged: dict[bytes, float] = {}
        """The keys, and when the answer came."""
        self.begun: list[float] = []
        """When each was sent."""
        self._prefix = b"%bpulse%d/" % (ALL, number)
        self._stop = threading.Event()
        self._free = threading.BoundedSemaphore(ON_THE_WAY_MAX)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with Calls(self.target) as calls:
            for number in itertools.count():
                if self._stop.wait(BEAT_S):
                    break
                self._beat(calls, b"%b%07d" % (self._prefix, number))
            for _ in range(ON_THE_WAY_MAX):  # all have been answered, or were given up
                self._free.acquire()

    def _beat(self, calls: Calls, key: bytes) -> None:
        self._free.acquire()
        self.begun.append(time.monotonic())

        def done(call: Any) -> None:
            if call.code() is grpc.StatusCode.OK:
                self.acknowledged[key] = time.monotonic()
            self._free.release()

        calls.put_async(key, key).add_done_callback(done)

    def longest_gap(self, begun_s: float, ended_s: float) -> Gap:
        """The longest time without an acknowledged write between the two."""
        inside = (at for at in list(self.acknowledged.values()) if begun_s < at < ended_s)
        times = [begun_s, *sorted(inside), ended_s]
        return max(
            Gap(self._begun_between(earlier, later), later - earlier, earlier - begun_s)
            for earlier, later in itertools.pairwise(times)
        )

    def _begun_between(self, earlier: float, later: float) -> int:
        return bisect_right(self.begun, later) - bisect_right(self.begun, earlier)

    def serves_since(self, begun_s: float) -> bool:
        """Whether a write has been acknowledged since then."""
        return any(at > begun_s for at in list(self.acknowledged.values())[-ON_THE_WAY_MAX:])

    def check_nothing_lost(self, target: str) -> None:
        """The member at `target` has every write that was acknowledged here."""
        with Calls(target) as calls:
            found = calls.get(self._prefix, self._prefix[:-1] + b"0", serializable=True).kvs
        missing = set(self.acknowledged) - {one.key for one in found if one.key == one.value}
        assert not missing, f"{target} has lost {sorted(missing)[:3]} and {len(missing)} in all"


@dataclass(frozen=True, slots=True)
class Replaced:
    """What one replacement cost."""

    index: int
    was: str
    now: str
    led: bool
    gap: Gap
    """The longest time in which one of the other members took no write."""
    ended_s: float
    """From the signal until the old process had ended."""
    away_s: float
    """From the signal until the new process took a write."""

    def __str__(self) -> str:
        role = "leader" if self.led else "follower"
        return (
            f"m{self.index + 1} ({role}) {self.was} → {self.now}:"
            f" others' longest gap {self.gap.unavailable_s * 1000:.0f} ms"
            f" ({self.gap.length_s * 1000:.0f} ms by the clock), {self.gap.after_s:.1f} s after the"
            f" signal; itself ended after {self.ended_s:.1f} s, back after {self.away_s:.1f} s"
        )


@dataclass(slots=True)
class Trip:
    """A cluster whose programs are changed under load. Made by `travel`."""

    cluster: Cluster
    pulses: list[Pulse]
    watches: list[Watching]
    crowd_size: int
    replaced: list[Replaced] = field(default_factory=list)
    settled: list[Operation] = field(default_factory=list)
    """What the crowds were told, all of the trip."""

    def replace_all(self, kind: str) -> None:
        """Replace each member's program by `kind`, one at a time, the leader second.

        The lead may so move to the member that is replaced last: what is new hands it over too.
        """
        leader = self.cluster.wait_leader()
        first, last = (at for at in range(len(self.cluster.members)) if at != leader)
        for index in (first, leader, last):
            self.replace(index, kind)

    def replace(self, index: int, kind: str) -> None:
        """Replace one, with everything that is to be checked of it at once."""
        prefix = b"%bcrowd%02d" % (ALL, len(self.replaced))
        crowd = Crowd(
            self.cluster.targets, prefix, size=self.crowd_size, seed=len(self.replaced) + 1
        )
        with crowd:
            wait_answers(crowd, ANSWERS_MIN)
            self.replaced.append(self._replace(index, kind))
            print(self.replaced[-1])
            wait_answers(crowd, crowd.answered() + ANSWERS_MIN)
        history = crowd.history()
        check_history(history)
        self.settled += settle(history)

    def _replace(self, index: int, kind: str) -> Replaced:
        cluster, was = self.cluster, self.cluster.kinds[index]
        led = cluster.wait_leader() == index
        member_id = cluster.status(index).header.member_id
        begun_s = time.monotonic()
        assert cluster.stop(index) == -15
        stopped_s = time.monotonic()
        if led:
            check_lead_was_handed_over(cluster, index, member_id)
        change_program(cluster, index, kind)
        started_s = time.monotonic()
        cluster.members[index].start()
        cluster.wait_healthy(index)
        pulse = self.pulses[index]
        wait_for(
            lambda: True if pulse.serves_since(started_s) else None,
            SERVES_S,
            f"member {index} takes no write",
        )
        ended_s = time.monotonic()
        others = [one for one in self.pulses if one is not pulse]
        gap = max(one.longest_gap(begun_s, ended_s) for one in others)
        return Replaced(index, was, kind, led, gap, stopped_s - begun_s, ended_s - begun_s)

    def check_all(self) -> None:
        """At the end, when the pulses have stopped."""
        with Calls(self.cluster.targets[0]) as calls:
            last = put_for_sure(calls, ALL + b"last", b"end of the trip")
        for watch in self.watches:
            watch.wait_revision(last)
        self.cluster.wait_equal_hashes()
        for pulse in self.pulses:
            for target in self.cluster.targets:
                pulse.check_nothing_lost(target)
        problem = problem_by_revisions(self.settled)
        assert problem is None, problem
        # No member was sent a snapshot: stock's watches have to be as complete as ours.
        check_watches(["kvorum"] * len(self.watches), self.watches, self.settled)
        told = {key for _, _, key, _ in self.watches[0].seen}
        for pulse in self.pulses:
            assert set(pulse.acknowledged) <= told


def check_lead_was_handed_over(cluster: Cluster, index: int, member_id: int) -> None:
    """Another member leads when the process has ended: there was no election to wait for."""
    told = [cluster.status(other).leader for other in range(len(cluster.members)) if other != index]
    assert set(told) - {0, member_id}, f"nobody leads after {index} ({member_id:x}) has stopped"


def change_program(cluster: Cluster, index: int, kind: str) -> None:
    """Make the stopped member one of `kind`: its program and flags, and its directory's format.

    Kvorum takes a directory of stock etcd over when it starts; the way back is a command.
    """
    member = cluster.members[index]
    if is_kvorum(cluster.kinds[index]) and not is_kvorum(kind):
        etcdutl(
            "migrate",
            f"--data-dir={member.data_dir}",
            "--format=stock",
            f"--target-version={kind.removeprefix('stock')}",
        )
    member.command, own_flags = command_of(kind)
    kept = [flag for flag in member.extra_flags if not flag.startswith("--emulated-version")]
    member.extra_flags = [*kept, *own_flags]
    cluster.kinds[index] = kind


def etcdutl(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kvorum.cli.etcdutl", *arguments],
        env=server_environment(),
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert done.returncode == 0, f"etcdutl {' '.join(arguments)}: {done.stdout}{done.stderr}"


@contextmanager
def travel(cluster: Cluster, *, crowd_size: int) -> Iterator[Trip]:
    """A trip of `cluster`; when the block has ended well, everything is checked."""
    with ExitStack() as watching:
        watches = [watching.enter_context(Watching(target, ALL)) for target in cluster.targets]
        with ExitStack() as beating:
            pulses = [
                beating.enter_context(Pulse(number, target))
                for number, target in enumerate(cluster.targets)
            ]
            trip = Trip(cluster, pulses, watches, crowd_size)
            yield trip
        trip.check_all()


__all__ = ["Pulse", "Replaced", "Trip", "change_program", "travel"]
