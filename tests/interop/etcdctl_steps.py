"""Steps and scripts: what the tables of etcdctl command lines are made of.

A script is a list of steps on a fresh server; a step is one run of etcdctl. Nothing here says what
the right answer is: two runs of a script are compared with each other (`etcdctl_runner`).

In a command line `{ep}` is the server's address, `{dead}` an address where nobody listens, and
`{name}` what an earlier step saved under that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DEAD_ENDPOINT = "127.0.0.1:1"
"""Port 1 is privileged and unassigned: connections to it are refused at once."""

LEASE = r"lease ([0-9a-f]{16})"


@dataclass(frozen=True, slots=True)
class Step:
    """One run of etcdctl."""

    line: str
    stdin: bytes | None = None
    """None: the input is empty. Sent at once, except with `until`."""
    env: Mapping[str, str] = field(default_factory=dict)
    save: tuple[str, str] | None = None
    """Name, and a pattern for the output whose group is what to save."""
    until: bytes | None = None
    """Wait until this is in the output, then send SIGINT. (The input stays open.)"""
    talk: tuple[tuple[bytes, bytes], ...] = ()
    """With the input open: wait until the first is in the output (either of them), send the second;
    then the next pair. After the last one the input is closed, unless there is `until`."""
    usage: bool = False
    """The output holds a usage text, which differs in wording."""
    any_order: bool = False
    """Lines of the output may come in any order."""
    modern: bool = False
    """Not for clients before 3.5."""


@dataclass(frozen=True, slots=True)
class Script:
    """Steps that build on each other, on a server of their own."""

    name: str
    steps: tuple[Step, ...]
    server_flags: tuple[str, ...] = ()


def lines(*texts: str) -> tuple[Step, ...]:
    return tuple(Step(text) for text in texts)


FORMATS = ("simple", "json", "fields", "protobuf", "table")


def in_all_formats(line: str) -> tuple[Step, ...]:
    return tuple(Step(f"{line} -w {form}") for form in FORMATS)


SIX_KEYS = lines("put k1 v6", "put k2 v5", "put k3 v4", "put other v3", "put k1 again", "put z v1")
