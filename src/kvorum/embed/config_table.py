"""The server's flags, one row each: the one place that knows their names, types and defaults.

Command line, environment, configuration file and `--help` all read this table. A row with a
`field` sets that field of `Config`. A row without one is known from etcd and not supported yet: it
is taken with its default, or with another value that changes nothing (`inert`), and refused with
any other. `config_table_later` holds those.

Source: shared facts, flags.md section 1; types and texts of refused values checked against 3.5.1.
"""

from __future__ import annotations

from typing import Any

from kvorum.embed.config_check import V2_PHASES, V2_REFUSE
from kvorum.embed.config_flag import Flag, Kind, Section
from kvorum.embed.config_table_cluster import CLUSTER
from kvorum.embed.config_table_discovery import DISCOVERY
from kvorum.embed.config_table_log import LOGGING, TRACING
from kvorum.proto.versions import EMULATED_MINORS, Version


def _row(
    name: str, kind: Kind, default: str, section: Section, field: str, text: str, **more: Any
) -> Flag:
    return Flag(
        name=name, kind=kind, default=default, section=section, field=field, help=text, **more
    )


_S = Kind.STRING
_M, _C, _L = Section.MEMBER, Section.CLUSTERING, Section.LOGGING
_F, _P = Section.FEATURES, Section.PROFILING

