"""What clients asked, and what they were told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf


class Kind(Enum):
    """What an operation does."""

    PUT = "put"
    GET = "get"
    SWAP = "swap"
    """Put if the key's mod revision is `expected`, else get."""


@dataclass(slots=True)
class Operation:
    """One call. Written values differ from each other, within a history.

    Attributes:
        value: what it writes (a swap: if it may).
        expected: of a swap: the mod revision that it wants to find; 0: no such key.
        started_s, ended_s: by one clock; the end of one without an answer is never.
        wrote: whether it wrote. Unknown without an answer.
        revision: of the store, in the answer; that of the write if it wrote.
        seen: what a read (also that of a swap that failed) found: value and mod revision; None:
            there was no such key.
    """

    kind: Kind
    key: bytes
    started_s: float
    value: bytes = b""
    expected: int = 0
    ended_s: float = inf
    answered: bool = False
    wrote: bool = False
    revision: int = 0
    seen: tuple[bytes, int] | None = None

    @property
    def is_read(self) -> bool:
        return self.answered and not self.wrote


def settle(history: list[Operation]) -> list[Operation]:
    """`history` without operations that had no effect that anybody saw.

    A write without an answer that a read has found did happen, at the mod revision that the read
    was told. One that nobody has found may be left out: nothing that was answered could differ.
    """
    found = {op.seen[0]: op.seen[1] for op in history if op.seen is not None}
    settled = []
    for op in history:
        if not op.answered and op.value in found:
            op.wrote, op.revision = True, found[op.value]
        if op.answered or op.wrote:
            settled.append(op)
    return settled
