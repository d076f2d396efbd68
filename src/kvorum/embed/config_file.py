"""The configuration file: YAML, read by the rules and with the errors of Go's decoder.

etcd turns the YAML into JSON and decodes that into a struct. So a duration is a number of
nanoseconds, a list of URLs is one string, a quoted number is an error, keys match in any case, and
unknown keys are left alone.

Source: shared facts, flags.md section 2; texts checked against 3.5.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from kvorum.embed.config_check import not_supported
from kvorum.embed.config_file_discovery import discovery_section
from kvorum.embed.config_flag import Flag, Kind
from kvorum.embed.config_load import Given
from kvorum.embed.config_table_later import FLAGS
from kvorum.embed.config_values import NS_PER_S
from kvorum.errors import ConfigError

_STRUCT = "configYAML"
_SECTIONS = {
    "client-transport-security": "embed.securityConfig",
    "peer-transport-security": "embed.securityConfig",
}
"""Keys that hold a mapping; nothing in them is supported yet."""

_DISCOVERY = "discovery-config"

_SOCKET_OPTIONS = "socket-options"
_OTHER_KEYS = {"experimental-snapshot-catch-up-entries": "experimental-snapshot-catchup-entries"}
"""Keys that are not named as their flags."""
NO_KEYS = frozenset(
    {
        "client-cert-allowed-hostname",
        "client-crl-file",
        "discovery-cacert",
        "discovery-cert",
        "discovery-dial-timeout",
        "discovery-endpoints",
        "discovery-fallback",
        "discovery-insecure-skip-tls-verify",
        "discovery-insecure-transport",
        "discovery-keepalive-time",
        "discovery-keepalive-timeout",
        "discovery-key",
        "discovery-password",
        "discovery-request-timeout",
        "discovery-token",
        "discovery-user",
        "raft-read-timeout",
        "raft-write-timeout",
        "socket-reuse-address",
        "socket-reuse-port",
    }
)
"""Flags that a file cannot set, as in etcd: their names are unknown keys there."""

_BOUNDS = {
    Kind.UINT: (0, 2**64 - 1),
    Kind.UINT64: (0, 2**64 - 1),
    Kind.UINT32: (0, 2**32 - 1),
    Kind.INT: (-(2**63), 2**63 - 1),
    Kind.INT64: (-(2**63), 2**63 - 1),
    Kind.FLAG_DURATION: (-(2**63), 2**63 - 1),
}


class UrlsError(ConfigError):
    """A URL list of the file is bad; etcd writes this one to stderr without a log line."""


class FileSettings(NamedTuple):
    """What a file holds."""

    given: dict[str, Given]
    unknown: list[str]
    """Keys that nothing is known of."""


class _Loader(yaml.SafeLoader):
    """YAML as Go's decoder reads it: `1e3` is a number, a date is a string."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+"), list("-+0123456789")
)


def read_config_file(path: str) -> FileSettings:
    """Read a file.

    Raises:
        ConfigError: it cannot be read, is no YAML, or a value has the wrong type.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError("error converting YAML to JSON: yaml: invalid UTF-8") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"open {path}: {reason}") from None
    return _settings(_load(text))


def _load(text: str) -> Mapping[Any, Any]:
    try:
        document = yaml.load(text, _Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"error converting YAML to JSON: yaml: {_where(error)}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"error converting YAML to JSON: yaml: {error}") from None
    except RecursionError:
        raise ConfigError("error converting YAML to JSON: yaml: nested too deeply") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise _decode_error(document, f"value of type embed.{_STRUCT}")
    return document


def _where(error: yaml.MarkedYAMLError) -> str:
    """The problem and its line, counted as Go's decoder counts: none at all for the first."""
    for mark in (error.context_mark, error.problem_mark):
        if mark is not None and mark.line:
            line = mark.line + isinstance(error, yaml.scanner.ScannerError)
            return f"line {line}: {error.problem}"
    return str(error.problem)


