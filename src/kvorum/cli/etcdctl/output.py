"""What goes to standard output and standard error: bytes, at once.

Values of keys are bytes and are written as they are. Nothing is kept back: a watch may run for days
before its next event, and the process may end by a signal.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from kvorum.cli.etcdctl.goquote import to_bytes


def write(data: bytes) -> None:
    """Write bytes to standard output."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        _die_of_broken_pipe()


def write_text(text: str) -> None:
    """Write text to standard output."""
    write(to_bytes(text))


def write_error(text: str) -> None:
    """Write text to standard error."""
    sys.stderr.buffer.write(to_bytes(text))
    sys.stderr.buffer.flush()


def _die_of_broken_pipe() -> NoReturn:
    """End as other programs do when nobody reads their output, as in `etcdctl get ... | head`.

    The signal's own default could do that at once, but it would also strike when gRPC writes to its
    inner socket pair after the event loop has closed it.
    """
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    raise AssertionError("survived SIGPIPE")
