"""A full disk on one member: it stops and says why, the others go on, and it comes back.

Clients and watches are at work all the while, and are checked as in every round.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.cluster import Cluster, start_cluster, wait_for
from tests.interop.clients import put_for_sure
from tests.robustness.calls import Calls
from tests.robustness.crowd import Crowd
from tests.robustness.rounds import ANSWERS_MIN, run_round, wait_answers

MIB = 1024 * 1024
FILE_BYTES_MAX = 96 * MIB
"""More than a log's segment, which is made in its full size of 64 MB at once."""
DISK_BYTES = 400 * MIB
NO_MOUNT = "this machine lets root mount nothing"
"""Start of the reason of a skip that CI accepts too (tests/conftest.py)."""
VALUE = b"v" * 500_000
WRITES_MAX = 600
END_S = 30.0
FULL = 2
OTHERS = [0, 1]


def limit_files(cluster: Cluster) -> None:
    """No file of the member may grow beyond what it is allowed; that ends like a full disk."""
    limit = f"--fsize={FILE_BYTES_MAX}:{resource.RLIM_INFINITY}"
    subprocess.run(["prlimit", limit, f"--pid={cluster.members[FULL].pid}"], check=True)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, of DISK_BYTES."""
    if os.geteuid() != 0:
        pytest.skip("a file system of its own needs root")
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "kvorum-test", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"{NO_MOUNT}: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def use_up(folder: Path) -> Path:
    """Somebody else takes all the room that is left. Returns their file."""
    other = folder / "other"
    with contextlib.suppress(OSError), other.open("wb", buffering=0) as file:
        while file.write(bytes(MIB)):
            pass
    return other


def fill(cluster: Cluster, make_room: Callable[[], None], crowd: Crowd) -> None:
    """Write until the member has stopped, and then let the others go on without it."""
    member = cluster.members[FULL]
    with Calls(cluster.targets[OTHERS[0]]) as calls:
        for number in range(WRITES_MAX):
            put_for_sure(calls, b"big/%d" % number, VALUE)
            if member.returncode is not None:
                break
    wait_for(lambda: member.returncode, END_S, "the full member still runs")
    assert member.returncode != 0
    assert "make room or repair the disk" in member.log_text()
    wait_answers(crowd, crowd.answered() + ANSWERS_MIN)
    make_room()
    cluster.restart(FULL, wait=False)


def check(cluster: Cluster, make_room: Callable[[], None]) -> None:
    run_round(cluster, 0, partial(fill, cluster, make_room), random.Random(1))


@pytest.mark.slow
@pytest.mark.parametrize("is_leader", [True, False], ids=["leader", "follower"])
def test_a_member_whose_disk_is_full_stops_and_the_others_go_on(
    is_leader: bool, tmp_path: Path
) -> None:
    with small_disk(tmp_path) as disk:
        own = [f"--data-dir={disk}/data"]
        with start_cluster(flags_of=lambda index, _: own if index == FULL else []) as cluster:
            # Before: the first thing that a new leader writes may be too much.
            cluster.move_leader(FULL if is_leader else OTHERS[0])
            other = use_up(disk)
            check(cluster, other.unlink)


@pytest.mark.slow
@pytest.mark.parametrize(
    "is_leader",
    [pytest.param(True, marks=pytest.mark.soak, id="leader"), pytest.param(False, id="follower")],
)
def test_a_member_that_may_write_no_more_stops_and_the_others_go_on(is_leader: bool) -> None:
    """As above where no file system can be mounted, and slower: its files have to grow first."""
    with start_cluster() as cluster:
        limit_files(cluster)
        cluster.move_leader(FULL if is_leader else OTHERS[0])
        check(cluster, lambda: None)  # the limit ends with the process
