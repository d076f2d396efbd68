"""What a member without data asks the others before it starts.

Two things: the founder of a new cluster, whether the cluster has not been founded long ago (its
data may have been lost); who joins, which cluster it is, and by which ids its members go.

Source: etcd server (bootstrap); shared facts, peer.md section 11.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from kvorum.cluster.bootstrap import Bootstrap, Joining
from kvorum.cluster.founding import Founders, check_distinct, check_named, difference
from kvorum.cluster.ids import bootstrap_member_id, hex_id
from kvorum.cluster.member import Member
from kvorum.embed.config import Config
from kvorum.embed.config_cluster import founding_cluster, initial_cluster
from kvorum.embed.discovery import discover_cluster
from kvorum.embed.discovery_srv import srv_cluster
from kvorum.embed.network import peer_requests
from kvorum.errors import ConfigError, DecodeError
from kvorum.peer.requests import PeerRequests
from kvorum.proto.versions import MIN_CLUSTER_VERSION, VERSION_NOT_DECIDED, parse_version
from kvorum.server.log import Logger
from kvorum.server.peer_ports import PeerError
from kvorum.server.resolving import resolve
from kvorum.wal import exists

Founding = Callable[[], tuple[Bootstrap, Member]]


async def find_founding(config: Config, log: Logger) -> Founding:
    """What the member starts from, should it have no data.

    Raises:
        ConfigError: the flags contradict each other, or the cluster as it is.
    """
    discovers = bool(config.discovery_endpoints or config.discovery_srv)
    if exists(config.wal_path):
        return _unfinished if discovers else lambda: founding_cluster(config)
    queries = peer_requests(config)
    joins = config.initial_cluster_state == "existing"
    if config.discovery_endpoints:
        if joins:
            raise ConfigError(
                "discovery URL should not be set when joining existing initial cluster"
            )
        discovered = await discover_cluster(config, log)
        founded, own = founding_cluster(config, named=discovered, token=config.discovery_token)
    else:
        named = await _named(config, log)
        if joins:
            joined = await _join(config, named, queries, log)
            return lambda: joined
        founded, own = founding_cluster(config, named=named)
    await _check_not_bootstrapped(founded, own, queries)
    return lambda: (founded, own)


def _unfinished() -> tuple[Bootstrap, Member]:
    """For data that holds no entry yet: what was discovered when it was made is forgotten."""
    raise ConfigError(
        "the first start of this member did not get as far as its log; remove its data directory "
        "and start it again"
    )


async def _named(config: Config, log: Logger) -> Founders:
    """The members that flags, or the DNS, name."""
    if config.discovery_srv:
        return await asyncio.to_thread(srv_cluster, config, log)
    return initial_cluster(config)


async def _check_not_bootstrapped(founded: Bootstrap, own: Member, queries: PeerRequests) -> None:
    """Refuse to found what others know as founded: this member has lost its data then."""
    for member in founded.members:
        if member.id == own.id:
            continue
        try:
            _, told = await queries.members(member.peer_urls)
        except PeerError:
            continue
        for record in told:
            if record.get("id") == own.id and record.get("clientURLs"):
                raise ConfigError(f"member {hex_id(own.id)} has already been bootstrapped")
        return


async def _join(
    config: Config, named: Founders, queries: PeerRequests, log: Logger
) -> tuple[Bootstrap, Member]:
    check_named(named, config.name)
    check_distinct(named)
    others = [url for name, urls in named.items() if name != config.name for url in urls]
    cluster_id, records = await _cluster_of(others, queries)
    try:
        members = [Member.from_record(record) for record in records]
    except DecodeError as error:
        raise ConfigError(f"cannot fetch cluster info from peer urls: {error}") from None
    _match(cluster_id, members, named, config.initial_cluster_token)
    by_urls = {frozenset(_resolved(member.peer_urls)): member for member in members}
    own = by_urls[frozenset(_resolved(named[config.name]))]
    # Not ourselves: our port is open already, and nobody answers there before we have started.
    await _check_version(config, [one for one in members if one is not own], queries, log)
    return Joining(cluster_id=cluster_id, members=tuple(members)), own


async def _cluster_of(
    urls: Sequence[str], queries: PeerRequests
) -> tuple[int, list[dict[str, Any]]]:
    for url in urls:
        try:
            return await queries.members([url])
        except PeerError:
            continue
    raise ConfigError(
        "cannot fetch cluster info from peer urls: could not retrieve cluster information "
        "from the given URLs"
    )


def _match(cluster_id: int, theirs: list[Member], named: Founders, token: str) -> None:
    """Refuse an `--initial-cluster` that is not the cluster."""
    told = " ".join(map(_printed, theirs))
    problem = ""
    if len(theirs) != len(named):
        problem = "member count is unequal"
    else:
        problem = _unmatched(theirs, named, token)
    if problem:
        raise ConfigError(
            f"error validating peerURLs {{ClusterID:{hex_id(cluster_id)} Members:[{told}] "
            f"RemovedMemberIDs:[]}}: {problem}; --initial-cluster must name exactly the members "
            "that `etcdctl member list` shows"
        )


def _unmatched(theirs: list[Member], named: Founders, token: str) -> str:
    """Which of the cluster's members is not named, and how it differs from the last that is."""
    ours = {frozenset(_resolved(urls)) for urls in named.values()}
    for member in sorted(theirs, key=lambda one: one.id):
        if frozenset(_resolved(member.peer_urls)) not in ours:
            by_id = {bootstrap_member_id(urls, token): urls for urls in named.values()}
            last = by_id[max(by_id)]
            return (
                "PeerURLs: no match found for existing member "
                f"({hex_id(member.id)}, [{' '.join(member.peer_urls)}]), last resolver error "
                f"({difference(member.peer_urls, last, resolve)})"
            )
    return ""


