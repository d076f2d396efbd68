"""The metrics of a member: `etcd_*`, as stock 3.4 to 3.6 have them together.

Names, types, labels and buckets are a contract with dashboards and alert rules; the test
`tests/interop/test_metrics_superset.py` holds them against stock's.

Source: shared facts, client.md section 13; `/metrics` of 3.4.23 and 3.5.1.
"""

from __future__ import annotations

from kvorum.histogram import SECONDS, SHORT_SECONDS, doubling
from kvorum.server.metrics.family import Family, counter, gauge, histogram

ROUND_TRIP_SECONDS = doubling(0.0001, 16)
LONG_SECONDS = doubling(0.1, 13)
"""A defragmentation."""
SNAPSHOT_SECONDS = doubling(0.01, 17)
HASH_SECONDS = doubling(0.01, 15)
TRANSFER_SECONDS = doubling(0.1, 10)
TTL_SECONDS = doubling(1.0, 24)
COMPACTION_PAUSE_MS = doubling(1.0, 13)
COMPACTION_TOTAL_MS = doubling(100.0, 14)
INDEX_PAUSE_MS = doubling(0.5, 14)

SERVER: tuple[Family, ...] = (
    gauge("etcd_cluster_version", "1, labelled with the cluster's version.", "cluster_version"),
    gauge("etcd_server_version", "1, labelled with the version presented.", "server_version"),
    gauge(
        "etcd_server_go_version",
        "1, labelled with the version of the language it runs on.",
        "server_go_version",
    ),
    gauge("etcd_server_id", "1, labelled with the member's id in hex.", "server_id"),
    gauge(
        "etcd_server_feature_enabled", "1: the feature gate is on; 0: it is off.", "name", "stage"
    ),
    gauge("etcd_server_has_leader", "1: a leader is known; 0: there is none."),
    gauge("etcd_server_is_leader", "1: this member leads; 0: it does not."),
    gauge("etcd_server_is_learner", "1: this member is a learner; 0: it votes."),
    counter("etcd_server_leader_changes_seen_total", "Leaders seen that were not the last one."),
    gauge("etcd_server_proposals_committed_total", "Index up to which the log is committed."),
    gauge("etcd_server_proposals_applied_total", "Index up to which the log is applied."),
    gauge("etcd_server_proposals_pending", "Proposals of this member that wait for the log."),
    counter("etcd_server_proposals_failed_total", "Proposals refused by raft or given up."),
    counter("etcd_server_slow_apply_total", "Requests whose apply or read took too long."),
    counter("etcd_server_slow_read_indexes_total", "Reads that got no index in time."),
    counter("etcd_server_read_indexes_failed_total", "Reads that found no leader to ask."),
    counter("etcd_server_heartbeat_send_failures_total", "Heartbeats sent too late."),
    counter("etcd_server_health_success", "Answers of /health that were good."),
    counter("etcd_server_health_failures", "Answers of /health that were bad."),
    gauge("etcd_server_healthcheck", "Last result of each check: 1 good, 0 bad.", "name", "type"),
    counter("etcd_server_healthchecks_total", "Results of each check.", "name", "status", "type"),
    counter("etcd_server_learner_promote_successes", "Learners made voters while leading."),
    counter("etcd_server_learner_promote_failures", "Learners not made voters.", "Reason"),
    gauge("etcd_server_snapshot_apply_in_progress_total", "1: a leader's snapshot is loaded."),
    gauge("etcd_server_quota_backend_bytes", "Size of the database at which writes are refused."),
    histogram(
        "etcd_server_apply_duration_seconds",
        SHORT_SECONDS,
        "How long entries of the log took to be applied.",
        "op",
        "success",
        "version",
    ),
    histogram(
        "etcd_server_range_duration_seconds",
        SHORT_SECONDS,
        "How long ranges took to be read.",
        "success",
    ),
    counter(
        "etcd_server_client_requests_total",
        "Requests by the API version that the client names.",
        "client_api_version",
        "type",
    ),
    gauge("etcd_debugging_auth_revision", "Revision of users and roles."),
    gauge(
        "etcd_debugging_server_alarms",
        "1 for each active alarm.",
        "alarm_type",
        "server_id",
    ),
)