SUPPORTED: tuple[Flag, ...] = (
    *CLUSTER,
    *DISCOVERY,
    _row("name", _S, "default", _M, "name", "Name of this member, for people."),
    _row("data-dir", _S, "", _M, "data_dir", "Folder of all data; '<name>.etcd' when empty."),
    _row("wal-dir", _S, "", _M, "wal_dir", "Folder of the log alone, say on a faster disk."),
    _row(
        "snapshot-count",
        Kind.UINT64,
        "10000",
        _M,
        "snapshot_count",
        "Applied entries after which a snapshot is written and the log is cut.",
        older_defaults=((Version(3, 6), "100000"),),
    ),
    _row(
        "snapshot-catchup-entries",
        Kind.UINT64,
        "5000",
        _M,
        "snapshot_catchup_entries",
        "Entries kept behind a snapshot, for followers that lag.",
    ),
    _row(
        "heartbeat-interval",
        Kind.UINT,
        "100",
        _M,
        "heartbeat_interval_ms",
        "Milliseconds between two heartbeats of a leader.",
    ),
    _row(
        "election-timeout",
        Kind.UINT,
        "1000",
        _M,
        "election_timeout_ms",
        "Milliseconds without a leader until a follower stands for election.",
    ),
    _row(
        "initial-election-tick-advance",
        Kind.BOOL,
        "true",
        _M,
        "initial_election_tick_advance",
        "Shorten the wait for the first election after the start.",
    ),
    _row(
        "listen-peer-urls",
        Kind.URLS,
        "http://localhost:2380",
        _M,
        "listen_peer_urls",
        "Comma-separated URLs to listen on for other members.",
    ),
    _row(
        "listen-client-urls",
        Kind.URLS,
        "http://localhost:2379",
        _M,
        "listen_client_urls",
        "Comma-separated URLs to listen on for clients.",
    ),
    _row(
        "listen-client-http-urls",
        Kind.OPTIONAL_URLS,
        "",
        _M,
        "listen_client_http_urls",
        "Comma-separated URLs for plain HTTP; 'listen-client-urls' then has gRPC alone.",
    ),
    _row("max-snapshots", Kind.UINT, "5", _M, "max_snapshots", "Snapshot files to keep; 0: all."),
    _row("max-wals", Kind.UINT, "5", _M, "max_wals", "Log segments to keep; 0: all."),
    _row(
        "quota-backend-bytes",
        Kind.INT64,
        "0",
        _M,
        "quota_backend_bytes",
        "Size of the database at which writes are refused; 0: 2 GiB, negative: none.",
    ),
    _row(
        "backend-batch-interval",
        Kind.FLAG_DURATION,
        "0s",
        _M,
        "backend_batch_interval_s",
        "Longest time between two commits of the database; 0: 100ms.",
    ),
    _row(
        "backend-batch-limit",
        Kind.INT,
        "0",
        _M,
        "backend_batch_limit",
        "Most changes in one commit of the database; 0: 10000.",
    ),
    _row("max-txn-ops", Kind.UINT, "128", _M, "max_txn_ops", "Most operations in a transaction."),
    _row(
        "max-request-bytes",
        Kind.UINT,
        "1572864",
        _M,
        "max_request_bytes",
        "Largest request in bytes.",
    ),
    _row(
        "max-concurrent-streams",
        Kind.UINT32,
        "4294967295",
        _M,
        "max_concurrent_streams",
        "Most calls at the same time on one connection.",
    ),
    _row(
        "grpc-keepalive-min-time",
        Kind.FLAG_DURATION,
        "5s",
        _M,
        "grpc_keepalive_min_time_s",
        "A client that pings more often than this is disconnected.",
    ),
    _row(
        "grpc-keepalive-interval",
        Kind.FLAG_DURATION,
        "2h",
        _M,
        "grpc_keepalive_interval_s",
        "Quiet time after which a client is pinged; 0: never.",
    ),
    _row(
        "grpc-keepalive-timeout",
        Kind.FLAG_DURATION,
        "20s",
        _M,
        "grpc_keepalive_timeout_s",
        "Time in which a pinged client must answer; 0: for ever.",
    ),
    _row(
        "memory-mlock",
        Kind.BOOL,
        "false",
        _M,
        "memory_mlock",
        "Keep the process, pages of the database included, in RAM once they are there.",
    ),
    _row(
        "socket-reuse-port",
        Kind.BOOL,
        "false",
        _M,
        "socket_reuse_port",
        "Let other processes listen on the same ports (SO_REUSEPORT).",
    ),
    _row(
        "raft-read-timeout",
        Kind.FLAG_DURATION,
        "5s",
        _M,
        "raft_read_timeout_s",
        "Silence after which a connection to another member is given up; 5s at least.",
    ),
    _row(
        "raft-write-timeout",
        Kind.FLAG_DURATION,
        "5s",
        _M,
        "raft_write_timeout_s",
        "Time without room for more after which it is given up too; 5s at least.",
    ),
    _row(
        "enable-grpc-gateway",
        Kind.BOOL,
        "true",
        _M,
        "enable_grpc_gateway",
        "Serve the methods as JSON by plain HTTP too.",
    ),
    _row(
        "initial-advertise-peer-urls",
        Kind.URLS,
        "http://localhost:2380",
        _C,
        "initial_advertise_peer_urls",
        "URLs by which other members reach this one.",
    ),
    _row(
        "initial-cluster",
        _S,
        "default=http://localhost:2380",
        _C,
        "initial_cluster",
        "Founding members as 'name=url,name=url'.",
    ),
    _row(
        "initial-cluster-state",
        Kind.CHOICE,
        "new",
        _C,
        "initial_cluster_state",
        "'new' to found a cluster, 'existing' to join one.",
        choices=("new", "existing"),
    ),
    _row(
        "initial-cluster-token",
        _S,
        "etcd-cluster",
        _C,
        "initial_cluster_token",
        "Goes into all ids, so that clusters founded alike stay apart.",
    ),
    _row(
        "advertise-client-urls",
        Kind.URLS,
        "http://localhost:2379",
        _C,
        "advertise_client_urls",
        "URLs by which clients reach this member.",
    ),
    _row(
        "pre-vote",
        Kind.BOOL,
        "true",
        _C,
        "pre_vote",
        "Ask whether an election can be won before starting one.",
        older_defaults=((Version(3, 5), "false"),),
    ),
    _row(
        "auto-compaction-mode",
        Kind.STRING,
        "periodic",
        _C,
        "auto_compaction_mode",
        "What the retention counts: 'periodic' (time) or 'revision'.",
    ),
    _row(
        "auto-compaction-retention",
        Kind.STRING,
        "0",
        _C,
        "auto_compaction_retention",
        "History to keep: '24' or '24h', '10m', or, by revisions, '1000'; '0' keeps all.",
    ),
    _row(
        "v2-deprecation",
        Kind.CHOICE,
        V2_REFUSE,
        _C,
        "v2_deprecation",
        "Version 2 data in a data directory of stock etcd: 'write-only' refuses to start, "
        "'write-only-skip-check' keeps it in a file and starts.",
        choices=V2_PHASES,
    ),
    _row(
        "cors",
        Kind.ORIGINS,
        "*",
        Section.SECURITY,
        "cors",
        "Comma-separated origins of web pages that may read answers (CORS); '*': all.",
    ),
    _row(
        "host-whitelist",
        Kind.HOSTS,
        "*",
        Section.SECURITY,
        "host_whitelist",
        "Comma-separated names that plain HTTP requests without TLS may come to; '*': all.",
    ),
    _row(
        "enable-pprof",
        Kind.BOOL,
        "false",
        _P,
        "enable_pprof",
        "Serve stacks and sampled profiles under '/debug/pprof/' of the client URLs.",
    ),
    _row(
        "metrics",
        _S,
        "basic",
        _P,
        "metrics",
        "'basic', or 'extensive' to show how long each gRPC call took.",
    ),
    _row(
        "listen-metrics-urls",
        Kind.OPTIONAL_URLS,
        "",
        _P,
        "listen_metrics_urls",
        "Comma-separated URLs to serve probes and metrics on.",
    ),
    _row(
        "warning-unary-request-duration",
        Kind.FLAG_DURATION,
        "300ms",
        _L,
        "warning_unary_request_duration_s",
        "Unary calls that take longer are told in the log.",
    ),
    _row(
        "warning-apply-duration",
        Kind.FLAG_DURATION,
        "100ms",
        _L,
        "warning_apply_duration_s",
        "Applies and reads that take longer are told in the log.",
    ),
    *LOGGING,
    *TRACING,
    _row(
        "bootstrap-defrag-threshold-megabytes",
        Kind.UINT,
        "0",
        _F,
        "bootstrap_defrag_threshold_mb",
        "Defragment at the start if so much of the database is free; 0: never.",
    ),
    _row(
        "compaction-batch-limit",
        Kind.INT,
        "1000",
        _F,
        "compaction_batch_limit",
        "Most revisions that a compaction deletes at once.",
    ),
    _row(
        "compaction-sleep-interval",
        Kind.FLAG_DURATION,
        "10ms",
        _F,
        "compaction_sleep_interval_s",
        "Pause of a compaction between two batches.",
    ),
    _row(
        "watch-progress-notify-interval",
        Kind.FLAG_DURATION,
        "10m",
        _F,
        "watch_progress_notify_interval_s",
        "Time after which a quiet watcher that asked for it is told the revision.",
    ),
    _row(
        "feature-gates",
        Kind.GATES,
        "",
        _F,
        "feature_gates",
        "Comma-separated 'Gate=true' or 'Gate=false'.",
    ),
    _row(
        "unsafe-no-fsync",
        Kind.BOOL,
        "false",
        Section.UNSAFE,
        "unsafe_no_fsync",
        "Do not wait for the disk: a crash of the machine loses acknowledged writes.",
    ),
    _row(
        "emulated-version",
        Kind.CHOICE,
        "3.6",
        Section.KVORUM,
        "emulated_version",
        f"Version of etcd to present and behave as: {', '.join(EMULATED_MINORS)}.",
        choices=EMULATED_MINORS,
    ),
)
