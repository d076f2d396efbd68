"""What a configuration may not be, in etcd's order and words.

Source: shared facts, flags.md section 4; order and texts checked against 3.5.1.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kvorum.cluster.urls import parse_url
from kvorum.embed.config_compaction import parse_retention
from kvorum.embed.config_values import NS_PER_S
from kvorum.embed.logging import check_log_settings
from kvorum.errors import ConfigError
from kvorum.gotext import format_duration
from kvorum.proto.versions import server_version

if TYPE_CHECKING:
    from kvorum.embed.config import Config

ELECTION_TIMEOUT_MS_MAX = 50_000
ELECTION_TO_HEARTBEAT_MIN = 5
SAMPLING_RATE_MAX = 1_000_000
METRICS_LEVELS = ("basic", "extensive")
CLUSTER_STATES = ("new", "existing")

V2_REFUSE = "write-only"
V2_KEEP_ASIDE = "write-only-skip-check"
V2_PHASES = ("not-yet", V2_REFUSE, "write-only-drop-data", "gone", V2_KEEP_ASIDE)
_V2_REFUSED = {
    "not-yet": "version 2 of the API is not served",
    "write-only-drop-data": "version 2 data is not dropped; with write-only-skip-check it is kept "
    "in a file beside the database, which you can remove",
    "gone": "what older members need for going back is always written",
}
"""Phases of the retirement of version 2 that would do something else than is said on the label."""

_NOT_NEGATIVE = (
    "corrupt_check_time_s",
    "downgrade_check_time_s",
    "max_learners",
    "backend_batch_interval_s",
    "backend_batch_limit",
    "compaction_batch_limit",
    "compaction_sleep_interval_s",
    "grpc_keepalive_interval_s",
    "grpc_keepalive_min_time_s",
    "grpc_keepalive_timeout_s",
    "max_concurrent_streams",
    "max_request_bytes",
    "max_snapshots",
    "max_txn_ops",
    "max_wals",
    "snapshot_catchup_entries",
    "snapshot_count",
    "warning_apply_duration_s",
    "warning_unary_request_duration_s",
    "watch_progress_notify_interval_s",
)


def not_supported(what: str) -> ConfigError:
    """The refusal of something that etcd has and this version of Kvorum has not."""
    return ConfigError(f"{what} is not supported by this version of Kvorum")


def check(config: Config) -> None:
    """Check a configuration as a whole.

    Raises:
        ConfigError: about the first thing that is wrong.
    """
    check_log_settings(config)
    _check_bind(config.listen_peer_urls, "--listen-peer-urls")
    _check_bind(config.listen_client_urls, "--listen-client-urls")
    _check_bind(config.listen_client_http_urls, "--listen-client-http-urls")
    _check_bind(config.listen_metrics_urls, "--listen-metrics-urls")
    for url in config.listen_client_http_urls:
        if url in config.listen_client_urls and parse_url(url).port:
            raise ConfigError(
                "cannot bind both --listen-client-urls and --listen-client-http-urls on the same "
                f"url {url}"
            )
    if config.metrics not in METRICS_LEVELS:
        known = ", ".join(METRICS_LEVELS)
        raise ConfigError(f'unknown level of metrics "{config.metrics}" (known: {known})')
    _check_hosts(config.initial_advertise_peer_urls, "--initial-advertise-peer-urls")
    _check_hosts(config.advertise_client_urls, "--advertise-client-urls")
    _check_discovery(config)
    _check_ticks(config)
    if config.initial_cluster_state not in CLUSTER_STATES:
        raise ConfigError(f'unexpected clusterState "{config.initial_cluster_state}"')
    parse_retention(config.auto_compaction_mode, config.auto_compaction_retention)
    if config.enable_distributed_tracing:
        _check_sampling(config.distributed_tracing_sampling_rate)
    if config.lease_checkpoint_persist and not config.lease_checkpoint:
        raise ConfigError(
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate "
            "LeaseCheckpoint"
        )
    if config.compact_hash_check_time_s <= 0:
        shown = format_duration(round(config.compact_hash_check_time_s * NS_PER_S))
        raise ConfigError(f"--compact-hash-check-time must be >0 (set to {shown})")
    reason = _V2_REFUSED.get(config.v2_deprecation)
    if reason is not None:
        raise ConfigError(f"--v2-deprecation={config.v2_deprecation} is not supported: {reason}")
    server_version(config.emulated_version)
    for name in _NOT_NEGATIVE:
        if getattr(config, name) < 0:
            flag = name.removesuffix("_s").replace("_", "-")
            raise ConfigError(f"--{flag} must not be negative")


def _check_sampling(rate: int) -> None:
    problem = ""
    if rate < 0:
        problem = "tracing sampling rate must be positive"
    elif rate > SAMPLING_RATE_MAX:
        problem = f"tracing sampling rate must be less than {SAMPLING_RATE_MAX}"
    if problem:
        # The word is misspelt by etcd.
        raise ConfigError(f"distributed tracing configurition is not valid: ({problem})")


def _check_discovery(config: Config) -> None:
    """Source: etcd 3.6 server/embed (Validate), read."""
    if bool(config.discovery_endpoints) != bool(config.discovery_token):
        raise ConfigError("both --discovery-token and --discovery-endpoints must be set")
    if any(not endpoint.strip() for endpoint in config.discovery_endpoints):
        raise ConfigError("--discovery-endpoints must not contain empty endpoints")


def _check_ticks(config: Config) -> None:
    heartbeat, election = config.heartbeat_interval_ms, config.election_timeout_ms
    if heartbeat <= 0:
        raise ConfigError(f"--heartbeat-interval must be >0 (set to {heartbeat}ms)")
    if election <= 0:
        raise ConfigError(f"--election-timeout must be >0 (set to {election}ms)")
    if ELECTION_TO_HEARTBEAT_MIN * heartbeat > election:
        raise ConfigError(
            f"--election-timeout[{election}ms] should be at least as "
            f"{ELECTION_TO_HEARTBEAT_MIN} times as --heartbeat-interval[{heartbeat}ms]"
        )
    if election > ELECTION_TIMEOUT_MS_MAX:
        raise ConfigError(
            f"--election-timeout[{election}ms] is too long, and should be set less than "
            f"{ELECTION_TIMEOUT_MS_MAX}ms"
        )


def _check_bind(urls: Iterable[str], flag: str) -> None:
    """A name is not bound to: it may stand for several addresses, or for another one tomorrow."""
    for text in urls:
        url = parse_url(text)
        if url.secure or url.is_unix:
            raise not_supported(f"{flag} with scheme {url.scheme} ({text})")
        if url.host != "localhost" and not _is_ip(url.host):
            raise ConfigError(f"expected IP in URL for binding ({text})")


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _check_hosts(urls: tuple[str, ...], flag: str) -> None:
    for text in urls:
        url = parse_url(text)
        if not url.is_unix and not url.host:
            joined = ",".join(urls)
            raise ConfigError(
                f'{flag} "{joined}" must be "host:port" (unexpected empty host ({text}))'
            )
