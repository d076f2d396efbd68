"""The database survives a kill and a power failure at any moment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvorum.storage import Backend
from kvorum.storage.buckets import CONSISTENT_INDEX, KEY, META, decode_u64, encode_u64, revision_key
from tests.unit.storage.writer import DELETE_BEHIND, ROWS_A_COMMIT, value_of

ROUNDS = 6
PAGE_BYTES = 4096
META_PAGES = 2


def test_a_killed_writer_leaves_whole_transactions(tmp_path: Path) -> None:
    """Rows and consistent index agree, nothing that was durable is gone, and it can be gone on."""
    path, rng = tmp_path / "db", Random(5)
    newest = 0
    for _ in range(ROUNDS):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.storage.writer", str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdout is not None
        with process:
            durable = 0
            for _ in range(rng.randrange(2, 8)):
                line = process.stdout.readline().strip()
                assert line
                durable = durable if line == "ready" else int(line)
            process.kill()
            said = [line.strip() for line in process.stdout]
        durable = max([durable, *(int(line) for line in said if line.isdigit())])
        with Backend.open(path, lock_wait_s=5) as backend:
            stored = backend.get(META, CONSISTENT_INDEX)
            assert stored is not None
            newest = max(newest, durable)
            reached = decode_u64(stored)
            assert reached >= newest
            assert backend.range(KEY, b"", None) == rows_at(reached)
            newest = reached
    assert newest > ROUNDS * ROWS_A_COMMIT


def rows_at(reached: int) -> list[tuple[bytes, bytes]]:
    gone = {n - DELETE_BEHIND for n in range(DELETE_BEHIND + 1, reached + 1) if n % 3 == 0}
    return [(revision_key(n, 0), value_of(n)) for n in range(1, reached + 1) if n not in gone]


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32))
def test_power_loss_leaves_the_last_commit_or_the_one_before(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """The pages of a transaction under way reach the disk in any number and order.

    Durable at that moment: all pages of the commit before, but its meta page only perhaps; that
    is what LMDB is asked for with metasync off.
    """
    directory = tmp_path_factory.mktemp("power")
    rng = Random(seed)
    path = directory / "db"
    states, images = [], []
    rows: dict[bytes, bytes] = {}
    with Backend.open(path, fsync=False, batch_interval_s=3600) as backend:
        backend.put(META, CONSISTENT_INDEX, encode_u64(0))
        for turn in range(rng.randrange(3, 7)):
            for _ in range(rng.randrange(1, 120)):
                key = revision_key(rng.randrange(300), 0)
                if rng.random() < 0.3:
                    backend.delete(KEY, key)
                    rows.pop(key, None)
                else:
                    rows[key] = rng.randbytes(rng.choice((10, 500, 6000)))
                    backend.put(KEY, key, rows[key])
            backend.put(META, CONSISTENT_INDEX, encode_u64(turn))
            backend.commit()
            states.append(sorted(rows.items()))
            images.append(path.read_bytes())
    crashed = directory / "crashed"
    crashed.write_bytes(torn_image(images[-3], images[-2], images[-1], rng))
    with Backend.open(crashed, fsync=False) as backend:
        stored = backend.get(META, CONSISTENT_INDEX)
        assert stored is not None
        turn = decode_u64(stored)
        assert turn in {len(states) - 2, len(states) - 3}
        assert backend.range(KEY, b"", None) == states[turn]
        for n in range(300):
            backend.put(KEY, revision_key(1000 + n, 0), b"after")
        backend.commit()
        assert backend.range(KEY, revision_key(1000, 0), None, limit=1)[0][1] == b"after"
        assert backend.range(KEY, b"", revision_key(1000, 0)) == states[turn]


def torn_image(before: bytes, last: bytes, under_way: bytes, rng: Random) -> bytes:
    """What the disk may hold while the commit after `last` writes its pages."""
    size = max(map(len, (before, last, under_way)))
    pages = []
    for place in range(0, size, PAGE_BYTES):
        old, new = last[place : place + PAGE_BYTES], under_way[place : place + PAGE_BYTES]
        if place < META_PAGES * PAGE_BYTES:
            # The meta page of the commit under way is written only after its flush.
            new = before[place : place + PAGE_BYTES]
        choice = old if rng.random() < 0.5 else new
        pages.append(choice.ljust(PAGE_BYTES, b"\0"))
    return b"".join(pages)
