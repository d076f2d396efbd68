"""The configuration of one member.

`Config` is what a program writes down to embed a member, and what flags, environment or file come
out as. A `Config` that exists is valid: the constructor raises `ConfigError` with etcd's text.

    config = Config(data_dir="/var/lib/kvorum", listen_client_urls=("http://127.0.0.1:0",))

Units are in the names. Where etcd takes 0 to mean "the default", the default stands in the field
afterwards.

Source: shared facts, flags.md sections 1 and 4; etcd server/embed/config.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvorum.cluster.urls import check_urls
from kvorum.embed.config_check import V2_REFUSE, check
from kvorum.embed.config_compaction import parse_retention
from kvorum.embed.log_rotation import LOG_ROTATION
from kvorum.proto.versions import DEFAULT_SERVER_VERSION, Version, server_version
from kvorum.server.compactors import PERIODIC, Retention

DEFAULT_NAME = "default"
DEFAULT_PEER_URL = "http://localhost:2380"
DEFAULT_CLIENT_URL = "http://localhost:2379"

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
DEFAULT_QUOTA_BYTES = 2 * GIB
WATCH_PROGRESS_INTERVAL_S_MIN = 0.1
RAFT_TIMEOUT_S_MIN = 5.0
_UINT32_MAX = 2**32 - 1

_ZERO_MEANS: dict[str, int | float] = {
    "snapshot_count": 10_000,
    "snapshot_catchup_entries": 5_000,
    "backend_batch_interval_s": 0.1,
    "backend_batch_limit": 10_000,
    "compaction_batch_limit": 1_000,
    "compaction_sleep_interval_s": 0.01,
    "watch_progress_notify_interval_s": 600.0,
    "max_concurrent_streams": _UINT32_MAX,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that decides how a member runs.

    Raises (when built):
        ConfigError: a value cannot be; the text is etcd's where etcd has one.
    """

    # Identity and files
    name: str = DEFAULT_NAME
    data_dir: str | Path = ""
    """Empty: `<name>.etcd` in the working directory."""
    wal_dir: str | Path = ""
    """Empty: `member/wal` in the data directory."""

    # Addresses. A port of 0 means: any free one. URL lists are kept sorted.
    listen_client_urls: tuple[str, ...] = (DEFAULT_CLIENT_URL,)
    advertise_client_urls: tuple[str, ...] = ()
    """Empty: `listen_client_urls`, with the ports that were bound."""
    listen_peer_urls: tuple[str, ...] = (DEFAULT_PEER_URL,)
    initial_advertise_peer_urls: tuple[str, ...] = ()
    """Empty: `listen_peer_urls`. The ids of a new cluster are made from these."""

    # A new cluster; not looked at when the data directory has a member already
    initial_cluster: str = ""
    """`name=url,…`. Empty: this member alone."""
    initial_cluster_state: str = "new"
    initial_cluster_token: str = "etcd-cluster"
    discovery_srv: str = ""
    """Domain whose DNS SRV records name the founding members."""
    discovery_srv_name: str = ""
    """Behind the service's name in those records."""
    discovery_endpoints: tuple[str, ...] = ()
    """Of an etcd cluster by which the founding members find each other."""
    discovery_token: str = ""
    """Which of the clusters that meet there this is."""
    discovery_dial_timeout_s: float = 2.0
    discovery_request_timeout_s: float = 5.0
    discovery_keepalive_time_s: float = 2.0
    discovery_keepalive_timeout_s: float = 6.0
    discovery_insecure_transport: bool = True
    """Speak to endpoints without a scheme without TLS, unless TLS files are named."""
    discovery_cert: str = ""
    discovery_key: str = ""
    discovery_cacert: str = ""
    discovery_user: str = field(default="", repr=False)
    """`name`, or `name:password`."""
    discovery_password: str = field(default="", repr=False)
    force_new_cluster: bool = False
    """Make a member that has data a cluster of one. The other members must be gone for good."""

    # Changes of the members, comparisons with them, versions
    strict_reconfig_check: bool = True
    """Refuse changes of the members that could cost the cluster its quorum."""
    max_learners: int = 1
    initial_corrupt_check: bool = False
    """Compare all keys with the other members' before clients are served."""
    corrupt_check_time_s: float = 0.0
    """Time between two such comparisons; 0: none."""
    compact_hash_check: bool = False
    """Compare the hashes that members have made of their compactions."""
    compact_hash_check_time_s: float = 60.0
    downgrade_check_time_s: float = 5.0
    """Time between two looks whether a downgrade has come to its end."""

    # Raft and its files
    heartbeat_interval_ms: int = 100
    election_timeout_ms: int = 1_000
    initial_election_tick_advance: bool = True
    pre_vote: bool = True
    snapshot_count: int = 10_000
    """Applied entries between two snapshots."""
    snapshot_catchup_entries: int = 5_000
    """Entries kept in the log behind a snapshot, for slow followers."""
    max_snapshots: int = 5
    """`.snap` files to keep; 0 keeps all."""
    max_wals: int = 5
    """Log segments to keep; 0 keeps all."""
    unsafe_no_fsync: bool = False
    """Do not wait for the disk. A crash of the machine then loses acknowledged writes."""

    set_member_local_addr: bool = False
    """Connect to other members from the first address of `initial_advertise_peer_urls` that is
    neither a name nor of the loopback."""
    raft_read_timeout_s: float = 5.0
    """Silence after which a connection to another member is given up; less than 5 s: 5 s."""
    raft_write_timeout_s: float = 5.0
    """Time without room after which it is given up; less than 5 s: 5 s."""

    # Storage
    memory_mlock: bool = False
    """Keep what this process has in memory there, once it is."""
    quota_backend_bytes: int = 0
    """0: 2 GiB. Negative: none. See `quota_bytes`."""
    backend_batch_interval_s: float = 0.1
    backend_batch_limit: int = 10_000
    compaction_batch_limit: int = 1_000
    compaction_sleep_interval_s: float = 0.01
    auto_compaction_mode: str = PERIODIC
    auto_compaction_retention: str = "0"
    """`"24"` or `"24h"`, or revisions in mode `revision`; `"0"`: off. See `retention`."""

    # Requests
    socket_reuse_port: bool = False
    """Let other processes listen on the same ports."""
    max_txn_ops: int = 128
    max_request_bytes: int = 1_572_864
    max_concurrent_streams: int = _UINT32_MAX
    grpc_keepalive_min_time_s: float = 5.0
    """A client that pings more often is disconnected."""
    grpc_keepalive_interval_s: float = 7_200.0
    """Quiet time after which the server pings; 0: never."""
    grpc_keepalive_timeout_s: float = 20.0
    """How long it waits for the answer; 0: for ever."""
    watch_progress_notify_interval_s: float = 600.0

    # Monitoring
    listen_client_http_urls: tuple[str, ...] = ()
    """Where plain HTTP is served apart from gRPC; empty: both on `listen_client_urls`."""
    listen_metrics_urls: tuple[str, ...] = ()
    """Where probes and metrics are served besides."""
    metrics: str = "basic"
    """`extensive`: how long each call took is shown as well."""
    enable_pprof: bool = False
    warning_apply_duration_s: float = 0.1
    """Applies and reads that take longer are told in the log."""
    warning_unary_request_duration_s: float = 0.3
    """Unary calls that take longer are told in the log."""

    # The JSON gateway and plain HTTP
    enable_grpc_gateway: bool = True
    cors: tuple[str, ...] = ("*",)
    """Origins of web pages that may read answers; `*`, or none: all."""
    host_whitelist: tuple[str, ...] = ("*",)
    """Names that requests without TLS may come to; `*`, or none: all."""

    # Leases
    lease_checkpoint: bool = False
    """Write the remaining time of long leases to the log, so that a new leader knows it."""
    lease_checkpoint_persist: bool = False
    """Store it as well, so that a restarted member knows it. Needs `lease_checkpoint`."""

    # Defragmentation
    stop_grpc_service_on_defrag: bool = False
    """Tell clients of gRPC's health service to go elsewhere while the database is written anew."""
    bootstrap_defrag_threshold_mb: int = 0
    """Defragment before serving when so many MiB of the database are free; 0: never."""

    # Versions and log
    v2_deprecation: str = V2_REFUSE
    """What to do with version-2 data in a directory of stock etcd: refuse to start, or
    `write-only-skip-check`: keep it in a file and go on."""
    emulated_version: str = DEFAULT_SERVER_VERSION.short
    log_level: str = "info"
    log_format: str = "json"
    log_outputs: tuple[str, ...] = ("default",)
    enable_log_rotation: bool = False
    log_rotation_config_json: str = LOG_ROTATION
    """See `kvorum.embed.log_rotation`."""

    # Traces; see `kvorum.embed.tracing`
    enable_distributed_tracing: bool = False
    distributed_tracing_address: str = "localhost:4317"
    distributed_tracing_service_name: str = "etcd"
    distributed_tracing_instance_id: str = ""
    distributed_tracing_sampling_rate: int = 0
    """In a million."""

    def __post_init__(self) -> None:
        for name, default in _ZERO_MEANS.items():
            if getattr(self, name) == 0:
                self._set(name, default)
        interval_s = max(self.watch_progress_notify_interval_s, WATCH_PROGRESS_INTERVAL_S_MIN)
        self._set("watch_progress_notify_interval_s", interval_s)
        for name in ("raft_read_timeout_s", "raft_write_timeout_s"):
            self._set(name, max(getattr(self, name), RAFT_TIMEOUT_S_MIN))
        self._set("log_outputs", tuple(self.log_outputs))
        self._set("cors", tuple(self.cors))
        self._set("host_whitelist", tuple(self.host_whitelist))
        self._set("listen_client_urls", _urls(self.listen_client_urls))
        self._set("listen_peer_urls", _urls(self.listen_peer_urls))
        for name in ("listen_client_http_urls", "listen_metrics_urls"):
            given = getattr(self, name)
            self._set(name, _urls(given) if given else ())
        advertised = self.advertise_client_urls or self.listen_client_urls
        self._set("advertise_client_urls", _urls(advertised))
        advertised = self.initial_advertise_peer_urls or self.listen_peer_urls
        self._set("initial_advertise_peer_urls", _urls(advertised))
        check(self)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # the one way in a frozen class

    @property
    def data_path(self) -> Path:
        return Path(self.data_dir or f"{self.name}.etcd")

    @property
    def member_path(self) -> Path:
        return self.data_path / "member"

    @property
    def wal_path(self) -> Path:
        return Path(self.wal_dir) if self.wal_dir else self.member_path / "wal"

    @property
    def snap_path(self) -> Path:
        return self.member_path / "snap"

    @property
    def election_ticks(self) -> int:
        """Heartbeat intervals in an election timeout."""
        return self.election_timeout_ms // self.heartbeat_interval_ms

    @property
    def request_timeout_s(self) -> float:
        """How long a proposal may wait for its commit: 5 s and two election timeouts."""
        return 5.0 + 2 * self.election_timeout_ms / 1000

    @property
    def quota_bytes(self) -> int | None:
        """The storage quota; None when there is none."""
        if self.quota_backend_bytes < 0:
            return None
        return self.quota_backend_bytes or DEFAULT_QUOTA_BYTES

    @property
    def retention(self) -> Retention | None:
        """How much history compaction keeps; None: it does not happen by itself."""
        return parse_retention(self.auto_compaction_mode, self.auto_compaction_retention)

    @property
    def server_version(self) -> Version:
        """What this member presents itself as."""
        return server_version(self.emulated_version)


def _urls(given: Iterable[str]) -> tuple[str, ...]:
    return check_urls(given.split(",") if isinstance(given, str) else given)
