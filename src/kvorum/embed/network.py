"""The ways of one member to the others, put together."""

from __future__ import annotations

import contextlib
import ipaddress

from kvorum.cluster.urls import parse_url
from kvorum.embed.config import Config
from kvorum.peer.options import PeerOptions
from kvorum.peer.requests import PeerRequests
from kvorum.peer.transport import PeerTransport
from kvorum.server.log import Logger
from kvorum.server.peer_ports import RaftPort

DIAL_S_MIN = 1.0
"""Connecting may take this and an election timeout. Source: etcd (peerDialTimeout)."""


def peer_options(config: Config, member_id: int, cluster_id: int) -> PeerOptions:
    """What the peer protocol is told; ids of 0 are those of a member that has none yet."""
    return PeerOptions(
        member_id=member_id,
        cluster_id=cluster_id,
        version=config.server_version,
        peer_urls=config.initial_advertise_peer_urls,
        dial_timeout_s=DIAL_S_MIN + config.election_timeout_ms / 1000,
        local_address=local_address(config),
        read_timeout_s=config.raft_read_timeout_s,
        write_timeout_s=config.raft_write_timeout_s,
    )


def local_address(config: Config) -> str:
    """Where connections to other members come from, with the feature gate SetMemberLocalAddr.

    Returns:
        The first address in the advertised peer URLs that others can reach; empty: the system's
        choice.
    """
    if not config.set_member_local_addr:
        return ""
    for url in config.initial_advertise_peer_urls:
        host = parse_url(url).host
        with contextlib.suppress(ValueError):  # a name, which is none
            address = ipaddress.ip_address(host)
            if not (address.is_loopback or address.is_unspecified):
                return host
    return ""


def peer_requests(config: Config, member_id: int = 0, cluster_id: int = 0) -> PeerRequests:
    """How other members are asked."""
    # As long as a request of a client may take; see `ServerOptions.request_timeout_s`.
    timeout_s = 5.0 + 2 * config.election_timeout_ms / 1000
    return PeerRequests(peer_options(config, member_id, cluster_id), timeout_s=timeout_s)


class PeerNetwork:
    """See `kvorum.server.peer_ports.Network`."""

    def __init__(self, config: Config, member_id: int, cluster_id: int, log: Logger) -> None:
        self._options = peer_options(config, member_id, cluster_id)
        self._log = log
        self.queries = peer_requests(config, member_id, cluster_id)
        self.transport: PeerTransport

    def connect(self, port: RaftPort) -> PeerTransport:
        self.transport = PeerTransport(port, self._options, self._log)
        return self.transport
