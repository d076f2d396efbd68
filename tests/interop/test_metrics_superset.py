"""`/metrics` of a Kvorum member has all that stock 3.5.1's has: names, types, labels, buckets.

Both do the same work first, so that metrics that only appear when used are there. What counts
requests must have the same values, too.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from kvorum.proto import rpc_pb2 as rpc
from tests.cluster import start_cluster, wait_for
from tests.interop.etcdctl_runner import SAME_IDENTITY
from tests.robustness.calls import Calls
from tests.servers import Server, start_server
from tests.stock import require_stock_35

EXTENSIVE = "--metrics=extensive"
_LABEL = re.compile(r'(\w+)="([^"]*)"')

WITHOUT_MEANING = {
    f"go_memstats_{name}"
    for name in (
        "alloc_bytes_total",
        "buck_hash_sys_bytes",
        "frees_total",
        "gc_sys_bytes",
        "heap_idle_bytes",
        "heap_released_bytes",
        "lookups_total",
        "mallocs_total",
        "mcache_inuse_bytes",
        "mcache_sys_bytes",
        "mspan_inuse_bytes",
        "mspan_sys_bytes",
        "next_gc_bytes",
        "other_sys_bytes",
    )
}
"""Figures of Go's memory manager that Python's has nothing of; see docs/monitoring.md."""

EQUAL_VALUES = (
    "etcd_cluster_version",
    "etcd_debugging_auth_revision",
    "etcd_debugging_lease_granted_total",
    "etcd_debugging_lease_revoked_total",
    "etcd_debugging_lease_ttl_total",
    "etcd_debugging_mvcc_compact_revision",
    "etcd_debugging_mvcc_current_revision",
    "etcd_debugging_mvcc_keys_total",
    "etcd_debugging_mvcc_total_put_size_in_bytes",
    "etcd_mvcc_delete_total",
    "etcd_mvcc_put_total",
    "etcd_mvcc_txn_total",
    "etcd_server_client_requests_total",
    "etcd_server_has_leader",
    "etcd_server_id",
    "etcd_server_is_leader",
    "etcd_server_is_learner",
    "etcd_server_leader_changes_seen_total",
    "etcd_server_proposals_failed_total",
    "etcd_server_proposals_pending",
    "etcd_server_quota_backend_bytes",
    "etcd_network_client_grpc_received_bytes_total",
    "grpc_server_handled_total",
    "grpc_server_msg_received_total",
    "grpc_server_msg_sent_total",
    "grpc_server_started_total",
)

BETWEEN_MEMBERS = (
    "etcd_network_active_peers",
    "etcd_network_peer_received_bytes_total",
    "etcd_network_peer_round_trip_time_seconds",
    "etcd_network_peer_sent_bytes_total",
)
PROBED_S = 30.0

V2_STORE = "etcd_server_apply_duration_seconds"
"""Stock 3.5 publishes itself through the v2 store: a row that a request of its own has here."""


@dataclass
class Shown:
    """One family as a server shows it."""

    kind: str
    labels: set[frozenset[str]] = field(default_factory=set)
    """Names of the labels, of each kind of row."""
    bounds: set[str] = field(default_factory=set)
    values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)
    """By the name of the row and its labels. Sums of times are left out."""

    def add(self, line: str) -> None:
        head, _, value = line.rpartition(" ")
        name, _, rest = head.partition("{")
        labels = dict(_LABEL.findall(rest))
        self.labels.add(frozenset(labels))
        if "le" in labels:
            self.bounds.add(labels["le"])
        elif not name.endswith(("seconds_sum", "milliseconds_sum")):
            self.values[name, tuple(sorted(labels.items()))] = float(value)


def scrape(server: Server) -> dict[str, Shown]:
    connection = http.client.HTTPConnection("127.0.0.1", server.client_port, timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    families: dict[str, Shown] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            families[name] = Shown(kind)
        elif not line.startswith("#"):
            families[name].add(line)
    return families


def work(server: Server) -> None:
    """One call of every kind that leaves traces in the metrics."""
    with Calls(server.target) as calls:
        for number in range(3):
            calls.put(b"k%d" % number, b"x" * 10)
        calls.range_call(rpc.RangeRequest(key=b"k1"))
        calls.delete_call(rpc.DeleteRangeRequest(key=b"k2"))
        put = rpc.RequestOp(request_put=rpc.PutRequest(key=b"t", value=b"1"))
        read = rpc.RequestOp(request_range=rpc.RangeRequest(key=b"t"))
        calls.txn_call(rpc.TxnRequest(success=[put, read]))
        calls.grant_call(rpc.LeaseGrantRequest(ID=7, TTL=60))
        calls.revoke_call(rpc.LeaseRevokeRequest(ID=7))
        calls.compact_call(rpc.CompactionRequest(revision=3))
        with pytest.raises(Exception, match="etcdserver: key is not provided"):
            calls.put(b"", b"")


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[dict[str, Shown], dict[str, Shown]]]:
    """The families of stock and ours after the same work."""
    require_stock_35()

    def shown_by(kind: str, *flags: str) -> dict[str, Shown]:
        flags = (*SAME_IDENTITY, EXTENSIVE, *flags)
        with start_server(kind, extra_flags=flags) as server:
            work(server)
            return scrape(server)

    with ThreadPoolExecutor(2) as pool:
        stock = pool.submit(shown_by, "stock")
        ours = pool.submit(shown_by, "kvorum", "--emulated-version=3.5")
        yield stock.result(), ours.result()


def test_every_name_of_stock_is_there_with_its_type(
    both: tuple[dict[str, Shown], dict[str, Shown]],
) -> None:
    stock, ours = both
    missing = {
        name: shown.kind
        for name, shown in stock.items()
        if (name not in ours or ours[name].kind != shown.kind) and name not in WITHOUT_MEANING
    }
    assert not missing
    assert len(stock) > 100


def test_labels_and_buckets_are_those_of_stock(
    both: tuple[dict[str, Shown], dict[str, Shown]],
) -> None:
    stock, ours = both
    different = {
        name: (shown.labels, ours[name].labels, sorted(shown.bounds ^ ours[name].bounds))
        for name, shown in stock.items()
        if name in ours and (shown.labels, shown.bounds) != (ours[name].labels, ours[name].bounds)
    }
    assert not different


def test_rows_that_stock_shows_are_shown(
    both: tuple[dict[str, Shown], dict[str, Shown]],
) -> None:
    stock, ours = both
    by_version = {"etcd_server_go_version", "etcd_server_version", "go_info"}
    missing = {
        name: rows
        for name, shown in stock.items()
        if name in ours
        and name not in by_version
        and (rows := {row for row in shown.values if row not in ours[name].values})
    }
    assert set(missing) <= {V2_STORE}
    assert all(("version", "v2") in labels for _, labels in missing.get(V2_STORE, ()))


def test_what_counts_requests_counts_as_stock_does(
    both: tuple[dict[str, Shown], dict[str, Shown]],
) -> None:
    stock, ours = both
    different = {
        name: {
            row: (value, ours[name].values.get(row))
            for row, value in stock[name].values.items()
            if ours[name].values.get(row) != value
        }
        for name in EQUAL_VALUES
    }
    assert {name: rows for name, rows in different.items() if rows} == {}


def test_dashboards_and_alerts_find_what_they_ask_for(
    both: tuple[dict[str, Shown], dict[str, Shown]],
) -> None:
    """The names in etcd's Grafana dashboard and the rules of its monitoring mixin."""
    _, ours = both
    for name in (
        "etcd_server_has_leader",
        "etcd_server_is_leader",
        "etcd_server_leader_changes_seen_total",
        "etcd_server_proposals_failed_total",
        "etcd_server_proposals_pending",
        "etcd_server_proposals_committed_total",
        "etcd_server_proposals_applied_total",
        "etcd_disk_wal_fsync_duration_seconds",
        "etcd_disk_backend_commit_duration_seconds",
        "etcd_mvcc_db_total_size_in_bytes",
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "etcd_server_quota_backend_bytes",
        "etcd_network_client_grpc_sent_bytes_total",
        "etcd_network_client_grpc_received_bytes_total",
        "etcd_debugging_mvcc_keys_total",
        "etcd_debugging_mvcc_watcher_total",
        "etcd_debugging_mvcc_watch_stream_total",
        "etcd_debugging_mvcc_slow_watcher_total",
        "etcd_debugging_mvcc_pending_events_total",
        "grpc_server_started_total",
        "grpc_server_handled_total",
        "grpc_server_handling_seconds",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_cpu_seconds_total",
    ):
        assert ours[name].values, name
    assert ours["process_resident_memory_bytes"].values["process_resident_memory_bytes", ()] > 2**20
    assert ours["process_open_fds"].values["process_open_fds", ()] > 3


