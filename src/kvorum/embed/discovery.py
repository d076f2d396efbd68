"""Founding members that find each other through an etcd cluster (`--discovery-endpoints`).

Somebody puts the size of the new cluster there, under a token that nobody else uses:

    /_etcd/registry/<token>/_config/size        3
    /_etcd/registry/<token>/members/<id, hex>   infra0=http://10.0.0.1:2380     (one per member)

Each member writes itself down and waits until `size` have. Those that came first (by the revision
of their keys) are the cluster; who comes later is refused.

Source: etcd server/etcdserver/api/v3discovery (3.6, read); texts from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from kvorum.client import Client, ClientOptions, TlsOptions, prefix_end
from kvorum.cluster.bootstrap import bootstrap
from kvorum.cluster.founding import Founders
from kvorum.cluster.ids import hex_id
from kvorum.cluster.urls import format_initial_cluster, parse_initial_cluster
from kvorum.embed.config import Config
from kvorum.errors import ConfigError, UnavailableError, WireError
from kvorum.proto.kv_pb2 import KeyValue
from kvorum.server.log import Logger

T = TypeVar("T")

PREFIX = "/_etcd/registry"
RETRY_S, RETRY_S_MAX = 1.0, 16.0
"""Between attempts to reach the discovery service; doubled each time."""


@dataclass(frozen=True, slots=True)
class Registry:
    """What the service holds for one token. `members` in the order in which they came."""

    size: int
    members: tuple[KeyValue, ...]
    revision: int


async def discover_cluster(config: Config, log: Logger) -> Founders:
    """Write this member down and wait for the others. Returns peer URLs by name.

    Waits as long as it takes: the others may be started tomorrow.

    Raises:
        ConfigError: the token has no size, all places are taken, or what stands there is bad.
    """
    mine = format_initial_cluster({config.name: config.initial_advertise_peer_urls})
    alone = bootstrap({config.name: config.initial_advertise_peer_urls}, config.discovery_token)
    async with _client(config) as client:
        meeting = _Meeting(client, config.discovery_token, log)
        own_key = meeting.member_key(alone.members[0].id)
        registry = await meeting.persist(meeting.read)
        _check_place(registry, own_key, before=True)
        if all(one.key != own_key for one in registry.members):
            await meeting.persist(lambda: client.kv.put(own_key, mine.encode()))
            log.info("register member with the discovery service", member=mine)
        registry = await meeting.wait_complete(own_key)
    return _cluster_of(registry)


def _client(config: Config) -> Client:
    user, _, inline = config.discovery_user.partition(":")
    tls = None
    files = (config.discovery_cacert, config.discovery_cert, config.discovery_key)
    if any(files) or not config.discovery_insecure_transport:
        ca, cert, key = (one or None for one in files)
        tls = TlsOptions(ca_file=ca, cert_file=cert, key_file=key)
    return Client(
        config.discovery_endpoints,
        user=user or None,
        password=(config.discovery_password or inline) if user else None,
        tls=tls,
        options=ClientOptions(
            timeout_s=config.discovery_request_timeout_s,
            dial_timeout_s=config.discovery_dial_timeout_s,
            keepalive_time_s=config.discovery_keepalive_time_s,
            keepalive_timeout_s=config.discovery_keepalive_timeout_s,
        ),
    )


class _Meeting:
    """One token of a discovery service."""

    def __init__(self, client: Client, token: str, log: Logger) -> None:
        self._client = client
        self._log = log
        self._size_key = f"{PREFIX}/{token}/_config/size".encode()
        self._members = f"{PREFIX}/{token}/members/".encode()

    def member_key(self, member_id: int) -> bytes:
        return self._members + hex_id(member_id).encode()

    async def read(self) -> Registry:
        """Everything that stands there now.

        Raises:
            ConfigError: no size, or one that is none.
            WireError: the service cannot be asked.
        """
        size = await self._client.kv.get(self._size_key)
        if not size.kvs:
            raise ConfigError("discovery: size key not found")
        try:
            number = int(size.kvs[0].value)
        except ValueError:
            number = 0
        if number <= 0:
            raise ConfigError("discovery: size key is bad")
        answer = await self._client.kv.get(self._members, prefix_end(self._members))
        members = sorted(answer.kvs, key=lambda one: one.create_revision)
        return Registry(number, tuple(members), answer.header.revision)

    async def persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until the service can be reached."""
        delay_s = RETRY_S
        while True:
            try:
                return await attempt()
            except UnavailableError as error:
                self._log.warn(
                    "failed to reach the discovery service; trying again",
                    retry_after=f"{delay_s:g}s",
                    error=error,
                )
            except WireError as error:
                raise ConfigError(f"discovery: {error.message}") from None
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, RETRY_S_MAX)

    async def wait_complete(self, own_key: bytes) -> Registry:
        """Return when as many members are there as there are to be, this one among them."""
        while True:
            registry = await self.persist(self.read)
            _check_place(registry, own_key, before=False)
            missing = registry.size - len(registry.members)
            if missing <= 0:
                self._log.info("all peers are found from the discovery service")
                return registry
            self._log.info(
                "waiting for peers from the discovery service",
                found_peers=len(registry.members),
                needed_peers=missing,
            )
            await self._wait_change(registry.revision)

    async def _wait_change(self, revision: int) -> None:
        """Return when something has happened after `revision`, or the service is lost."""
        end = prefix_end(self._members)
        watcher = self._client.watch(self._members, end, start_revision=revision + 1)
        async with watcher:
            try:
                async for response in watcher:
                    if response.events:
                        return
            except WireError as error:
                self._log.warn("watching the discovery service ended", error=error)


def _check_place(registry: Registry, own_key: bytes, *, before: bool) -> None:
    """Refuse a member for which there is no place.

    `before`: it has not written itself down yet, or did so in an earlier life.
    """
    first = [one.key for one in registry.members[: registry.size]]
    if own_key in first or (before and len(first) < registry.size):
        return
    raise ConfigError("discovery: cluster is full")


def _cluster_of(registry: Registry) -> Founders:
    texts = [one.value.decode(errors="replace") for one in registry.members[: registry.size]]
    try:
        named = parse_initial_cluster(",".join(texts))
    except ConfigError as error:
        raise ConfigError(f"discovery: invalid peer URL: {error}") from None
    if len(named) != registry.size:
        raise ConfigError(
            f"discovery: invalid peer URL: {len(named)} names for {registry.size} members in "
            f"{','.join(texts)}"
        )
    return named
