"""What goes to standard output and standard error: bytes, at once.

Values of keys are bytes and are written as they are. Nothing is kept back: a watch may run for days
before its next event, and the process may end by a signal.
"""

from __future__ import annotations

import sys

from kvorum.cli.etcdctl.goquote import to_bytes


def write(data: bytes) -> None:
    """Write bytes to standard output."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def write_text(text: str) -> None:
    """Write text to standard output."""
    write(to_bytes(text))


def write_error(text: str) -> None:
    """Write text to standard error."""
    sys.stderr.buffer.write(to_bytes(text))
    sys.stderr.buffer.flush()
