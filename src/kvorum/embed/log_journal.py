"""The journal of systemd as a place for a log (`--log-outputs=systemd/journal`).

Each line goes as one entry by the journal's own protocol, with etcd's fields: MESSAGE is the whole
line, PRIORITY follows the level, PACKAGE is the folder of the caller, SYSLOG_IDENTIFIER the name of
the program. A line that the journal does not take (it is too long, or nobody listens) goes to
stderr, as in etcd.

Source: systemd, "Native Journal Protocol"; etcd client/pkg/logutil; refusal checked against 3.5.1.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path
from typing import Final

from kvorum.errors import ConfigError
from kvorum.server.log import Event, Level

JOURNAL_SOCKET: Final = "/run/systemd/journal/socket"

_PRIORITIES: Final = {Level.DEBUG: 7, Level.INFO: 6, Level.WARN: 4, Level.ERROR: 3}
_CRITICAL: Final = 2


class Journal:
    """A connection to the journal.

    Raises (when made):
        ConfigError: there is none; the text is etcd's.
    """

    def __init__(self, path: str = JOURNAL_SOCKET) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            reason = os.strerror(error.errno or errno.ENOENT).lower()
            raise ConfigError(
                f"can't find journal (dial unixgram {path}: connect: {reason})"
            ) from None
        self._socket.setblocking(False)
        self._program = Path(sys.argv[0]).name.encode()

    def write(self, line: str, event: Event) -> None:
        """Send one line."""
        priority = _PRIORITIES.get(event.level, _CRITICAL)
        package = event.caller.rpartition("/")[0] or "."
        entry = b"PRIORITY=%d\nPACKAGE=%b\nSYSLOG_IDENTIFIER=%b\n" % (
            priority,
            package.encode(),
            self._program,
        )
        message = line.encode()
        # Of a value that may hold newlines the length is told, in eight bytes.
        entry += b"MESSAGE\n" + len(message).to_bytes(8, "little") + message + b"\n"
        try:
            self._socket.send(entry)
        except OSError:
            sys.stderr.write(line)
            sys.stderr.flush()

    def close(self) -> None:
        self._socket.close()
