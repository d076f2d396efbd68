"""What decides how a member's server runs. `embed` makes it from flags, environment and file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kvorum.cluster.bootstrap import Bootstrap
from kvorum.cluster.member import Member
from kvorum.proto.versions import DEFAULT_SERVER_VERSION, Version
from kvorum.server.compactors import Retention

GRPC_OVERHEAD_BYTES = 512 * 1024
"""Source: etcd server/embed (grpcOverheadBytes)."""


class Feature(NamedTuple):
    """A feature gate, its stage (`ALPHA`, `BETA`) and whether it is on."""

    name: str
    stage: str
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """See `kvorum.embed.config.Config`, whose fields these are, checked and resolved."""

    name: str
    data_dir: Path
    wal_dir: Path
    founding: Callable[[], tuple[Bootstrap, Member]]
    """The cluster to found, and which of its members we are; asked where there is no data yet.
    Raises ConfigError."""
    client_urls: tuple[str, ...]
    """Advertised to clients."""
    joins: bool = False
    """The cluster exists already: its log comes from its leader."""
    force_new_cluster: bool = False
    """Make this member a cluster of one with the data that it has."""

    heartbeat_interval_s: float = 0.1
    election_ticks: int = 10
    initial_election_tick_advance: bool = True
    pre_vote: bool = True
    strict_reconfig_check: bool = True
    max_learners: int = 1
    initial_corrupt_check: bool = False
    corrupt_check_s: float = 0.0
    """0: data is not compared by the clock."""
    compact_hash_check: bool = False
    compact_hash_check_s: float = 60.0
    downgrade_check_s: float = 5.0
    """0: a downgrade is not ended when all members have reached it."""
    snapshot_count: int = 10_000
    snapshot_catchup_entries: int = 5_000
    max_snapshots: int = 5
    max_wals: int = 5
    fsync: bool = True

    quota_bytes: int = 0
    """0: no quota."""
    batch_interval_s: float = 0.1
    batch_limit: int = 10_000
    compaction_batch_limit: int = 1_000
    compaction_sleep_s: float = 0.01
    retention: Retention | None = None
    """How much history compaction keeps; None: it does not happen by itself."""
    stops_serving_on_defrag: bool = False
    """gRPC's health service says so while the database is defragmented."""
    defrag_at_start_bytes: int = 0
    """Defragment before serving if so much would be won; 0: never."""
    max_txn_ops: int = 128
    max_request_bytes: int = 1_572_864
    watch_progress_interval_s: float = 600.0
    lease_checkpoint_interval_s: float | None = None
    """How often the rest of a long lease is written to the log; None: never."""
    lease_checkpoint_persist: bool = False
    version: Version = DEFAULT_SERVER_VERSION
    warning_apply_s: float = 0.1
    """Applies and reads that take longer are told in the log."""
    features: tuple[Feature, ...] = ()
    """For the metrics."""
    skip_v2_check: bool = False
    """Adopt a directory of stock etcd though it holds version-2 data, which goes into a file."""

    @property
    def election_timeout_s(self) -> float:
        return self.election_ticks * self.heartbeat_interval_s

    @property
    def request_timeout_s(self) -> float:
        """How long a request may wait for the log: 5 s for the disk, two elections."""
        return 5.0 + 2 * self.election_timeout_s

    @property
    def lease_ttl_s_min(self) -> int:
        """A lease must outlive an election: 1.5 election timeouts, rounded up."""
        return -(-3 * round(self.election_timeout_s * 1000) // 2000)

    @property
    def message_bytes_max(self) -> int:
        """The longest message to or from a client: a request, and room for keys and framing."""
        return self.max_request_bytes + GRPC_OVERHEAD_BYTES
