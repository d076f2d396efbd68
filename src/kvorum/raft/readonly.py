"""Reads that wait until a quorum has confirmed who leads.

A leader notes its commit index when a read asks, sends a heartbeat that carries the read's context,
and answers when a quorum has echoed it: then no other leader can have committed anything before the
read began. An echo confirms every read asked before it, too.

Source: Raft thesis 6.4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from kvorum.proto.raftpb import Message

READS_MAX: Final = 4096
"""Reads that may wait. A server asks once for a whole batch of clients and asks again when no
answer comes, so a refused read is delayed, not lost; without a limit a leader that has lost its
quorum would collect the reads of all others."""


@dataclass(slots=True)
class PendingRead:
    """A read, the commit index when it was asked, and who has confirmed the leader since."""

    request: Message
    index: int
    acks: dict[int, bool] = field(default_factory=dict)


class ReadQueue:
    """Reads by their context, in the order in which they were asked."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending: dict[bytes, PendingRead] = {}

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def full(self) -> bool:
        return len(self._pending) >= READS_MAX

    def add(self, context: bytes, request: Message, index: int, self_id: int) -> None:
        """Note a read. One that waits already keeps its place and its index."""
        if context not in self._pending:
            self._pending[context] = PendingRead(request, index, {self_id: True})

    def acknowledge(self, member: int, context: bytes) -> dict[int, bool]:
        """A member echoed `context`. Who has so far; nobody when no such read waits."""
        read = self._pending.get(context)
        if read is None:
            return {}
        read.acks[member] = True
        return read.acks

    def newest_context(self) -> bytes | None:
        """What the next heartbeat should carry, so that a lost round is made up for."""
        return next(reversed(self._pending)) if self._pending else None

    def newest_acks(self) -> tuple[bytes, dict[int, bool]] | None:
        """The read asked last and who has confirmed it."""
        if not self._pending:
            return None
        context = next(reversed(self._pending))
        return context, self._pending[context].acks

    def take_to(self, context: bytes) -> list[PendingRead]:
        """Remove and return the reads up to and with the one of `context`."""
        taken = []
        for waiting in list(self._pending):
            taken.append(self._pending.pop(waiting))
            if waiting == context:
                break
        return taken
