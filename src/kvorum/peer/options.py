"""What the peer protocol is told of its own member, and its bounds."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Final

from kvorum.proto.versions import MIN_CLUSTER_VERSION, Version

LEGACY_BEFORE: Final = Version(3, 6)
"""Members below write and expect raft messages in the older form; see `Message.encode`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLimits:
    """Bounds of what waits for one peer. At a bound a message is dropped, as a network drops it."""

    stream_bytes_max: int = 64 * 1024 * 1024
    """Unsent on one stream. A leader has at most 512 appends of 1 MiB under way to a follower."""
    pipeline_count_max: int = 64
    pipeline_connections: int = 4
    remotes_max: int = 64
    """Members that are not in our log and are known by their own word only."""
    snapshots_max: int = 16
    """Snapshots under way to all peers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerOptions:
    """See the module."""

    member_id: int
    cluster_id: int
    version: Version
    """The version that this member presents itself as."""
    peer_urls: tuple[str, ...]
    dial_timeout_s: float = 2.0
    """A second and an election timeout."""
    read_timeout_s: float = 5.0
    write_timeout_s: float = 5.0
    local_address: str = ""
    """Address that connections to others come from; empty: the system's choice."""
    limits: PeerLimits = field(default_factory=PeerLimits)
    ssl_context: ssl.SSLContext | None = None
    """How members with `https` URLs are connected to; None: they cannot be."""

    @property
    def link_heartbeat_s(self) -> float:
        """How often something is sent on a stream, so that a dead one is told from a silent one."""
        return self.read_timeout_s / 3


def request_headers(options: PeerOptions) -> list[tuple[str, str]]:
    """What every request to another member says of who sends it."""
    return [
        ("X-Server-From", f"{options.member_id:x}"),
        ("X-Server-Version", str(options.version)),
        ("X-Min-Cluster-Version", str(MIN_CLUSTER_VERSION)),
        ("X-Etcd-Cluster-ID", f"{options.cluster_id:x}"),
    ]
