"""One flag of the server: its name, type and default, and how its value is read.

`config_table` holds the flags that are supported, `config_table_later` the others.

Source: shared facts, flags.md section 1; texts of refused values checked against 3.5.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from kvorum.cluster.urls import parse_urls
from kvorum.embed.config_check import not_supported
from kvorum.embed.config_gates import parse_gates
from kvorum.embed.config_values import (
    NS_PER_S,
    PARSE_ERROR,
    RANGE_ERROR,
    parse_bool,
    parse_duration_ns,
    parse_int,
    parse_uint,
)
from kvorum.errors import ConfigError
from kvorum.proto.versions import Version


class Kind(Enum):
    """Type of a flag; the value is the Go type that a wrong type in the file is told by."""

    STRING = "string"
    BOOL = "bool"
    UINT = "uint"
    UINT64 = "uint64"
    UINT32 = "uint32"
    INT = "int"
    INT64 = "int64"
    FLAG_DURATION = "time.Duration"
    URLS = "comma-joined URLs"
    OPTIONAL_URLS = "comma-joined URLs, or nothing"
    STRINGS = "[]string"
    ENDPOINTS = "comma-joined endpoints"
    CHOICE = "one of a few strings"
    GATES = "feature gates"
    ORIGINS = "comma-joined URLs, or *"
    HOSTS = "comma-joined host names, or *"

    @property
    def go_type(self) -> str:
        """As Go's JSON decoder names the type of the field."""
        return "string" if self in _STRING_KINDS else self.value


_STRING_KINDS = {
    Kind.ENDPOINTS,
    Kind.URLS,
    Kind.OPTIONAL_URLS,
    Kind.CHOICE,
    Kind.GATES,
    Kind.ORIGINS,
    Kind.HOSTS,
}


class Section(Enum):
    """Headings of `--help`, in etcd's order."""

    MEMBER = "Member"
    CLUSTERING = "Clustering"
    SECURITY = "Security"
    AUTH = "Auth"
    PROFILING = "Profiling and Monitoring"
    LOGGING = "Logging"
    TRACING = "Distributed tracing"
    FEATURES = "Features"
    UNSAFE = "Unsafe feature"
    KVORUM = "Kvorum"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag."""

    name: str
    kind: Kind
    default: str
    """As it would be given; the value that is taken even when the flag is not supported."""
    section: Section
    help: str = ""
    field: str = ""
    """Of `Config`; empty: not supported."""
    older_defaults: tuple[tuple[Version, str], ...] = ()
    """Of members that present themselves as older than a version; the oldest version first."""
    choices: tuple[str, ...] = ()
    inert: tuple[str, ...] = ()
    """Other values that are taken though the flag is not supported."""
    refusal: str = ""
    """Text for other values, with `{}` for the value; empty: the usual one."""
    refusals: tuple[tuple[str, str], ...] = ()
    """Values with a text of their own."""
    replaced_by: str = ""
    """The flag that this old name stands for."""
    gate: str = ""
    """The feature gate that this old flag stands for."""

    @property
    def variable(self) -> str:
        """The environment variable of the flag."""
        return "ETCD_" + self.name.upper().replace("-", "_")

    @property
    def is_old_name(self) -> bool:
        """Left out of `--help`."""
        return bool(self.replaced_by or self.gate)

    @property
    def supported(self) -> bool:
        """Whether values other than the default are taken."""
        return bool(self.field or self.gate)

    def check_supported(self, value: Any, shown: str) -> None:
        """Refuse a parsed value of a flag that is not supported, unless it changes nothing.

        Args:
            value: what `parse` made of it, or what the file holds.
            shown: the value as given, for the text.

        Raises:
            ConfigError
        """
        if self.supported or any(value == self.parse(text) for text in (self.default, *self.inert)):
            return
        if self.refusal:
            raise ConfigError(dict(self.refusals).get(shown) or self.refusal.format(shown))
        raise not_supported(f"--{self.name}")

    def parse(self, text: str) -> Any:
        """The value that `Config` gets: durations in seconds, lists as tuples.

        Raises:
            ConfigError: the reason alone, as it stands behind the colon of etcd's text.
        """
        if self.kind is Kind.CHOICE:
            if text not in self.choices:
                raise ConfigError(f'invalid value "{text}"')
            return text
        return _PARSERS[self.kind](text)


def parse_strings(text: str) -> tuple[str, ...]:
    """A comma-separated list, sorted, each once."""
    return tuple(sorted(set(text.split(","))))


def parse_origins(text: str) -> tuple[str, ...]:
    """`*`, or a comma-separated list of URLs with host and port.

    Raises:
        ConfigError: with etcd's text, about the first bad one.
    """
    return ("*",) if text == "*" else parse_urls(text)


def _duration_s(text: str) -> float:
    try:
        return parse_duration_ns(text) / NS_PER_S
    except ConfigError:
        raise ConfigError(PARSE_ERROR) from None


def _uint32(text: str) -> int:
    """Of a type that is etcd's own, not package flag's: the error is strconv's."""
    try:
        return parse_uint(text, 32)
    except ConfigError as error:
        reason = "invalid syntax" if str(error) == PARSE_ERROR else RANGE_ERROR
        raise ConfigError(f'strconv.ParseUint: parsing "{text}": {reason}') from None


_PARSERS: dict[Kind, Callable[[str], Any]] = {
    Kind.STRING: str,
    Kind.BOOL: parse_bool,
    Kind.UINT: parse_uint,
    Kind.UINT64: parse_uint,
    Kind.UINT32: _uint32,
    Kind.INT: parse_int,
    Kind.INT64: parse_int,
    Kind.FLAG_DURATION: _duration_s,
    Kind.URLS: parse_urls,
    Kind.OPTIONAL_URLS: lambda text: parse_urls(text) if text else (),
    Kind.STRINGS: parse_strings,
    Kind.ENDPOINTS: lambda text: parse_strings(text) if text else (),
    Kind.GATES: parse_gates,
    Kind.ORIGINS: parse_origins,
    Kind.HOSTS: parse_strings,
}
