"""The range of keys that a command's arguments and --prefix or --from-key name."""

from __future__ import annotations

from collections.abc import Sequence

from kvorum.cli.shared.exits import bad_args
from kvorum.cli.shared.goquote import to_bytes
from kvorum.client.ranges import from_key_range, prefix_range


def key_range(words: Sequence[str], *, prefix: bool, from_key: bool) -> tuple[bytes, bytes]:
    """Key and range_end; `words` has a first one.

    Raises:
        CommandError: both an end and a flag that stands for one.
    """
    key = to_bytes(words[0])
    if len(words) > 1:
        if prefix or from_key:
            raise bad_args(
                "too many arguments, only accept one argument when "
                "`--prefix` or `--from-key` is set"
            )
        return key, to_bytes(words[1])
    if prefix:
        return prefix_range(key)
    return from_key_range(key) if from_key else (key, b"")
