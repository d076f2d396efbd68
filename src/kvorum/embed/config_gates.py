"""Feature gates: `--feature-gates=A=true,B=false`, and the older flag that each replaces.

Source: shared facts, flags.md section 1 (gates of 3.6, read from its source).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from kvorum.embed.config_values import parse_bool
from kvorum.errors import ConfigError
from kvorum.proto.versions import Version
from kvorum.server.options import Feature

if TYPE_CHECKING:
    from kvorum.embed.config import Config

ALPHA, BETA = "ALPHA", "BETA"
GATES_SINCE = Version(3, 6)
"""Members that present themselves as older know the gates of 3.6 all the same."""


class Gate(NamedTuple):
    """A gate that etcd knows.

    `field` of `Config`; empty: its default is how it is here, and `reason` says why not otherwise.
    """

    default: bool
    field: str = ""
    stage: str = ALPHA
    since: Version = GATES_SINCE
    reason: str = ""


ALL_OF_STAGE: Mapping[str, str] = {"AllAlpha": ALPHA, "AllBeta": BETA}
"""Gates that set all others of a stage which are not set themselves."""

GATES: Mapping[str, Gate] = {
    "CompactHashCheck": Gate(False, "compact_hash_check"),
    "FastLeaseKeepAlive": Gate(
        True, stage=BETA, since=Version(3, 7), reason="a lease is always renewed at once"
    ),
    "InitialCorruptCheck": Gate(False, "initial_corrupt_check"),
    "LeaseCheckpoint": Gate(False, "lease_checkpoint"),
    "LeaseCheckpointPersist": Gate(False, "lease_checkpoint_persist"),
    "PriorityRequest": Gate(
        False, since=Version(3, 7), reason="requests are applied in the order of the log"
    ),
    "SetMemberLocalAddr": Gate(False, "set_member_local_addr"),
    "StopGRPCServiceOnDefrag": Gate(False, "stop_grpc_service_on_defrag"),
    "TxnModeWriteWithSharedBuffer": Gate(
        True, stage=BETA, reason="a transaction has no buffer that could be shared or not"
    ),
}


def parse_gates(text: str) -> dict[str, bool]:
    """Read the flag's value.

    Raises:
        ConfigError: a gate that no version has, or that has no value.
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
        if name not in GATES and name not in ALL_OF_STAGE:
            raise ConfigError(f"unrecognized feature gate: {name}")
    return chosen


def gate_fields(chosen: Mapping[str, bool], version: Version) -> dict[str, bool]:
    """The fields of `Config` that gates set.

    Args:
        chosen: by name, as given.
        version: presented; gates that came later are not known.

    Raises:
        ConfigError: a gate is not known, or set to what cannot be here.
    """
    known = {name: gate for name, gate in GATES.items() if gate.since <= version}
    fields: dict[str, bool] = {}
    for name in chosen:
        if name not in known and name not in ALL_OF_STAGE:
            raise ConfigError(f"unrecognized feature gate: {name}")
    for name, gate in known.items():
        value = chosen.get(name)
        for every, stage in ALL_OF_STAGE.items():
            if value is None and every in chosen and stage == gate.stage:
                value = chosen[every]
        if value is None:
            continue
        if gate.field:
            fields[gate.field] = value
        elif value != gate.default:
            shown = str(value).lower()
            raise ConfigError(f"feature gate {name}={shown} has no effect here: {gate.reason}")
    return fields


def features(config: Config) -> tuple[Feature, ...]:
    """Every gate, and whether it is on, for the metrics."""
    every = [Feature(name, stage, False) for name, stage in ALL_OF_STAGE.items()]
    every += [
        Feature(name, gate.stage, getattr(config, gate.field) if gate.field else gate.default)
        for name, gate in GATES.items()
        if gate.since <= max(config.server_version, GATES_SINCE)
    ]
    return tuple(sorted(every))
