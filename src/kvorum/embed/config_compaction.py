"""`--auto-compaction-mode` and `--auto-compaction-retention`: how much history is kept.

The retention is a string. A whole number counts hours, or revisions in revision mode; anything else
is a duration. In revision mode etcd takes a duration for as many revisions as it has nanoseconds;
so do we, and such a member compacts practically never.

Source: 3.5.1, run with each of the values of tests/unit/embed/test_config_compaction.py; the text
for a mode left empty is that of 3.6 where 3.5.1 takes it for "off". Where stock runs wild (negative
retentions, periods too short to be cut in ten) the value is refused.
"""

from __future__ import annotations

import re
from typing import Final

from kvorum.embed.config_values import NS_PER_S, parse_duration_ns
from kvorum.errors import ConfigError
from kvorum.server.compactors import PERIODIC, REVISION, Retention

MODES: Final = (PERIODIC, REVISION)
PERIOD_NS_MIN: Final = NS_PER_S // 100
_NS_PER_HOUR: Final = 3600 * NS_PER_S
_INT64_MAX: Final = 2**63 - 1
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+", re.ASCII)


def parse_retention(mode: str, text: str) -> Retention | None:
    """How much history is kept; None: all of it.

    Raises:
        ConfigError: with etcd's text where etcd refuses it too.
    """
    if mode and mode not in MODES:
        raise ConfigError(f'unknown auto-compaction-mode "{mode}"')
    count = _whole_number(text)
    if count is None:
        amount = _duration_ns(text)
        if amount and not mode:
            raise ConfigError("unsupported compaction mode ")
    else:
        amount = count if mode == REVISION else count * _NS_PER_HOUR
        if amount and not mode:
            raise ConfigError("--auto-compaction-mode is undefined")
    if amount == 0:
        return None
    if not 0 < amount <= _INT64_MAX:
        raise ConfigError(
            f"--auto-compaction-retention must be from 0 to 292 years (set to {text})"
        )
    if mode == PERIODIC and amount < PERIOD_NS_MIN:
        raise ConfigError(f"--auto-compaction-retention must be at least 10ms (set to {text})")
    return Retention(mode, amount)


def _whole_number(text: str) -> int | None:
    """As Go's Atoi reads it, where it is not negative and fits."""
    if not _WHOLE_NUMBER.fullmatch(text):
        return None
    number = int(text) if len(text) < 32 else _INT64_MAX + 1
    return number if 0 <= number <= _INT64_MAX else None


def _duration_ns(text: str) -> int:
    if not text:
        return 0  # as the variable or the flag without a value: the default
    try:
        return parse_duration_ns(text)
    except ConfigError as error:
        raise ConfigError(f"error parsing CompactionRetention: {error}") from None
