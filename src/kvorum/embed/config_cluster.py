"""The founding members that a configuration names: what a member without data starts from.

Looked at only when the data directory holds no member yet; a member that exists takes its
identity and its cluster from its own log, whatever the flags say, as etcd does.

Source: etcd server/config (VerifyBootstrap), server/embed; texts checked against 3.5.1.
"""

from __future__ import annotations

from kvorum.cluster.bootstrap import Bootstrap, bootstrap
from kvorum.cluster.founding import (
    Founders,
    Resolve,
    check_advertised,
    check_distinct,
    check_named,
)
from kvorum.cluster.member import Member
from kvorum.cluster.urls import parse_initial_cluster
from kvorum.embed.config import Config
from kvorum.errors import ConfigError
from kvorum.server.resolving import resolve


def founding_cluster(
    config: Config, resolve: Resolve = resolve, *, named: Founders | None = None, token: str = ""
) -> tuple[Bootstrap, Member]:
    """The cluster to found, and which of its members we are.

    Args:
        config: the member's.
        resolve: how host names become addresses.
        named: the founding members, if they are known otherwise than from `--initial-cluster`.
        token: likewise.

    Raises:
        ConfigError: the cluster is named wrongly, or does not hold us.
    """
    named = initial_cluster(config) if named is None else named
    check_named(named, config.name)
    check_advertised(named, config.name, config.initial_advertise_peer_urls, resolve)
    check_distinct(named)
    founded = bootstrap(named, token or config.initial_cluster_token)
    return founded, founded.member_named(config.name)


def initial_cluster(config: Config) -> dict[str, tuple[str, ...]]:
    """Peer URLs by name, as `--initial-cluster` has them.

    Raises:
        ConfigError: it cannot be read.
    """
    if not config.initial_cluster:
        return {config.name: config.initial_advertise_peer_urls}
    try:
        return parse_initial_cluster(config.initial_cluster)
    except ConfigError as error:
        raise ConfigError(f"error setting up initial cluster: {error}") from None
