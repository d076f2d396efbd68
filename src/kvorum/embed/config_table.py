"""The server's flags, one row each: the one place that knows their names, types and defaults.

Command line, environment, configuration file and `--help` all read this table. A row with a
`field` sets that field of `Config`. A row without one is known from etcd and not supported yet: it
is taken with its default, or with another value that changes nothing (`inert`), and refused with
any other. `config_table_later` holds those.

Source: shared facts, flags.md section 1; types and texts of refused values checked against 3.5.1.
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
from kvorum.proto.versions import EMULATED_MINORS


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
    STRINGS = "[]string"
    CHOICE = "one of a few strings"
    GATES = "feature gates"

    @property
    def go_type(self) -> str:
        """As Go's JSON decoder names the type of the field."""
        return "string" if self in _STRING_KINDS else self.value


_STRING_KINDS = {Kind.URLS, Kind.CHOICE, Kind.GATES}


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
    choices: tuple[str, ...] = ()
    inert: tuple[str, ...] = ()
    """Other values that are taken though the flag is not supported."""
    refusal: str = ""
    """Text for other values, with `{}` for the value; empty: the usual one."""
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
            raise ConfigError(self.refusal.format(shown))
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
    Kind.STRINGS: parse_strings,
    Kind.GATES: parse_gates,
}


def _row(
    name: str, kind: Kind, default: str, section: Section, field: str, text: str, **more: Any
) -> Flag:
    return Flag(
        name=name, kind=kind, default=default, section=section, field=field, help=text, **more
    )


_S = Kind.STRING
_M, _C, _L, _F = Section.MEMBER, Section.CLUSTERING, Section.LOGGING, Section.FEATURES

