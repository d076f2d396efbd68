"""A member too far behind gets the leader's database: between Kvorum and stock in all directions.

It is behind because it was away, because nobody could reach it while it ran, or because it is new.
Stock keeps 5000 entries of its log for members that are behind, so more than that are written where
stock leads.
"""

from __future__ import annotations

import random
import re
import time
from contextlib import ExitStack
from itertools import count

import pytest

from kvorum.proto import rpc_pb2 as rpc
from tests.cluster import Cluster, is_kvorum, start_cluster, wait_for
from tests.interop.clients import Watching, put_for_sure, put_quickly, use_every_kind_of_write
from tests.proxy import Proxy
from tests.robustness.calls import Calls

SNAPSHOT_COUNT = 100
KVORUM_FLAGS = (
    f"--snapshot-count={SNAPSHOT_COUNT}",
    "--experimental-snapshot-catchup-entries=50",
)
STOCK_FLAGS = (f"--snapshot-count={SNAPSHOT_COUNT}",)
STOCK_BEHIND = 5600
"""Entries: what stock keeps, and some snapshots."""
KVORUM_BEHIND = 500
BIG_VALUE = 100_000
BIG_COUNT = 200
PASS_S = 60.0
SNAPSHOT_PATH = "/raft/snapshot"
SLOW_BYTES_PER_S = 3_000_000
"""So that sending the big database takes 7 s."""

DIRECTIONS = [
    ("stock3.5", "stock3.5", "kvorum3.5"),
    ("stock3.4", "stock3.4", "kvorum3.4"),
    ("kvorum3.5", "kvorum3.5", "stock3.5"),
    ("kvorum3.4", "kvorum3.4", "stock3.4"),
    ("kvorum", "kvorum", "kvorum"),
]
LAST = 2
"""The member that falls behind."""


def flags_of(_: int, kind: str) -> tuple[str, ...]:
    return KVORUM_FLAGS if is_kvorum(kind) else STOCK_FLAGS


def write_far_ahead(cluster: Cluster) -> None:
    """Write so much that the log does not reach back to where the last member is."""
    behind = KVORUM_BEHIND if is_kvorum(cluster.kinds[0]) else STOCK_BEHIND
    with Calls(cluster.targets[0]) as calls:
        use_every_kind_of_write(calls, b"ahead", 30)
    put_quickly(cluster.targets[0], b"far", behind)
    with Calls(cluster.targets[0]) as calls:
        # So that the last snapshot is behind all of it.
        calls.compact(calls.revision() - 10)


def wait_compacted(cluster: Cluster, index: int) -> None:
    """Return once the log of the first member does not reach back to `index`."""

    def beyond() -> bool | None:
        found = _COMPACTED.findall(cluster.members[0].log_text())
        return True if found and int(found[-1]) > index else None

    wait_for(beyond, PASS_S, f"the log is not compacted beyond {index}")


_COMPACTED = re.compile(r'compacted [rR]aft logs?(?: at |","compact-index":)(\d+)')


def had_snapshot(cluster: Cluster, index: int) -> bool:
    log = cluster.members[index].log_text()
    return "applied snapshot" in log or "finished applying incoming snapshot" in log


def wait_snapshot(cluster: Cluster, index: int) -> None:
    """Return once the member says that it has used a snapshot; stock serves from it before."""
    wait_for(lambda: had_snapshot(cluster, index) or None, PASS_S, "no snapshot was used")


def keeps_serving(cluster: Cluster, index: int) -> None:
    """The member takes writes and goes on with the others; also after a restart."""
    with Calls(cluster.targets[index]) as calls:
        use_every_kind_of_write(calls, b"then", 20)
    cluster.wait_equal_hashes()
    cluster.restart(index)
    with Calls(cluster.targets[index]) as calls:
        use_every_kind_of_write(calls, b"and-then", 20)
    cluster.wait_equal_hashes()


