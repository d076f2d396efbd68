"""What a watch command line asks for: keys, and a command to run.

Source: etcdctl's parseWatchArgs and getWatchChan, as seen from their results.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from kvorum.cli.shared.exits import bad_args
from kvorum.cli.shared.goquote import quote, to_bytes
from kvorum.cli.shared.pflag import FlagSet
from kvorum.client.ranges import prefix_range

KEY_VARIABLE = "ETCDCTL_WATCH_KEY"
RANGE_END_VARIABLE = "ETCDCTL_WATCH_RANGE_END"
WATCH_VARIABLES = frozenset({KEY_VARIABLE, RANGE_END_VARIABLE})

KEY_AND_END = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchArguments:
    """A watch as it was asked for. `command` is empty when there is none to run."""

    words: tuple[str, ...]
    command: tuple[str, ...]
    prefix: bool
    prev_kv: bool
    progress_notify: bool
    revision: int

    @property
    def problem(self) -> str:
        """Why it cannot be watched; empty when it can."""
        if not self.words:
            return "bad number of arguments"
        if len(self.words) == KEY_AND_END and self.prefix:
            return "`range_end` and `--prefix` are mutually exclusive"
        return ""

    def key_range(self) -> tuple[bytes, bytes]:
        """Key and range_end."""
        key = to_bytes(self.words[0])
        if self.prefix:
            return prefix_range(key)
        # Stock passes over the range_end when there are more words than two.
        return key, to_bytes(self.words[1]) if len(self.words) == KEY_AND_END else b""


def watch_arguments(flag_set: FlagSet) -> WatchArguments:
    """Read the arguments of a watch, and the variables that may stand for them.

    Raises:
        CommandError: they contradict each other.
    """
    words, command = flag_set.arguments, []
    if flag_set.arguments_count_at_dash is not None:
        command = words[flag_set.arguments_count_at_dash :]
        words = words[: flag_set.arguments_count_at_dash]
        if not command:
            raise bad_args("bad number of arguments (found separator --, but no commands)")
    key = os.environ.get(KEY_VARIABLE, "")
    range_end = os.environ.get(RANGE_END_VARIABLE, "")
    if range_end and not key:
        raise bad_args(f"{KEY_VARIABLE} is empty but got {RANGE_END_VARIABLE}={quote(range_end)}")
    if key:
        if words:
            raise bad_args("bad number of arguments (found conflicting environment key)")
        words = [key, range_end] if range_end else [key]
    values = flag_set.values
    return WatchArguments(
        words=tuple(words),
        command=tuple(command),
        prefix=values["prefix"],
        prev_kv=values["prev-kv"],
        progress_notify=values["progress-notify"],
        revision=values["rev"],
    )