SUPPORTED: tuple[Flag, ...] = (
    _row("name", _S, "default", _M, "name", "Name of this member, for people."),
    _row("data-dir", _S, "", _M, "data_dir", "Folder of all data; '<name>.etcd' when empty."),
    _row("wal-dir", _S, "", _M, "wal_dir", "Folder of the log alone, say on a faster disk."),
    _row(
        "snapshot-count",
        Kind.UINT64,
        "10000",
        _M,
        "snapshot_count",
        "Applied entries after which a snapshot is written and the log is cut.",
    ),
    _row(
        "snapshot-catchup-entries",
        Kind.UINT64,
        "5000",
        _M,
        "snapshot_catchup_entries",
        "Entries kept behind a snapshot, for followers that lag.",
    ),
    _row(
        "heartbeat-interval",
        Kind.UINT,
        "100",
        _M,
        "heartbeat_interval_ms",
        "Milliseconds between two heartbeats of a leader.",
    ),
    _row(
        "election-timeout",
        Kind.UINT,
        "1000",
        _M,
        "election_timeout_ms",
        "Milliseconds without a leader until a follower stands for election.",
    ),
    _row(
        "initial-election-tick-advance",
        Kind.BOOL,
        "true",
        _M,
        "initial_election_tick_advance",
        "Shorten the wait for the first election after the start.",
    ),
    _row(
        "listen-peer-urls",
        Kind.URLS,
        "http://localhost:2380",
        _M,
        "listen_peer_urls",
        "Comma-separated URLs to listen on for other members.",
    ),
    _row(
        "listen-client-urls",
        Kind.URLS,
        "http://localhost:2379",
        _M,
        "listen_client_urls",
        "Comma-separated URLs to listen on for clients.",
    ),
    _row("max-snapshots", Kind.UINT, "5", _M, "max_snapshots", "Snapshot files to keep; 0: all."),
    _row("max-wals", Kind.UINT, "5", _M, "max_wals", "Log segments to keep; 0: all."),
    _row(
        "quota-backend-bytes",
        Kind.INT64,
        "0",
        _M,
        "quota_backend_bytes",
        "Size of the database at which writes are refused; 0: 2 GiB, negative: none.",
    ),
    _row(
        "backend-batch-interval",
        Kind.FLAG_DURATION,
        "0s",
        _M,
        "backend_batch_interval_s",
        "Longest time between two commits of the database; 0: 100ms.",
    ),
    _row(
        "backend-batch-limit",
        Kind.INT,
        "0",
        _M,
        "backend_batch_limit",
        "Most changes in one commit of the database; 0: 10000.",
    ),
    _row("max-txn-ops", Kind.UINT, "128", _M, "max_txn_ops", "Most operations in a transaction."),
    _row(
        "max-request-bytes",
        Kind.UINT,
        "1572864",
        _M,
        "max_request_bytes",
        "Largest request in bytes.",
    ),
    _row(
        "max-concurrent-streams",
        Kind.UINT32,
        "4294967295",
        _M,
        "max_concurrent_streams",
        "Most calls at the same time on one connection.",
    ),
    _row(
        "grpc-keepalive-min-time",
        Kind.FLAG_DURATION,
        "5s",
        _M,
        "grpc_keepalive_min_time_s",
        "A client that pings more often than this is disconnected.",
    ),
    _row(
        "grpc-keepalive-interval",
        Kind.FLAG_DURATION,
        "2h",
        _M,
        "grpc_keepalive_interval_s",
        "Quiet time after which a client is pinged; 0: never.",
    ),
    _row(
        "grpc-keepalive-timeout",
        Kind.FLAG_DURATION,
        "20s",
        _M,
        "grpc_keepalive_timeout_s",
        "Time in which a pinged client must answer; 0: for ever.",
    ),
    _row(
        "initial-advertise-peer-urls",
        Kind.URLS,
        "http://localhost:2380",
        _C,
        "initial_advertise_peer_urls",
        "URLs by which other members reach this one.",
    ),
    _row(
        "initial-cluster",
        _S,
        "default=http://localhost:2380",
        _C,
        "initial_cluster",
        "Founding members as 'name=url,name=url' (this version: one member).",
    ),
    _row(
        "initial-cluster-state",
        Kind.CHOICE,
        "new",
        _C,
        "initial_cluster_state",
        "'new' to found a cluster, 'existing' to join one.",
        choices=("new", "existing"),
    ),
    _row(
        "initial-cluster-token",
        _S,
        "etcd-cluster",
        _C,
        "initial_cluster_token",
        "Goes into all ids, so that clusters founded alike stay apart.",
    ),
    _row(
        "advertise-client-urls",
        Kind.URLS,
        "http://localhost:2379",
        _C,
        "advertise_client_urls",
        "URLs by which clients reach this member.",
    ),
    _row(
        "pre-vote",
        Kind.BOOL,
        "true",
        _C,
        "pre_vote",
        "Ask whether an election can be won before starting one.",
    ),
    _row(
        "log-outputs",
        Kind.STRINGS,
        "default",
        _L,
        "log_outputs",
        "Comma-separated: 'stdout', 'stderr' or paths of files; 'default' is stderr.",
    ),
    _row(
        "log-level",
        _S,
        "info",
        _L,
        "log_level",
        "Least important lines to write: debug, info, warn, error, panic or fatal.",
    ),
    _row("log-format", _S, "json", _L, "log_format", "'json' or 'console'."),
    _row(
        "compaction-batch-limit",
        Kind.INT,
        "1000",
        _F,
        "compaction_batch_limit",
        "Most revisions that a compaction deletes at once.",
    ),
    _row(
        "compaction-sleep-interval",
        Kind.FLAG_DURATION,
        "10ms",
        _F,
        "compaction_sleep_interval_s",
        "Pause of a compaction between two batches.",
    ),
    _row(
        "watch-progress-notify-interval",
        Kind.FLAG_DURATION,
        "10m",
        _F,
        "watch_progress_notify_interval_s",
        "Time after which a quiet watcher that asked for it is told the revision.",
    ),
    _row(
        "feature-gates",
        Kind.GATES,
        "",
        _F,
        "feature_gates",
        "Comma-separated 'Gate=true'. Supported: LeaseCheckpoint, LeaseCheckpointPersist.",
    ),
    _row(
        "unsafe-no-fsync",
        Kind.BOOL,
        "false",
        Section.UNSAFE,
        "unsafe_no_fsync",
        "Do not wait for the disk: a crash of the machine loses acknowledged writes.",
    ),
    _row(
        "emulated-version",
        Kind.CHOICE,
        "3.6",
        Section.KVORUM,
        "emulated_version",
        f"Version of etcd to present and behave as: {', '.join(EMULATED_MINORS)}.",
        choices=EMULATED_MINORS,
    ),
)
