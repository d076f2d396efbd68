"""The thread that commits batches."""

from __future__ import annotations

import threading
import time

from kvorum.storage.batch import Batch
from kvorum.storage.committer import Committer

DEADLINE_S = 20.0


class LateEvent(threading.Event):
    """Is set a while after that was asked for: the thread was held up just then."""

    def set(self) -> None:
        time.sleep(0.05)
        super().set()


def test_the_end_of_a_batch_is_not_taken_for_the_end_of_the_next() -> None:
    gate = threading.Event()
    written: list[Batch] = []

    def write(batch: Batch) -> None:
        if written:
            assert gate.wait(DEADLINE_S)
        written.append(batch)

    committer = Committer(write, name="test")
    committer._idle = LateEvent()
    committer._idle.set()
    try:
        committer.submit(Batch())
        give_up_s = time.monotonic() + DEADLINE_S
        while not committer.finished:
            assert time.monotonic() < give_up_s
            time.sleep(0.001)
        committer.submit(Batch())
        threading.Timer(0.2, gate.set).start()
        committer.wait_finished()
        assert len(written) == 2
    finally:
        gate.set()
        committer.stop()
