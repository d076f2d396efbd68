"""How a command ends: exit codes, and the error that carries one.

Source: shared facts, flags.md section 7.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of etcdctl and etcdutl."""

    SUCCESS = 0
    ERROR = 1
    BAD_CONNECTION = 2
    INVALID_INPUT = 3  # a line typed into txn or watch
    BAD_FEATURE = 4
    INTERRUPTED = 5
    IO = 6
    BAD_ARGS = 128


class CommandError(Exception):
    """A command ends with `code`, and `Error: <text>` on standard error unless text is None."""

    def __init__(self, code: Exit, text: str | None) -> None:
        super().__init__(text or "")
        self.code, self.text = code, text


def bad_args(text: str) -> CommandError:
    """The arguments of a command are not what it needs."""
    return CommandError(Exit.BAD_ARGS, text)