@pytest.mark.slow
@pytest.mark.parametrize("kinds", DIRECTIONS, ids="+".join)
def test_a_member_that_was_away_gets_the_database(kinds: tuple[str, ...]) -> None:
    with start_cluster(kinds, flags_of=flags_of) as cluster:
        put_quickly(cluster.targets[0], b"before", 50)
        cluster.stop(LAST)
        cluster.wait_leader()
        write_far_ahead(cluster)
        cluster.restart(LAST)
        cluster.wait_equal_hashes()
        wait_snapshot(cluster, LAST)
        keeps_serving(cluster, LAST)


@pytest.mark.soak
@pytest.mark.parametrize("kinds", DIRECTIONS, ids="+".join)
def test_watches_of_a_member_that_gets_the_database_go_on_in_order(kinds: tuple[str, ...]) -> None:
    """It runs on, cut off from the others, with watches; they lose and repeat nothing."""
    with start_cluster(kinds, flags_of=flags_of, proxied=True) as cluster, ExitStack() as stack:
        watches = [stack.enter_context(Watching(target, b"far")) for target in cluster.targets]
        put_quickly(cluster.targets[LAST], b"far/before", 50)
        cluster.move_leader(0)
        proxy = proxy_of(cluster)
        proxy.cut([LAST], [0, 1])
        behind = KVORUM_BEHIND if is_kvorum(kinds[0]) else STOCK_BEHIND
        index = cluster.status(LAST).raftIndex
        put_quickly(cluster.targets[0], b"far/away", behind)
        wait_compacted(cluster, index)
        proxy.reset_all()
        proxy.heal()
        with Calls(cluster.targets[0]) as calls:
            last = put_for_sure(calls, b"far/last", b"v")
        for watch, kind in zip(watches, kinds, strict=True):
            watch.wait_revision(last)
            if is_kvorum(kind):
                assert not watch.problems
                assert watch.seen == watches[0].seen
            else:
                # Stock of these versions tells its watchers everything once more after it.
                assert sorted(set(watch.seen)) == sorted(watches[0].seen)
        assert len(watches[0].seen) == len(set(watches[0].seen)) >= behind
        wait_snapshot(cluster, LAST)
        cluster.wait_equal_hashes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "kinds",
    [("stock3.5", "kvorum3.5"), ("kvorum3.5", "stock3.5"), ("kvorum", "kvorum")],
    ids="+".join,
)
def test_a_new_member_that_needs_the_database_joins(kinds: tuple[str, ...]) -> None:
    leading, joining = kinds
    with start_cluster([leading], flags_of=flags_of) as cluster:
        write_far_ahead(cluster)
        own = flags_of(1, joining)
        index = cluster.add_server(joining, flags=own, state="existing")
        with Calls(cluster.targets[0]) as calls:
            url = cluster.members[index].peer_url
            request = rpc.MemberAddRequest(peerURLs=[url])
            calls.member_add_call(request, timeout=PASS_S)
        cluster.start(index)
        cluster.wait_healthy()
        cluster.wait_equal_hashes()
        wait_snapshot(cluster, index)
        keeps_serving(cluster, index)


def proxy_of(cluster: Cluster) -> Proxy:
    assert cluster.proxy is not None
    return cluster.proxy


def with_big_database(cluster: Cluster) -> None:
    """The last member is away, and the others have so much data that sending it takes a while."""
    cluster.move_leader(0)
    cluster.stop(LAST)
    index = cluster.status(0).raftIndex
    with Calls(cluster.targets[0]) as calls:
        for number in range(BIG_COUNT):
            value = random.Random(number).randbytes(BIG_VALUE)
            put_for_sure(calls, b"big/%d" % number, value)
    put_quickly(
        cluster.targets[0],
        b"far",
        KVORUM_BEHIND if is_kvorum(cluster.kinds[0]) else STOCK_BEHIND,
    )
    wait_compacted(cluster, index)


