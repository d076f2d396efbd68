"""The founding members by DNS SRV records (`--discovery-srv`).

Records name places, not members. A member knows itself by its advertised peer URLs, which must
resolve to the same address as one of the records; all others get numbers for names until they
publish themselves. The member ids are made of the URLs as the records have them.

Source: etcd client/pkg/srv (GetCluster), server/embed; texts checked against 3.5.1.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from kvorum.client.srv import LookupFailedError, Target, lookup, service_name, url_of
from kvorum.cluster.founding import Founders, Resolve
from kvorum.cluster.urls import parse_initial_cluster, split_url
from kvorum.embed.config import Config
from kvorum.errors import ConfigError
from kvorum.server.log import Logger
from kvorum.server.resolving import resolve

SERVICES = (("etcd-server-ssl", "https"), ("etcd-server", "http"))

LookupService = Callable[[str, str], list[Target]]


def srv_cluster(
    config: Config,
    log: Logger,
    *,
    lookup: LookupService = lookup,
    resolve: Resolve = resolve,
) -> Founders:
    """Peer URLs by name. Blocks while names are looked up.

    Raises:
        ConfigError: there are no records, or this member is in none of them.
    """
    own = _own_addresses(config, resolve)
    numbers = count()
    parts: list[str] = []
    problems: list[str] = []
    for service, scheme in SERVICES:
        name = service_name(service, config.discovery_srv_name)
        try:
            targets = lookup(name, config.discovery_srv)
        except LookupFailedError as error:
            problems.append(f"error querying DNS SRV records for _{name} {error}")
            continue
        for target in targets:
            try:
                address = resolve(target.host, target.port)
            except OSError as error:
                problems.append(f"{target.host}: {error}")
                continue
            expected = own.get(address)
            url = url_of(scheme, target)
            if expected is not None and split_url(expected).scheme != scheme:
                problems.append(
                    f"bootstrap at {target.host}:{target.port} from DNS for {service} has scheme "
                    f"mismatch with expected peer {expected}"
                )
                continue
            parts.append(f"{config.name if expected else next(numbers)}={url}")
        log.info("get cluster for etcd-server SRV", service_scheme=scheme, nodes=list(parts))
    for problem in problems:
        log.warn("failed to resolve during SRV discovery", error=problem)
    if not parts:
        raise ConfigError(f"error setting up initial cluster: {'; '.join(problems)}")
    named = parse_initial_cluster(",".join(parts))
    if config.name not in named:
        raise ConfigError(
            "error setting up initial cluster: cannot find local etcd member "
            f'"{config.name}" in SRV records'
        )
    return named


def _own_addresses(config: Config, resolve: Resolve) -> dict[str, str]:
    """Advertised peer URLs by what they resolve to."""
    found = {}
    for text in config.initial_advertise_peer_urls:
        url = split_url(text)
        try:
            found[resolve(url.host, url.port)] = text
        except OSError as error:
            raise ConfigError(f"error setting up initial cluster: {text}: {error}") from None
    return found