def _settings(document: Mapping[Any, Any]) -> FileSettings:
    given: dict[str, Given] = {}
    unknown: list[str] = []
    for key, value in document.items():
        name = str(key).lower()
        name = _OTHER_KEYS.get(name, name)
        if name == _SOCKET_OPTIONS:
            given.update(_socket_options(value))
        elif name in _SECTIONS:
            _check_section(name, value)
        elif name == _DISCOVERY:
            for flag, item in discovery_section(value, _decode_error):
                given[flag] = Given(_decode(FLAGS[flag], item), str(item))
                FLAGS[flag].check_supported(given[flag].value, str(item))
        elif name not in FLAGS or name in NO_KEYS:
            unknown.append(str(key))
        elif value is not None:
            given[name] = Given(_decode(FLAGS[name], value), str(value))
    return FileSettings(given, unknown)


def _socket_options(value: Any) -> dict[str, Given]:
    """The flags that the mapping `socket-options` sets."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        where = f"struct field {_STRUCT}.{_SOCKET_OPTIONS} of type transport.SocketOpts"
        raise _decode_error(value, where)
    given = {}
    for key, item in value.items():
        option = str(key).lower()
        name = f"socket-{option}"
        if name not in FLAGS or item is None:
            continue
        field = f"struct field SocketOpts.{_SOCKET_OPTIONS}.{option} of type bool"
        given[name] = Given(_decode_bool(FLAGS[name], item, field), str(item).lower())
    return given


def _check_section(name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, dict):
        raise _decode_error(value, f"struct field {_STRUCT}.{name} of type {_SECTIONS[name]}")
    for key, item in value.items():
        if item:  # false, "" and empty lists are the defaults
            raise not_supported(f"{name}: {key}")


def _decode(flag: Flag, value: Any) -> Any:
    """The value of a flag as `Flag.parse` would have made it."""
    field = f"struct field {_STRUCT}.{flag.name} of type {flag.kind.go_type}"
    return _DECODERS.get(flag.kind, _decode_string)(flag, value, field)


def _decode_string(flag: Flag, value: Any, field: str) -> Any:
    if not isinstance(value, str):
        raise _decode_error(value, field)
    if flag.kind in {Kind.URLS, Kind.OPTIONAL_URLS}:
        return _decode_urls(flag, value)
    if flag.kind in {Kind.ORIGINS, Kind.HOSTS}:
        return flag.parse(value or flag.default)
    if flag.name == "initial-cluster-state" and value not in flag.choices:
        raise ConfigError(f'unexpected clusterState "{value}"')
    return flag.parse(value)


def _decode_urls(flag: Flag, value: str) -> Any:
    try:
        return flag.parse(value or flag.default)
    except ConfigError as error:
        raise UrlsError(f"unexpected error setting up {flag.name}: {error}") from None


def _decode_strings(flag: Flag, value: Any, field: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _decode_error(value, field)
    for item in value:
        if not isinstance(item, str):
            raise _decode_error(item, field.replace("[]string", "string"))
    return tuple(value) if value else tuple(flag.parse(flag.default))


def _decode_bool(_: Flag, value: Any, field: str) -> bool:
    if not isinstance(value, bool):
        raise _decode_error(value, field)
    return value


def _decode_number(flag: Flag, value: Any, field: str) -> int | float:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    low, high = _BOUNDS[flag.kind]
    if type(value) in {int, float} and not (isinstance(value, int) and low <= value <= high):
        raise _decode_error(value, field, f"number {value}")
    if type(value) is not int:
        raise _decode_error(value, field)
    return value / NS_PER_S if flag.kind is Kind.FLAG_DURATION else value


_DECODERS: dict[Kind, Callable[[Flag, Any, str], Any]] = {
    Kind.BOOL: _decode_bool,
    Kind.STRINGS: _decode_strings,
    Kind.ENDPOINTS: _decode_strings,
    **dict.fromkeys(_BOUNDS, _decode_number),
}


def _decode_error(value: Any, where: str, shown: str = "") -> ConfigError:
    return ConfigError(
        "error unmarshaling JSON: while decoding JSON: "
        f"json: cannot unmarshal {shown or _json_kind(value)} into Go {where}"
    )


def _json_kind(value: Any) -> str:
    """What Go's decoder calls a value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "string"