INTERRUPTED = [
    ("stock3.5", "stock3.5", "kvorum3.5"),
    ("kvorum3.5", "kvorum3.5", "stock3.5"),
    ("kvorum", "kvorum", "kvorum"),
]


@pytest.mark.soak
@pytest.mark.parametrize("kinds", INTERRUPTED, ids="+".join)
def test_a_transfer_that_breaks_off_is_begun_again(kinds: tuple[str, ...]) -> None:
    with start_cluster(kinds, flags_of=flags_of, proxied=True) as cluster:
        with_big_database(cluster)
        rng = random.Random(5)
        breaks_at = [0, 1000, 100_000, 5_000_000, 12_000_000]
        state = {"sent": 0, "broken": 0}

        def change(path: str, data: bytes) -> bytes:
            if path != SNAPSHOT_PATH or state["broken"] == len(breaks_at):
                return data
            state["sent"] += len(data)
            if state["sent"] > breaks_at[state["broken"]] + rng.randrange(1000):
                state["sent"] = 0
                state["broken"] += 1
                raise ConnectionResetError
            return data

        proxy_of(cluster).change = change
        cluster.restart(LAST)
        cluster.wait_equal_hashes()
        assert state["broken"] == len(breaks_at)
        wait_snapshot(cluster, LAST)
        assert not leftovers(cluster)
        keeps_serving(cluster, LAST)


@pytest.mark.soak
@pytest.mark.parametrize("kinds", [INTERRUPTED[0], INTERRUPTED[2]], ids="+".join)
def test_a_damaged_transfer_is_not_used(kinds: tuple[str, ...]) -> None:
    """Where the damage can be noticed: in the message, in the pages' own heads, by a missing end.

    bbolt has no checksums of the data, so a flipped bit in a value cannot be.
    """
    with start_cluster(kinds, flags_of=flags_of, proxied=True) as cluster:
        with_big_database(cluster)
        damages = [(0, 8), (8, 60), (4_000, 12_000), (8_000_000, 8_400_000)]
        state = {"sent": 0, "damaged": 0}

        def change(path: str, data: bytes) -> bytes:
            if path != SNAPSHOT_PATH:
                return data
            at, state["sent"] = state["sent"], state["sent"] + len(data)
            if state["damaged"] == len(damages):
                return data
            begin, end = damages[state["damaged"]]
            if at > end:
                state["damaged"] += 1
                state["sent"] = 0
                raise ConnectionResetError
            low, high = max(begin - at, 0), max(min(end - at, len(data)), 0)
            if low >= high:
                return data
            return data[:low] + bytes(255 - byte for byte in data[low:high]) + data[high:]

        proxy_of(cluster).change = change
        cluster.members[LAST].start()
        wait_for(
            lambda: True if state["damaged"] == len(damages) else None,
            PASS_S,
            f"only {state} transfers were tried",
        )
        cluster.wait_healthy()
        cluster.wait_equal_hashes()
        assert not leftovers(cluster)
        keeps_serving(cluster, LAST)


@pytest.mark.soak
@pytest.mark.parametrize("kinds", [INTERRUPTED[0], INTERRUPTED[2]], ids="+".join)
def test_a_receiver_killed_at_any_point_gets_the_database_in_the_end(
    kinds: tuple[str, ...],
) -> None:
    """Between the file, the snapshot's record in the log, and the new database in its place."""
    rng = random.Random(11)
    with start_cluster(kinds, flags_of=flags_of) as cluster:
        with_big_database(cluster)
        folder = cluster.members[LAST].data_dir / "member" / "snap"
        for patience_s in (0.0, 0.001, 0.02, 0.1, 0.2, 0.3, 0.5):
            cluster.members[LAST].start()
            wait_for(
                lambda: (
                    True if any(folder.glob("tmp*")) or any(folder.glob("*.snap.db*")) else None
                ),
                PASS_S,
                "nothing has come",
            )
            time.sleep(patience_s * rng.uniform(0.5, 1.5))  # not a wait: the point of the kill
            cluster.kill(LAST)
            if had_snapshot(cluster, LAST):
                # It has it now; get further ahead for the next try.
                put_quickly(
                    cluster.targets[0],
                    b"more%d" % next(_numbers),
                    KVORUM_BEHIND if is_kvorum(kinds[0]) else STOCK_BEHIND,
                )
                cluster.members[LAST].log_path.unlink()
        cluster.restart(LAST)
        cluster.wait_equal_hashes()
        assert not leftovers(cluster)
        keeps_serving(cluster, LAST)


