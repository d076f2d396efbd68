"""Work that cleans up after itself when it is interrupted, and then ends as any program does."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _InterruptedError(BaseException):
    """Unwinds the stack, past every handler of errors."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


@contextmanager
def cleaning_up() -> Iterator[None]:
    """Let context managers inside clean up on Ctrl-C, SIGTERM and SIGHUP; then die of the signal.

    Without it those end the process at once. A signal that is ignored (`nohup`) stays so.
    """
    before = {one: signal.getsignal(one) for one in _SIGNALS}
    for one, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(one, _interrupt)
    try:
        yield
    except _InterruptedError as interrupted:
        _die(interrupted.signal_number)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _interrupt(signal_number: int, frame: FrameType | None) -> NoReturn:
    # Not a second time: what runs from now on is the cleaning up.
    for one in _SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    raise _InterruptedError(signal_number)


def _die(signal_number: int) -> NoReturn:
    signal.signal(signal_number, signal.SIG_DFL)
    os.kill(os.getpid(), signal_number)
    raise AssertionError("survived a signal that ends a process")
