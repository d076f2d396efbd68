"""A round: clients at work while something happens to their cluster, and then the reckoning.

Every round has its own keys, a crowd of clients, watches on every member, and a check of everything
that the clients and the watches were told.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack

from tests.cluster import Cluster, is_kvorum, wait_for
from tests.interop.clients import Watching, put_for_sure
from tests.robustness.calls import Calls
from tests.robustness.crowd import Crowd
from tests.robustness.linearizability.history import Operation, settle
from tests.robustness.linearizability.revisions import problem_by_revisions
from tests.robustness.linearizability.wgl import problem_by_values

ANSWERS_MIN = 50
"""Before the fault and after it: the crowd is at work."""
ANSWERS_S = 60.0

Disturb = Callable[[Crowd], None]
"""What happens while the clients are at work; all is well again when it returns."""


def run_round(cluster: Cluster, number: int, disturb: Disturb, rng: random.Random) -> int:
    """One round. Returns how many operations were answered.

    Raises:
        AssertionError: a client or a watch was told something wrong, the members differ in the
            end, or there is no progress within ANSWERS_S, before it and when all is well again.
    """
    prefix = b"round%05d" % number
    with ExitStack() as stack:
        watches = [
            stack.enter_context(Watching(target, prefix + b"/")) for target in cluster.targets
        ]
        with Crowd(cluster.targets, prefix, seed=rng.randrange(10**6)) as crowd:
            wait_answers(crowd, ANSWERS_MIN)
            disturb(crowd)
            cluster.wait_healthy()
            wait_answers(crowd, crowd.answered() + ANSWERS_MIN)
        history = crowd.history()
        check_history(history)
        with Calls(cluster.targets[0]) as calls:
            last = put_for_sure(calls, prefix + b"/last", b"end of the round")
        for watch in watches:
            watch.wait_revision(last)
        check_watches(cluster.kinds, watches, history)
    cluster.wait_equal_hashes()
    return sum(op.answered for op in history)


def wait_answers(crowd: Crowd, count: int) -> None:
    wait_for(
        lambda: True if crowd.answered() >= count else None,
        ANSWERS_S,
        "the clients get hardly any answers",
    )


def check_history(history: list[Operation]) -> None:
    settled = settle(history)
    problem = problem_by_revisions(settled)
    assert problem is None, problem
    problem = problem_by_values(settled)
    assert problem is None, problem


def check_watches(kinds: list[str], watches: list[Watching], history: list[Operation]) -> None:
    """All saw the same, in order, once, and everything that was acknowledged.

    Stock of these versions tells its watchers everything once more after it was sent a snapshot.
    """
    for kind, watch in zip(kinds, watches, strict=True):
        if is_kvorum(kind):
            assert not watch.problems, f"{kind}: {watch.problems[0]}"
            assert len(set(watch.seen)) == len(watch.seen), f"{kind}: an event came twice"
    for watch in watches[1:]:
        first = watches[0].seen
        assert sorted(set(watch.seen)) == sorted(set(first)), "two members tell different events"
    seen = {(revision, key, value) for revision, _, key, value in watches[0].seen}
    for op in history:
        if op.answered and op.wrote:
            assert (op.revision, op.key, op.value) in seen, f"no event of {op}"