@pytest.mark.soak
@pytest.mark.parametrize("kinds", [INTERRUPTED[0], INTERRUPTED[2]], ids="+".join)
def test_another_leader_sends_the_database_when_the_sender_is_killed(
    kinds: tuple[str, ...],
) -> None:
    with start_cluster(kinds, flags_of=flags_of, proxied=True) as cluster:
        with_big_database(cluster)
        sent = count_snapshot_bytes(cluster)
        proxy_of(cluster).link(0, LAST).bytes_per_s = SLOW_BYTES_PER_S
        cluster.members[LAST].start()
        wait_for(lambda: True if sum(sent) > 2_000_000 else None, PASS_S, "nothing is being sent")
        cluster.kill(0)
        assert sum(sent) < BIG_VALUE * BIG_COUNT, "the sender was done before it was killed"
        assert not had_snapshot(cluster, LAST)
        proxy_of(cluster).heal()
        cluster.wait_healthy(1, LAST)
        cluster.wait_equal_hashes([1, LAST])
        wait_snapshot(cluster, LAST)
        cluster.restart(0)
        cluster.wait_equal_hashes()
        assert not leftovers(cluster)


@pytest.mark.soak
@pytest.mark.parametrize("kinds", INTERRUPTED, ids="+".join)
def test_a_sender_that_falls_silent_is_given_up(kinds: tuple[str, ...]) -> None:
    """Its connection stays open, as it does when a machine is gone: the receiver drops what it has.

    Stock's receiver does so too, after 5 s without a byte.
    """
    with start_cluster(kinds, flags_of=flags_of, proxied=True) as cluster:
        with_big_database(cluster)
        sent = count_snapshot_bytes(cluster)
        proxy_of(cluster).link(0, LAST).bytes_per_s = SLOW_BYTES_PER_S
        cluster.members[LAST].start()
        wait_for(lambda: True if sum(sent) > 2_000_000 else None, PASS_S, "nothing is being sent")
        partial = started_files(cluster)
        assert partial
        cluster.pause(0)
        wait_for(
            lambda: None if set(partial) & set(started_files(cluster)) else True,
            PASS_S,
            "what a silent sender has begun is kept",
        )
        proxy_of(cluster).heal()
        cluster.wait_equal_hashes([1, LAST])
        wait_snapshot(cluster, LAST)
        cluster.resume(0)
        cluster.wait_equal_hashes()
        assert not leftovers(cluster)


def count_snapshot_bytes(cluster: Cluster) -> list[int]:
    """The sizes of the pieces of databases that are sent from now on, in a list that grows."""
    sizes: list[int] = []

    def note(path: str, data: bytes) -> bytes:
        if path == SNAPSHOT_PATH:
            sizes.append(len(data))
        return data

    proxy_of(cluster).change = note
    return sizes


def started_files(cluster: Cluster) -> list[str]:
    """Files that databases are being received into, at the last member."""
    folder = cluster.members[LAST].data_dir / "member" / "snap"
    return [path.name for path in folder.glob("tmp*")]


_numbers = count()


def leftovers(cluster: Cluster) -> list[str]:
    """Files of transfers that did not end well, at the last member."""
    folder = cluster.members[LAST].data_dir / "member" / "snap"
    if not is_kvorum(cluster.kinds[LAST]):
        return []
    return [path.name for pattern in ("tmp*", "*.snap.db*") for path in folder.glob(pattern)]
