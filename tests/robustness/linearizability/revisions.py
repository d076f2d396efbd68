"""Linearizability of a whole history by etcd's revisions, over all keys at once.

The revisions of writes are one order of all of them, and a read says after which of them it was: so
there is nothing to search for. What is left to check:

    1. each write has a revision of its own
    2. each read found what the order says
    3. a swap wrote exactly when it should have
    4. the order keeps to the clock: what began when something had ended comes after it
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict

from tests.robustness.linearizability.history import Kind, Operation


def problem_by_revisions(history: list[Operation]) -> str | None:
    """Why the history, which is settled, is not linearizable; None: it is."""
    writes = [op for op in history if op.wrote]
    if len({op.revision for op in writes}) != len(writes):
        return "two writes have one revision"
    by_key: dict[bytes, list[tuple[int, bytes]]] = defaultdict(list)
    for op in sorted(writes, key=lambda op: op.revision):
        by_key[op.key].append((op.revision, op.value))
    for op in history:
        problem = _problem_of(op, by_key[op.key])
        if problem is not None:
            return f"{problem}: {op}"
    return _problem_of_order(history)


def _problem_of(op: Operation, versions: list[tuple[int, bytes]]) -> str | None:
    """Whether the operation found what the order of the writes says."""
    at = op.revision - 1 if op.wrote else op.revision
    position = bisect_right(versions, at, key=lambda version: version[0])
    newest = versions[position - 1] if position else None
    found = None if op.seen is None else (op.seen[1], op.seen[0])
    if op.is_read and found != newest:
        return f"should have found {newest}"
    if op.kind is Kind.SWAP:
        matches = op.expected == (newest[0] if newest else 0)
        if matches != op.wrote:
            return f"should {'' if matches else 'not '}have written, over {newest}"
    return None


def _problem_of_order(history: list[Operation]) -> str | None:
    """Whether something has a place before what had ended when it began."""
    by_end = sorted((op for op in history if op.answered), key=lambda op: op.ended_s)
    newest: Operation | None = None
    ended = 0
    for op in sorted(history, key=lambda op: op.started_s):
        while ended < len(by_end) and by_end[ended].ended_s < op.started_s:
            if newest is None or by_end[ended].revision > newest.revision:
                newest = by_end[ended]
            ended += 1
        if newest is None:
            continue
        # A read may share the place of the write that it found.
        if op.revision < newest.revision or (op.wrote and op.revision == newest.revision):
            return f"{op} began after the end of {newest}"
    return None
