"""A member's values for the metrics, read where they are kept. Nothing here is on a request's path.

Cost of a collection: some 50 µs, most of it for the pages in use of the database.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from kvorum.cluster.ids import hex_id
from kvorum.proto.etcdserver_pb2 import Request as V2Request
from kvorum.proto.rpc_pb2 import AlarmType
from kvorum.server.metrics.families import ABSENT
from kvorum.server.metrics.family import Labelled, Value, Values

if TYPE_CHECKING:
    from kvorum.server.member import EtcdServer

AUTH_REVISION_AT_FIRST = 1
"""Of a cluster whose users and roles were never changed."""


def collect(server: EtcdServer) -> Values:
    """Every value of a member, by the names of `families.MEMBER_FAMILIES`."""
    values: dict[str, Value | Labelled] = {}
    for part in (_identity, _consensus, _requests, _leases, _keys, _watches, _disk, _absent):
        values.update(part(server))
    for source in server.counters.sources:
        values.update(source())
    return values


def _identity(server: EtcdServer) -> Values:
    options, version = server.options, server.cluster.version
    features: Labelled = {
        (feature.name, feature.stage): float(feature.enabled) for feature in options.features
    }
    return {
        "etcd_cluster_version": {} if version is None else {(version.short,): 1},
        "etcd_server_version": {(str(options.version),): 1},
        "etcd_server_go_version": {(language(),): 1},
        "etcd_server_id": {(hex_id(server.member_id),): 1},
        "etcd_server_feature_enabled": features,
        "etcd_server_quota_backend_bytes": options.quota_bytes,
        "etcd_debugging_auth_revision": AUTH_REVISION_AT_FIRST,
        "etcd_debugging_server_alarms": {
            (AlarmType.Name(kind), hex_id(member_id)): 1
            for member_id, kind in server.alarms.active()
        },
    }


def language() -> str:
    """What the member runs on, in the place where etcd shows the version of Go."""
    return f"python{platform.python_version()}"


def _consensus(server: EtcdServer) -> Values:
    raft, counters, proposals = server.node.raw.raft, server.counters, server.proposals
    return {
        "etcd_server_has_leader": int(raft.lead != 0),
        "etcd_server_is_leader": int(server.is_leader),
        "etcd_server_is_learner": int(raft.is_learner),
        "etcd_server_leader_changes_seen_total": counters.leader_changes,
        "etcd_server_heartbeat_send_failures_total": counters.heartbeat_send_failures,
        "etcd_server_learner_promote_successes": counters.promote_successes,
        "etcd_server_learner_promote_failures": {
            (reason,): count for reason, count in counters.promote_failures.items()
        },
        "etcd_server_proposals_committed_total": raft.log.committed,
        "etcd_server_proposals_applied_total": proposals.applied_index,
        "etcd_server_proposals_pending": len(proposals.pending),
        "etcd_server_proposals_failed_total": proposals.pending.failed,
        "etcd_server_snapshot_apply_in_progress_total": counters.snapshots_being_applied,
    }


def _requests(server: EtcdServer) -> Values:
    counters = server.counters
    applied: Labelled = {
        _apply_labels(kind, success=success): times
        for success, by_kind in (("true", counters.applied), ("false", counters.refused))
        for kind, times in by_kind.items()
    }
    ranges = (("true", counters.ranges_s), ("false", counters.ranges_failed_s))
    return {
        "etcd_server_apply_duration_seconds": applied,
        "etcd_server_range_duration_seconds": {
            (success,): times for success, times in ranges if any(times.counts)
        },
        "etcd_server_slow_apply_total": counters.slow_applies,
        "etcd_server_slow_read_indexes_total": counters.slow_reads,
        "etcd_server_read_indexes_failed_total": counters.reads_failed,
    }


def _apply_labels(kind: Any, *, success: str) -> tuple[str, str, str]:
    """Labels `op`, `success` and `version` for requests of a class. Source: 3.5.1."""
    if kind is V2Request:
        return "PUT", success, "v2"
    return kind.DESCRIPTOR.name.removesuffix("Request"), success, "v3"


def _leases(server: EtcdServer) -> Values:
    statistics = server.lessor.statistics()
    return {
        "etcd_debugging_lease_granted_total": statistics.granted_total,
        "etcd_debugging_lease_renewed_total": statistics.renewed_total,
        "etcd_debugging_lease_revoked_total": statistics.revoked_total,
        "etcd_debugging_lease_ttl_total": server.lessor.ttls_s,
        "etcd_debugging_server_lease_expired_total": server.leases.expired_total,
    }


def _keys(server: EtcdServer) -> Values:
    store, counted = server.store, server.store.counters
    both = {
        "put": counted.puts,
        "delete": counted.deletes,
        "range": counted.ranges,
        "txn": counted.txns,
    }
    return {
        **{f"etcd_mvcc_{name}_total": value for name, value in both.items()},
        **{f"etcd_debugging_mvcc_{name}_total": value for name, value in both.items()},
        "etcd_debugging_mvcc_keys_total": len(store.index.live),
        "etcd_debugging_mvcc_total_put_size_in_bytes": counted.put_bytes,
        "etcd_debugging_mvcc_current_revision": store.revision,
        "etcd_debugging_mvcc_compact_revision": store.compact_revision,
        "etcd_debugging_mvcc_db_compaction_keys_total": counted.rows_compacted,
        "etcd_debugging_mvcc_db_compaction_last": counted.compacted_unix_s,
        "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds": (
            counted.compaction_pauses_ms
        ),
        "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds": (
            counted.compaction_totals_ms
        ),
        "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds": (
            counted.compaction_index_pauses_ms
        ),
        "etcd_mvcc_hash_duration_seconds": server.counters.hash_s,
        "etcd_mvcc_hash_rev_duration_seconds": server.counters.hash_kv_s,
    }


def _watches(server: EtcdServer) -> Values:
    statistics = server.hub.statistics()
    return {
        "etcd_debugging_mvcc_events_total": statistics.events_total,
        "etcd_debugging_mvcc_pending_events_total": server.hub.revisions_owed(),
        "etcd_debugging_mvcc_slow_watcher_total": statistics.unsynced + statistics.stalled,
        "etcd_debugging_mvcc_watch_stream_total": statistics.streams,
        "etcd_debugging_mvcc_watcher_total": statistics.watchers,
    }


def _disk(server: EtcdServer) -> Values:
    backend, counters = server.backend, server.counters
    log, snapshots, database = server.wal_figures, server.snapshot_figures, backend.figures
    return {
        "etcd_disk_wal_fsync_duration_seconds": log.fsyncs_s,
        "etcd_disk_wal_write_duration_seconds": log.writes_s,
        "etcd_disk_wal_write_bytes_total": log.bytes_written,
        "etcd_disk_backend_commit_duration_seconds": database.commits_s,
        "etcd_debugging_disk_backend_commit_rebalance_duration_seconds": database.rebalances_s,
        "etcd_debugging_disk_backend_commit_spill_duration_seconds": database.spills_s,
        "etcd_debugging_disk_backend_commit_write_duration_seconds": database.writes_s,
        "etcd_mvcc_db_open_read_transactions": backend.open_readers(),
        "etcd_mvcc_db_total_size_in_bytes": backend.size(),
        "etcd_debugging_mvcc_db_total_size_in_bytes": backend.size(),
        "etcd_mvcc_db_total_size_in_use_in_bytes": backend.size_in_use(),
        "etcd_disk_backend_defrag_duration_seconds": counters.defrag_s,
        "etcd_disk_defrag_inflight": counters.defrags_under_way,
        "etcd_disk_backend_snapshot_duration_seconds": counters.db_snapshot_s,
        "etcd_debugging_snap_save_marshalling_duration_seconds": snapshots.encodings_s,
        "etcd_debugging_snap_save_total_duration_seconds": snapshots.saves_s,
        "etcd_snap_fsync_duration_seconds": snapshots.fsyncs_s,
        "etcd_snap_db_fsync_duration_seconds": counters.snap_db_fsync_s,
        "etcd_snap_db_save_total_duration_seconds": counters.snap_db_save_s,
    }


def _absent(_: EtcdServer) -> Values:
    """0 for what stock shows and a member of Kvorum does not have."""
    values: dict[str, Value | Labelled] = {family.name: 0 for family in ABSENT if not family.labels}
    values["etcd_debugging_store_reads_total"] = {("getRecursive",): 0}
    values["etcd_debugging_store_writes_total"] = {("create",): 0, ("set",): 0}
    return values
