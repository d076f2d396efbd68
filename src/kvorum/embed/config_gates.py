"""Feature gates: `--feature-gates=A=true,B=false`, and the older flag that each replaces.

Source: shared facts, flags.md section 1 (gates of 3.6, read from its source).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kvorum.embed.config_check import not_supported
from kvorum.embed.config_values import parse_bool
from kvorum.errors import ConfigError


class Gate(NamedTuple):
    """A gate that etcd 3.6 knows. `field` of `Config`; empty: not supported yet."""

    default: bool
    field: str = ""


GATES: Mapping[str, Gate] = {
    "AllAlpha": Gate(False),
    "AllBeta": Gate(False),
    "CompactHashCheck": Gate(False),
    "InitialCorruptCheck": Gate(False),
    "LeaseCheckpoint": Gate(False, "lease_checkpoint"),
    "LeaseCheckpointPersist": Gate(False, "lease_checkpoint_persist"),
    "SetMemberLocalAddr": Gate(False),
    "StopGRPCServiceOnDefrag": Gate(False),
    "TxnModeWriteWithSharedBuffer": Gate(True),
}


def parse_gates(text: str) -> dict[str, bool]:
    """Read the flag's value.

    Raises:
        ConfigError: a gate that does not exist, has no value, or is not supported yet.
    """
    chosen: dict[str, bool] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise ConfigError(f"missing bool value for {name}")
        try:
            chosen[name] = parse_bool(value)
        except ConfigError:
            reason = f'strconv.ParseBool: parsing "{value}": invalid syntax'
            raise ConfigError(f"invalid value of {name}={value}, err: {reason}") from None
        check_gate(name, chosen[name])
    return chosen


def check_gate(name: str, value: bool) -> None:
    """Refuse an unknown gate, and a setting of one that is not supported yet.

    Raises:
        ConfigError
    """
    gate = GATES.get(name)
    if gate is None:
        raise ConfigError(f"unrecognized feature gate: {name}")
    if not gate.field and value != gate.default:
        raise not_supported(f"feature gate {name}")
