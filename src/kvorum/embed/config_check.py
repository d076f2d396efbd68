"""What a configuration may not be, in etcd's order and words.

Source: shared facts, flags.md section 4; order and texts checked against 3.5.1.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kvorum.cluster.urls import parse_url
from kvorum.embed.logging import check_log_settings
from kvorum.errors import ConfigError
from kvorum.proto.versions import server_version

if TYPE_CHECKING:
    from kvorum.embed.config import Config

ELECTION_TIMEOUT_MS_MAX = 50_000
ELECTION_TO_HEARTBEAT_MIN = 5
CLUSTER_STATES = ("new", "existing")

_NOT_NEGATIVE = (
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
    _check_hosts(config.initial_advertise_peer_urls, "--initial-advertise-peer-urls")
    _check_hosts(config.advertise_client_urls, "--advertise-client-urls")
    _check_ticks(config)
    if config.initial_cluster_state not in CLUSTER_STATES:
        raise ConfigError(f'unexpected clusterState "{config.initial_cluster_state}"')
    if config.lease_checkpoint_persist and not config.lease_checkpoint:
        raise ConfigError(
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate "
            "LeaseCheckpoint"
        )
    server_version(config.emulated_version)
    for name in _NOT_NEGATIVE:
        if getattr(config, name) < 0:
            flag = name.removesuffix("_s").replace("_", "-")
            raise ConfigError(f"--{flag} must not be negative")


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
