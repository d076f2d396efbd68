"""The standard streams, as bytes.

Values of keys are bytes and are written as they are. Nothing is kept back: a watch may run for days
before its next event, and the process may end by a signal.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from typing import BinaryIO, NoReturn

from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.cli.shared.goquote import to_bytes

STDOUT, STDERR = 1, 2


def write(data: bytes) -> None:
    """Write bytes to standard output.

    Raises:
        CommandError: it takes no more, as on a full disk.
    """
    try:
        _write(STDOUT, data)
    except BrokenPipeError:
        _die_of_broken_pipe()
    except OSError as error:
        if error.errno != errno.EBADF:  # closed by whoever started us: not wanted
            reason = (error.strerror or str(error)).lower()
            raise CommandError(Exit.IO, f"write /dev/stdout: {reason}") from error


def write_text(text: str) -> None:
    """Write text to standard output."""
    write(to_bytes(text))


def write_error(text: str) -> None:
    """Write text to standard error. Nobody can be told if that fails."""
    try:
        _write(STDERR, to_bytes(text))
    except OSError:
        return


def stdin() -> BinaryIO:
    """Standard input; empty when it was closed by whoever started us."""
    return io.BytesIO() if sys.stdin is None else sys.stdin.buffer


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _die_of_broken_pipe() -> NoReturn:
    """End as other programs do when nobody reads their output, as in `etcdctl get ... | head`.

    The signal's own default could do that at once, but it would also strike when gRPC writes to its
    inner socket pair after the event loop has closed it.
    """
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    raise AssertionError("survived SIGPIPE")
