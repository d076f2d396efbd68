"""The algorithm of Wing and Gong with Lowe's cache, for one key at a time.

It looks at values only and knows nothing of revisions: a second opinion beside `revisions`.

Source: G. Lowe, Testing for linearizability (2017), section 4 (just-in-time linearization is not
used; the cache of configurations is).
"""

from __future__ import annotations

from collections import defaultdict

from tests.robustness.linearizability.history import Kind, Operation

State = bytes | None
"""The value of the key; None: there is none."""


def problem_by_values(history: list[Operation]) -> str | None:
    """Why the history, which is settled, is not linearizable; None: it is."""
    by_key: dict[bytes, list[Operation]] = defaultdict(list)
    for op in history:
        by_key[op.key].append(op)
    for key, operations in by_key.items():
        if not is_linearizable(operations):
            return f"the {len(operations)} operations on {key!r} have no order that explains them"
    return None


def is_linearizable(operations: list[Operation]) -> bool:
    """Whether there is an order of all operations, of one key, that explains what was answered."""
    operations = sorted(operations, key=lambda op: op.started_s)
    all_done = (1 << len(operations)) - 1
    seen: set[tuple[int, State]] = set()
    stack: list[tuple[int, State]] = [(0, None)]
    while stack:
        done, state = stack.pop()
        if done == all_done:
            return True
        for number, op in _candidates(operations, done):
            after = _step(op, state)
            if after is _IMPOSSIBLE:
                continue
            configuration = (done | 1 << number, after)
            if configuration not in seen:
                seen.add(configuration)
                stack.append(configuration)
    return False


def _candidates(operations: list[Operation], done: int) -> list[tuple[int, Operation]]:
    """What may come next: started before anything else that is left has ended."""
    found: list[tuple[int, Operation]] = []
    first_end = float("inf")
    # Those that are done are mostly a run at the beginning.
    number = (~done & (done + 1)).bit_length() - 1
    while number < len(operations):
        op = operations[number]
        if op.started_s > first_end:
            break
        if not done >> number & 1:
            found.append((number, op))
            first_end = min(first_end, op.ended_s)
        number += 1
    return [(number, op) for number, op in found if op.started_s <= first_end]


_IMPOSSIBLE: State = b"\0impossible"


def _step(op: Operation, state: State) -> State:
    """The state after the operation, if what it was told can be so in `state`."""
    if op.kind is Kind.PUT or (op.kind is Kind.SWAP and op.wrote):
        return op.value
    told = None if op.seen is None else op.seen[0]
    return state if told == state else _IMPOSSIBLE