LEASES: tuple[Family, ...] = (
    counter("etcd_debugging_lease_granted_total", "Leases granted."),
    counter("etcd_debugging_lease_renewed_total", "Leases renewed, on the leader."),
    counter("etcd_debugging_lease_revoked_total", "Leases revoked."),
    histogram("etcd_debugging_lease_ttl_total", TTL_SECONDS, "TTLs of leases granted."),
    counter("etcd_debugging_server_lease_expired_total", "Leases that ran out and were revoked."),
)

_KEYS_COUNTED = (
    ("put", "Puts."),
    ("delete", "Deletions asked for."),
    ("range", "Ranges read."),
    ("txn", "Transactions of more than one operation."),
)

MVCC: tuple[Family, ...] = (
    *(counter(f"etcd_mvcc_{name}_total", text) for name, text in _KEYS_COUNTED),
    *(counter(f"etcd_debugging_mvcc_{name}_total", text) for name, text in _KEYS_COUNTED),
    gauge("etcd_debugging_mvcc_keys_total", "Keys alive."),
    gauge("etcd_debugging_mvcc_total_put_size_in_bytes", "Bytes of keys and values put."),
    gauge("etcd_debugging_mvcc_current_revision", "Newest revision."),
    gauge("etcd_debugging_mvcc_compact_revision", "Compaction revision; -1: never compacted."),
    counter("etcd_debugging_mvcc_db_compaction_keys_total", "Rows removed by compactions."),
    gauge("etcd_debugging_mvcc_db_compaction_last", "Unix time when a compaction last ended."),
    histogram(
        "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
        COMPACTION_PAUSE_MS,
        "How long each step of a compaction held up everything else.",
    ),
    histogram(
        "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
        COMPACTION_TOTAL_MS,
        "How long compactions took from their request to their last row.",
    ),
    histogram(
        "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds",
        INDEX_PAUSE_MS,
        "How long taking up a compaction held up everything else.",
    ),
    counter("etcd_debugging_mvcc_events_total", "Events sent, once for each watcher."),
    gauge("etcd_debugging_mvcc_pending_events_total", "Revisions that late watchers have to get."),
    gauge("etcd_debugging_mvcc_slow_watcher_total", "Watchers that are behind."),
    gauge("etcd_debugging_mvcc_watch_stream_total", "Watch streams."),
    gauge("etcd_debugging_mvcc_watcher_total", "Watchers."),
    gauge("etcd_mvcc_db_open_read_transactions", "Read transactions open on the database."),
    gauge("etcd_mvcc_db_total_size_in_bytes", "Bytes of the database file."),
    gauge("etcd_debugging_mvcc_db_total_size_in_bytes", "Bytes of the database file."),
    gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes of it that hold something."),
    histogram("etcd_mvcc_hash_duration_seconds", HASH_SECONDS, "How long a Hash took."),
    histogram("etcd_mvcc_hash_rev_duration_seconds", HASH_SECONDS, "How long a HashKV took."),
)

DISK: tuple[Family, ...] = (
    histogram("etcd_disk_wal_fsync_duration_seconds", SECONDS, "Flushes of the log."),
    histogram("etcd_disk_wal_write_duration_seconds", SECONDS, "Writes to the log."),
    gauge("etcd_disk_wal_write_bytes_total", "Bytes of records written to the log."),
    histogram("etcd_disk_backend_commit_duration_seconds", SECONDS, "Commits of the database."),
    histogram(
        "etcd_debugging_disk_backend_commit_rebalance_duration_seconds",
        SECONDS,
        "No samples: the database has no such phase.",
    ),
    histogram(
        "etcd_debugging_disk_backend_commit_spill_duration_seconds",
        SECONDS,
        "Part of a commit: rows put into pages.",
    ),
    histogram(
        "etcd_debugging_disk_backend_commit_write_duration_seconds",
        SECONDS,
        "Part of a commit: pages written and flushed.",
    ),
    histogram("etcd_disk_backend_defrag_duration_seconds", LONG_SECONDS, "Defragmentations."),
    gauge("etcd_disk_defrag_inflight", "1: a defragmentation is under way."),
    histogram(
        "etcd_disk_backend_snapshot_duration_seconds",
        SNAPSHOT_SECONDS,
        "Snapshots of the database sent.",
    ),
    histogram(
        "etcd_debugging_snap_save_marshalling_duration_seconds",
        SECONDS,
        "Encoding of raft snapshots.",
    ),
    histogram(
        "etcd_debugging_snap_save_total_duration_seconds", SECONDS, "Saving of raft snapshots."
    ),
    histogram("etcd_snap_fsync_duration_seconds", SECONDS, "Flushes of raft snapshots."),
    histogram(
        "etcd_snap_db_fsync_duration_seconds", SECONDS, "Flushes of databases got from a leader."
    ),
    histogram(
        "etcd_snap_db_save_total_duration_seconds",
        TRANSFER_SECONDS,
        "Saving of databases got from a leader.",
    ),
)

