"""The checkers find what they should, and agree with each other."""

from __future__ import annotations

from math import inf
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.robustness.linearizability.history import Kind, Operation, settle
from tests.robustness.linearizability.revisions import problem_by_revisions
from tests.robustness.linearizability.wgl import is_linearizable, problem_by_values

KEY = b"k"


def put(start: float, end: float, value: bytes, revision: int) -> Operation:
    return Operation(
        Kind.PUT, KEY, start, value, ended_s=end, answered=True, wrote=True, revision=revision
    )


def get(start: float, end: float, seen: tuple[bytes, int] | None, revision: int) -> Operation:
    return Operation(Kind.GET, KEY, start, ended_s=end, answered=True, seen=seen, revision=revision)


def lost(start: float, value: bytes) -> Operation:
    return Operation(Kind.PUT, KEY, start, value)


def problems(history: list[Operation]) -> tuple[bool, bool]:
    settled = settle(history)
    return problem_by_values(settled) is not None, problem_by_revisions(settled) is not None


def test_one_after_the_other_is_fine() -> None:
    history = [put(0, 1, b"a", 2), get(2, 3, (b"a", 2), 2), put(4, 5, b"b", 3)]
    assert problems(history) == (False, False)


def test_a_stale_read_is_found() -> None:
    history = [put(0, 1, b"a", 2), put(2, 3, b"b", 3), get(4, 5, (b"a", 2), 2)]
    assert problems(history) == (True, True)


def test_a_stale_read_that_claims_the_new_revision_is_found() -> None:
    history = [put(0, 1, b"a", 2), put(2, 3, b"b", 3), get(4, 5, (b"a", 2), 3)]
    assert problems(history) == (True, True)


def test_a_lost_write_is_found() -> None:
    history = [put(0, 1, b"a", 2), get(2, 3, None, 2)]
    assert problems(history) == (True, True)


def test_a_read_from_the_future_is_found() -> None:
    history = [get(0, 1, (b"a", 2), 2), put(2, 3, b"a", 2)]
    assert problems(history) == (True, True)


def test_reads_that_go_back_are_found() -> None:
    """While a write is under way both answers may be told, but not in this order."""
    history = [
        put(0, 1, b"a", 2),
        put(2, 9, b"b", 3),
        get(3, 4, (b"b", 3), 3),
        get(5, 6, (b"a", 2), 2),
    ]
    assert problems(history) == (True, True)


def test_a_write_without_an_answer_may_have_happened_or_not() -> None:
    happened = [put(0, 1, b"a", 2), lost(2, b"b"), get(8, 9, (b"b", 3), 3)]
    not_happened = [put(0, 1, b"a", 2), lost(2, b"b"), get(8, 9, (b"a", 2), 2)]
    assert problems(happened) == (False, False)
    assert problems(not_happened) == (False, False)


def test_one_that_came_undone_is_found() -> None:
    history = [
        put(0, 1, b"a", 2),
        lost(2, b"b"),
        get(3, 4, (b"b", 3), 3),
        get(5, 6, (b"a", 2), 3),
    ]
    assert problems(history) == (True, True)


def test_two_writes_with_one_revision_are_found() -> None:
    settled = settle([put(0, 5, b"a", 2), put(0, 5, b"b", 2)])
    assert problem_by_revisions(settled) == "two writes have one revision"


def test_a_swap_that_should_not_have_written_is_found() -> None:
    swap = Operation(Kind.SWAP, KEY, 4, b"c", 2, ended_s=5, answered=True, wrote=True, revision=4)
    settled = settle([put(0, 1, b"a", 2), put(2, 3, b"b", 3), swap])
    assert "should not have written" in (problem_by_revisions(settled) or "")


def random_history(rng: Random) -> list[Operation]:
    """A history that is linearizable by construction: each has a point at which it happened."""
    history, value, revision = [], None, 1
    for number in range(rng.randrange(1, 12)):
        point = number + 0.5
        start, end = point - rng.random() * 3, point + rng.random() * 3
        if rng.random() < 0.5:
            revision += 1
            value = (b"%d" % number, revision)
            op = put(start, end, value[0], revision)
            if rng.random() < 0.2:
                op = lost(start, value[0])
            history.append(op)
        else:
            history.append(get(start, end, value, revision))
    return history


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32))
def test_what_happened_one_after_the_other_is_accepted(seed: int) -> None:
    assert problems(random_history(Random(seed))) == (False, False)


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32))
def test_the_checkers_agree_with_trying_all_orders(seed: int) -> None:
    rng = Random(seed)
    settled = settle(random_history(rng)[:6])
    reads = [op for op in settled if op.is_read]
    writes = [op for op in settled if op.wrote]
    if reads and writes:
        wrong = rng.choice(writes)
        rng.choice(reads).seen = (wrong.value, wrong.revision)
    expected = any_order(settled, None)
    assert is_linearizable(settled) == expected


def any_order(left: list[Operation], state: bytes | None) -> bool:
    """The definition, tried out."""
    if not left:
        return True
    first_end = min((op.ended_s for op in left), default=inf)
    for op in left:
        if op.started_s > first_end:
            continue
        rest = [other for other in left if other is not op]
        if op.wrote:
            if any_order(rest, op.value):
                return True
        elif (op.seen[0] if op.seen else None) == state and any_order(rest, state):
            return True
    return False