def _printed(member: Member) -> str:
    """A member as Go prints its struct."""
    return (
        f"&{{ID:{hex_id(member.id)} RaftAttributes:{{PeerURLs:[{' '.join(member.peer_urls)}] "
        f"IsLearner:{str(member.is_learner).lower()}}} Attributes:{{Name:{member.name} "
        f"ClientURLs:[{' '.join(member.client_urls)}]}}}}"
    )


def _resolved(urls: Sequence[str]) -> list[str]:
    """URLs with their hosts as addresses, so that two names of one place are one."""
    found = []
    for text in urls:
        scheme, _, address = text.partition("://")
        host, _, port = address.rpartition(":")
        try:
            found.append(f"{scheme}://{resolve(host.strip('[]'), int(port))}")
        except (OSError, ValueError):
            found.append(text)
    return found


async def _check_version(
    config: Config, members: list[Member], queries: PeerRequests, log: Logger
) -> None:
    """Refuse a cluster that this version cannot be a part of."""
    ours = config.server_version
    newest = (ours.major, ours.minor + await _is_downgraded(members, queries))
    reached = False
    for member in members:
        try:
            told = await queries.versions(member.peer_urls)
            version = parse_version(told.get("etcdcluster", VERSION_NOT_DECIDED))
        except PeerError:
            continue
        except ConfigError:
            reached = True  # it has none yet
            continue
        if not MIN_CLUSTER_VERSION[:2] <= version[:2] <= newest:
            log.warn(
                "cluster version of remote member is not compatible",
                remote_member_id=hex_id(member.id),
                remote_member_cluster_version=str(version),
                local_server_version=str(ours),
            )
            raise ConfigError("incompatible with current running cluster")
        reached = True
    if not reached:
        raise ConfigError("incompatible with current running cluster")


async def _is_downgraded(members: list[Member], queries: PeerRequests) -> bool:
    """Whether the cluster is on its way to a version below: members of that one may join it."""
    for member in members:
        try:
            return await queries.downgrade_enabled(member.peer_urls)
        except PeerError:
            continue
    return False
