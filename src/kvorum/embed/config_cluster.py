"""The founding members that a configuration names: what a member without data starts from.

Looked at only when the data directory holds no member yet; a member that exists takes its
identity and its cluster from its own log, whatever the flags say, as etcd does.

Source: etcd server/config (VerifyBootstrap), server/embed; texts checked against 3.5.1.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable

from kvorum.cluster.bootstrap import Bootstrap, bootstrap
from kvorum.cluster.member import Member
from kvorum.cluster.urls import (
    format_initial_cluster,
    join_host_port,
    parse_initial_cluster,
    parse_url,
)
from kvorum.embed.config import Config
from kvorum.embed.config_check import not_supported
from kvorum.errors import ConfigError

Resolve = Callable[[str, int], str]


def resolve(host: str, port: int) -> str:
    """`host:port` as an address.

    Raises:
        OSError: the name is not known.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return join_host_port(str(found[0][4][0]), port)


def founding_cluster(config: Config, resolve: Resolve = resolve) -> tuple[Bootstrap, Member]:
    """The cluster to found, and which of its members we are.

    Raises:
        ConfigError: the cluster is named wrongly, does not hold us, exists already elsewhere, or
            has more members than this version of Kvorum can start.
    """
    named = _initial_cluster(config)
    if config.name not in named:
        raise ConfigError(
            f'couldn\'t find local name "{config.name}" in the initial cluster configuration'
        )
    if config.initial_cluster_state == "existing":
        raise ConfigError(
            "cannot fetch cluster info from peer urls: could not retrieve cluster information "
            "from the given URLs"
        )
    urls = [url for given in named.values() for url in given]
    if len(set(urls)) != len(urls):
        raise ConfigError(f"initial cluster {format_initial_cluster(named)} has duplicate url")
    _check_advertised(config, named[config.name], resolve)
    if len(named) > 1:
        raise not_supported("--initial-cluster with more than one member")
    founded = bootstrap(named, config.initial_cluster_token)
    return founded, founded.member_named(config.name)


def _initial_cluster(config: Config) -> dict[str, tuple[str, ...]]:
    if not config.initial_cluster:
        return {config.name: config.initial_advertise_peer_urls}
    try:
        return parse_initial_cluster(config.initial_cluster)
    except ConfigError as error:
        raise ConfigError(f"error setting up initial cluster: {error}") from None


def _check_advertised(config: Config, named: tuple[str, ...], resolve: Resolve) -> None:
    """The member must be known to others by the URLs that it tells them itself."""
    advertised = config.initial_advertise_peer_urls
    reason = _difference(advertised, named, resolve)
    if not reason:
        return
    told = ",".join(advertised)
    if unknown := [url for url in named if url not in advertised]:
        missing = format_initial_cluster({config.name: unknown})
        raise ConfigError(
            f"--initial-cluster has {missing} but missing from "
            f"--initial-advertise-peer-urls={told} ({reason})"
        )
    own = format_initial_cluster({config.name: advertised})
    if unnamed := [url for url in advertised if url not in named]:
        raise ConfigError(
            f"--initial-advertise-peer-urls has {','.join(unnamed)} but missing from "
            f"--initial-cluster={own}"
        )
    raise ConfigError(f"failed to resolve {told} to match --initial-cluster={own} ({reason})")


def _difference(ours: tuple[str, ...], theirs: tuple[str, ...], resolve: Resolve) -> str:
    """Why two URL lists do not stand for the same addresses; empty when they do."""
    if len(ours) != len(theirs):
        return f"len({_list(ours)}) != len({_list(theirs)})"
    if ours == theirs:
        return ""
    try:
        pairs = zip(_resolved(ours, resolve), _resolved(theirs, resolve), strict=True)
    except OSError as error:
        return str(error)
    for (a, a_text), (b, b_text) in pairs:
        if a != b:
            return f'"{a}"(resolved from "{a_text}") != "{b}"(resolved from "{b_text}")'
    return ""


def _resolved(urls: Iterable[str], resolve: Resolve) -> list[tuple[str, str]]:
    """Each URL with its host resolved, sorted, beside its text. `localhost` stays as it is."""
    found = []
    for text in urls:
        url = parse_url(text)
        if url.is_unix or url.host == "localhost":
            found.append((text, text))
        else:
            found.append((f"{url.scheme}://{resolve(url.host, url.port)}", text))
    return sorted(found)


def _list(urls: Iterable[str]) -> str:
    return "[" + " ".join(f'"{url}"' for url in urls) + "]"
