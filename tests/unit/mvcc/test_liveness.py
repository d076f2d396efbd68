from __future__ import annotations

from random import Random

import pytest

from kvorum.mvcc.liveness import CHUNK_CHANGES, LivenessLog

RANGES = [(b"", b""), (b"k1", b""), (b"k1", b"k5"), (b"k5", b"k1"), (b"k3", b"k3\0"), (b"z", b"")]


def history(count: int, seed: int) -> list[tuple[int, bytes, bool]]:
    """Births and deaths in turns of some keys, several of them in one revision now and then."""
    random, alive, revision, changes = Random(seed), set[bytes](), 1, []
    for _ in range(count):
        key = b"k%d" % random.randrange(8)
        revision += random.choice((0, 1, 1, 2))
        changes.append((revision, key, key not in alive))
        alive ^= {key}
    return changes


def naive(changes: list[tuple[int, bytes, bool]], revision: int, start: bytes, end: bytes) -> int:
    return sum(
        1 if birth else -1
        for at, key, birth in changes
        if at > revision and start <= key and (not end or key < end)
    )


@pytest.mark.parametrize("count", [0, 1, 50, CHUNK_CHANGES, 3 * CHUNK_CHANGES + 17])
def test_it_counts_births_less_deaths_since_a_revision(count: int) -> None:
    changes, log = history(count, seed=count), LivenessLog()
    for change in changes:
        log.add(*change)
    last = changes[-1][0] if changes else 1
    for revision in {0, 1, last // 3, last // 2, last - 1, last, last + 5}:
        for start, end in RANGES:
            found = log.net_after(revision, start, end)
            assert found == naive(changes, revision, start, end), (revision, start, end)


def test_what_is_forgotten_is_not_needed_by_later_revisions() -> None:
    changes, log = history(5 * CHUNK_CHANGES, seed=1), LivenessLog()
    for change in changes:
        log.add(*change)
    compacted = changes[3 * CHUNK_CHANGES][0]
    log.forget(compacted)
    assert len(log) <= 3 * CHUNK_CHANGES
    for revision in (compacted, compacted + 1, changes[-1][0]):
        for start, end in RANGES:
            assert log.net_after(revision, start, end) == naive(changes, revision, start, end)


def test_forgetting_everything_leaves_a_log_that_works() -> None:
    log = LivenessLog()
    log.add(5, b"a", True)
    log.forget(9)
    log.add(10, b"b", True)
    assert log.net_after(9, b"", b"") == 1
