"""From what was given, flag by flag, to a `Config`.

Command line and environment, or the file, have been read into `Given` values by now. Here old names
are brought to new ones, what is not supported is refused, and etcd's defaults are filled in, which
depend on each other: `--initial-cluster` follows the name, but only when the name was changed.

Source: shared facts, flags.md sections 1 and 2; checked against 3.5.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kvorum.embed.config import DEFAULT_NAME, Config
from kvorum.embed.config_flag import Flag
from kvorum.embed.config_gates import GATES_SINCE, gate_fields
from kvorum.embed.config_table import SUPPORTED
from kvorum.embed.config_table_later import FLAGS
from kvorum.errors import ConfigError
from kvorum.proto.versions import DEFAULT_SERVER_VERSION, Version, server_version

_GATES_FLAG = "feature-gates"
_VERSION_FLAG = "emulated-version"
_INITIAL_CLUSTER = "initial-cluster"
_NOBODY = ","
"""What an `--initial-cluster` that is given and empty stands for: to a `Config`, an empty one is
this member alone, and whoever forgot to fill in a variable does not want to found that."""
_BOOTSTRAP_FLAGS = (_INITIAL_CLUSTER, "discovery", "discovery-endpoints", "discovery-srv")


class Given(NamedTuple):
    """The value of one flag: parsed, and as it was written."""

    value: Any
    text: str


def assemble(given: Mapping[str, Given], *, from_file: bool = False) -> Config:
    """Build the configuration.

    Args:
        given: by flag name; only what was really given.
        from_file: etcd does not ask for `advertise-client-urls` beside `listen-client-urls` there.

    Raises:
        ConfigError: a value cannot be, is not supported, or contradicts another.
    """
    for name, one in given.items():
        FLAGS[name].check_supported(one.value, one.text)
    renamed = _with_new_names(given)
    _check_one_bootstrap(renamed)
    config = Config(**(_fields(renamed) | _gates(renamed)))
    listens = "listen-client-urls" in given and "advertise-client-urls" not in given
    if listens and not from_file:
        raise ConfigError(
            "--advertise-client-urls is required when --listen-client-urls is set explicitly"
        )
    return config


def _with_new_names(given: Mapping[str, Given]) -> dict[str, Given]:
    renamed = dict(given)
    for name in given:
        new = FLAGS[name].replaced_by
        if not new:
            continue
        if new in given:
            raise ConfigError(
                f"cannot set --{name} and --{new} at the same time, please use --{new} only"
            )
        renamed[new] = renamed.pop(name)
    return renamed


def _check_one_bootstrap(given: Mapping[str, Given]) -> None:
    if sum(bool(given[name].value) for name in _BOOTSTRAP_FLAGS if name in given) > 1:
        raise ConfigError(
            "multiple discovery or bootstrap flags are set. Choose one of "
            '"initial-cluster", "discovery", "discovery-endpoints" or "discovery-srv"'
        )


def _fields(given: Mapping[str, Given]) -> dict[str, Any]:
    fields = {flag.field: _value(flag, given) for flag in SUPPORTED if flag.name != _GATES_FLAG}
    renamed_member = fields["name"] != DEFAULT_NAME
    if renamed_member and fields["initial_cluster"] == FLAGS[_INITIAL_CLUSTER].default:
        fields["initial_cluster"] = ""  # follows the name and the advertised URLs
    elif not fields["initial_cluster"]:
        fields["initial_cluster"] = _NOBODY
    return fields


def _value(flag: Flag, given: Mapping[str, Given]) -> Any:
    if flag.name in given:
        return given[flag.name].value
    for version, default in flag.older_defaults:
        if _version(given) < version:
            return flag.parse(default)
    return flag.parse(flag.default)


def _version(given: Mapping[str, Given]) -> Version:
    """The version to present. It decides on some defaults."""
    if _VERSION_FLAG not in given:
        return DEFAULT_SERVER_VERSION
    return server_version(given[_VERSION_FLAG].value)


def _gates(given: Mapping[str, Given]) -> dict[str, bool]:
    chosen: dict[str, bool] = dict(given[_GATES_FLAG].value) if _GATES_FLAG in given else {}
    for name, one in given.items():
        gate = FLAGS[name].gate
        if not gate:
            continue
        if gate in chosen:
            new = f"--{_GATES_FLAG}={gate}={str(chosen[gate]).lower()}"
            raise ConfigError(
                f"cannot specify both flags: --{name}={one.text} and {new} at the same time, "
                f"please just use {new}"
            )
        chosen[gate] = one.value
    return gate_fields(chosen, max(_version(given), GATES_SINCE))
