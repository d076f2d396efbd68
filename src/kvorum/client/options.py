"""Settings and limits of a client. The defaults are those of etcd's Go client where it has them."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """How a client connects, waits and retries. Times are in seconds."""

    timeout_s: float | None = 5.0
    """For a request that is given no time of its own. None: wait as long as it takes. (Ours: Go's
    client leaves this to the context.)"""
    dial_timeout_s: float = 2.0
    """How long one connection attempt may take before the next endpoint gets its turn."""
    keepalive_time_s: float = 10.0
    """A connection that is silent for so long is pinged. Below 10 s counts as 10 s: members end a
    connection that pings more often than every 5 s. Source: grpc-go, KeepaliveMinPingTime."""
    keepalive_timeout_s: float = 6.0
    """A ping that has no answer for so long ends the connection."""
    send_bytes_max: int = 2 * MIB
    """A larger request is refused before it is sent. Source: etcd client/v3 options.go."""
    receive_bytes_max: int = 2**31 - 1
    spread: bool = True
    """Requests take turns over the endpoints. Off: they stay with one until it fails."""
    read_attempt_s: float = 2.0
    """A read that has no answer for so long is made again on another endpoint, if there is one: a
    member that hangs does not take all of the time. Each further attempt may take twice as long as
    the one before: an answer may be large. Writes wait, for they may have been done."""
    auto_sync_interval_s: float | None = None
    """How often the endpoints are replaced by the members' client URLs; see `Cluster.sync`.
    None: never. Source: etcd client/v3, Config.AutoSyncInterval."""
    require_leader: bool = False
    """Have a member that knows no leader refuse at once (`etcdserver: no leader`) instead of
    waiting for one; also ends keep-alive streams then. Watches have a setting of their own."""
    refused_attempts_max: int = 3
    """How often in all a member's own "unavailable" (no leader and the like) is met with another
    attempt on the next endpoint, where that is safe."""
    lost_attempts_max: int = 100
    """How often in all a read is made whose connection ends while its answer is awaited. Source:
    etcd client/v3, defaultUnaryMaxRetries."""
    retry_delay_s: float = 0.025
    """Wait before an attempt that follows a failure on every endpoint; doubled each time. Also
    before a watch or keep-alive stream is opened again."""
    retry_delay_s_max: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchLimits:
    """Bounds of what one watcher holds for a consumer that is slower than its events.

    At a bound the watch is cancelled at the member and what was received stays; when the consumer
    has taken that, the watch is made again where it stopped. So nothing is lost and nothing grows,
    and the other watchers of the stream are not held up. What a consumer can see of it is the
    member's compaction error, when it is so slow that its place has been compacted away.
    """

    responses_max: int = 1_000
    events_size_bytes_max: int = 64 * MIB


KEEPALIVE_TIME_S_MIN = 10.0