NETWORK: tuple[Family, ...] = (
    counter("etcd_network_client_grpc_received_bytes_total", "Bytes of messages of clients."),
    counter("etcd_network_client_grpc_sent_bytes_total", "Bytes of messages to clients."),
    gauge("etcd_network_active_peers", "1: the connection is up.", "Local", "Remote"),
    gauge("etcd_network_known_peers", "1 for each other member known.", "Local", "Remote"),
    counter("etcd_network_disconnected_peers_total", "Connections lost.", "Local", "Remote"),
    counter("etcd_network_peer_received_bytes_total", "Bytes from a member.", "From"),
    counter("etcd_network_peer_received_failures_total", "Failures to receive.", "From"),
    counter("etcd_network_peer_sent_bytes_total", "Bytes to a member.", "To"),
    counter("etcd_network_peer_sent_failures_total", "Failures to send.", "To"),
    histogram(
        "etcd_network_peer_round_trip_time_seconds",
        ROUND_TRIP_SECONDS,
        "Round trips to a member.",
        "To",
    ),
    counter("etcd_network_server_stream_failures_total", "Streams that failed.", "API", "Type"),
    counter("etcd_network_snapshot_receive_failures", "Snapshots not got.", "From"),
    gauge("etcd_network_snapshot_receive_inflights_total", "Snapshots on their way here.", "From"),
    counter("etcd_network_snapshot_receive_success", "Snapshots got.", "From"),
    histogram(
        "etcd_network_snapshot_receive_total_duration_seconds",
        TRANSFER_SECONDS,
        "How long snapshots took to get.",
        "From",
    ),
    counter("etcd_network_snapshot_send_failures", "Snapshots not sent.", "To"),
    gauge("etcd_network_snapshot_send_inflights_total", "Snapshots on their way there.", "To"),
    counter("etcd_network_snapshot_send_success", "Snapshots sent.", "To"),
    histogram(
        "etcd_network_snapshot_send_total_duration_seconds",
        TRANSFER_SECONDS,
        "How long snapshots took to send.",
        "To",
    ),
)

ABSENT: tuple[Family, ...] = (
    counter("etcd_debugging_store_expires_total", "Always 0: there is no v2 store."),
    counter("etcd_debugging_store_reads_total", "Always 0: there is no v2 store.", "action"),
    counter("etcd_debugging_store_reads_failed_total", "There is no v2 store.", "action"),
    counter("etcd_debugging_store_writes_total", "Always 0: there is no v2 store.", "action"),
    counter("etcd_debugging_store_writes_failed_total", "There is no v2 store.", "action"),
    counter("etcd_debugging_store_watch_requests_total", "Always 0: there is no v2 store."),
    gauge("etcd_debugging_store_watchers", "Always 0: there is no v2 store."),
    gauge("etcd_grpc_proxy_cache_hits_total", "Always 0: a member is no proxy."),
    gauge("etcd_grpc_proxy_cache_keys_total", "Always 0: a member is no proxy."),
    gauge("etcd_grpc_proxy_cache_misses_total", "Always 0: a member is no proxy."),
    counter("etcd_grpc_proxy_events_coalescing_total", "Always 0: a member is no proxy."),
    gauge("etcd_grpc_proxy_watchers_coalescing_total", "Always 0: a member is no proxy."),
)
"""Of parts of etcd that a Kvorum member does not have. Known, because stock shows them."""

MEMBER_FAMILIES: tuple[Family, ...] = (*SERVER, *LEASES, *MVCC, *DISK, *NETWORK, *ABSENT)