def test_what_goes_between_members_is_counted_as_stock_counts_it() -> None:
    """By a stock member and by ours, of each other."""
    with start_cluster(["stock3.5", "kvorum3.5"]) as cluster:
        with Calls(cluster.members[0].target) as calls:
            for _ in range(20):
                calls.put(b"k", b"x" * 10_000)

        def both_probed() -> list[dict[str, Shown]] | None:
            shown = [scrape(member) for member in cluster.members]
            probed = [one[BETWEEN_MEMBERS[2]].values for one in shown if BETWEEN_MEMBERS[2] in one]
            return shown if len(list(filter(None, probed))) == 2 else None

        shown = wait_for(both_probed, PROBED_S, "no round trip was measured")
        ids = [f"{cluster.status(index).header.member_id:x}" for index in (0, 1)]
        leads = cluster.wait_leader()
    for own, other in ((0, 1), (1, 0)):
        families = shown[own]
        names = {ids[own]: "own", ids[other]: "other"}
        rows = {
            (name, tuple((label, names.get(value, value)) for label, value in labels))
            for family in BETWEEN_MEMBERS
            for name, labels in families[family].values
        }
        rows.discard(("etcd_network_peer_received_bytes_total", (("From", "0"),)))
        assert rows == {
            ("etcd_network_active_peers", (("Local", "own"), ("Remote", "other"))),
            ("etcd_network_peer_received_bytes_total", (("From", "other"),)),
            ("etcd_network_peer_round_trip_time_seconds_count", (("To", "other"),)),
            ("etcd_network_peer_sent_bytes_total", (("To", "other"),)),
        }
        assert value_of(families, "etcd_network_active_peers") == 1
        assert value_of(families, "etcd_server_has_leader") == 1
        assert value_of(families, "etcd_server_is_leader") == (own == leads)
        assert value_of(families, "etcd_server_proposals_pending") == 0
        assert value_of(families, "etcd_server_leader_changes_seen_total") == 1
    sent = value_of(shown[leads], "etcd_network_peer_sent_bytes_total")
    received = sum(shown[1 - leads]["etcd_network_peer_received_bytes_total"].values.values())
    assert sent == pytest.approx(received, rel=0.2)
    assert received > 200_000


def value_of(families: dict[str, Shown], family: str) -> float:
    (value,) = families[family].values.values()
    return value
