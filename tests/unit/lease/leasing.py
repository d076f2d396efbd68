"""What the lease tests share: a clock that stands until it is moved, and a lessor on a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kvorum.lease import Lessor
from kvorum.storage import Backend

MIN_TTL_S = 2


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Bench:
    """A lessor, its clock and its backend."""

    def __init__(self, backend: Backend, *, leader: bool, **options: Any) -> None:
        self.backend = backend
        self.options = options
        self.clock = Clock()
        self.lessor = Lessor(backend, self.clock, MIN_TTL_S, **options)
        if leader:
            self.lessor.promote(0)

    def restart(self) -> None:
        """A new lessor on what is in the backend, as after a restart of the member."""
        self.lessor = Lessor(self.backend, self.clock, MIN_TTL_S, **self.options)

    def remaining(self, lease_id: int) -> int:
        return self.lessor.time_to_live(lease_id)[1]

    def ids(self) -> list[int]:
        return [lease.id for lease in self.lessor.leases()]

    def apply_checkpoints(self) -> list[tuple[int, int]]:
        """What the server does with due checkpoints, the log left out."""
        due = [tuple(c) for c in self.lessor.due_checkpoints()]
        for lease_id, remaining_s in due:
            self.lessor.checkpoint(lease_id, remaining_s)
        return due


@contextmanager
def bench(*, leader: bool = True, **options: Any) -> Iterator[Bench]:
    with (
        TemporaryDirectory() as folder,
        Backend.open(Path(folder) / "db", fsync=False) as backend,
    ):
        yield Bench(backend, leader=leader, **options)
