"""A member's metrics: every value has a family, and is what happened."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from kvorum.histogram import Histogram
from kvorum.proto.rpc_pb2 import CompactionRequest, DeleteRangeRequest, LeaseGrantRequest
from kvorum.server.api import MemberApi
from kvorum.server.metrics.collect import collect
from kvorum.server.metrics.counters import MemberCounters
from kvorum.server.metrics.families import MEMBER_FAMILIES
from kvorum.server.metrics.family import Kind
from tests.unit.server.members import eventually, put, running

FAMILIES = {family.name: family for family in MEMBER_FAMILIES}


def test_every_family_has_its_own_name_and_labels_in_order() -> None:
    assert len(FAMILIES) == len(MEMBER_FAMILIES)
    for family in MEMBER_FAMILIES:
        assert list(family.labels) == sorted(family.labels), family.name
        assert bool(family.bounds) == (family.kind is Kind.HISTOGRAM), family.name


async def test_every_value_fits_its_family(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        await put(server, b"k")
        values = collect(server)
    for name, value in values.items():
        family = FAMILIES[name]
        rows = value if isinstance(value, Mapping) else {(): value}
        for labels, one in rows.items():
            assert len(labels) == len(family.labels), name
            assert isinstance(one, Histogram) == (family.kind is Kind.HISTOGRAM), name
            if isinstance(one, Histogram):
                assert one.bounds == family.bounds, name


async def test_the_values_are_what_happened(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        api = MemberApi(server)
        start = collect(server)
        await put(server, b"k", b"12345")
        await put(server, b"k", b"12345")
        request = DeleteRangeRequest(key=b"k")
        await api.delete_range(request, request.SerializeToString())  # type: ignore[misc]
        await api.lease_grant(LeaseGrantRequest(TTL=60))  # type: ignore[misc]
        compaction = CompactionRequest(revision=4, physical=True)
        await api.compact(compaction, compaction.SerializeToString())  # type: ignore[misc]
        values = collect(server)

        assert values["etcd_mvcc_put_total"] == 2
        assert values["etcd_debugging_mvcc_total_put_size_in_bytes"] == 12
        assert values["etcd_mvcc_delete_total"] == 1
        assert values["etcd_debugging_mvcc_current_revision"] == 4
        assert values["etcd_debugging_mvcc_compact_revision"] == 4
        assert values["etcd_debugging_mvcc_keys_total"] == 0
        assert values["etcd_debugging_lease_granted_total"] == 1
        assert values["etcd_server_has_leader"] == values["etcd_server_is_leader"] == 1
        assert values["etcd_server_leader_changes_seen_total"] == 1
        assert values["etcd_server_proposals_pending"] == 0
        applied = "etcd_server_proposals_applied_total"
        assert values[applied] == start[applied] + 5  # type: ignore[operator]
        puts = values["etcd_server_apply_duration_seconds"]["Put", "true", "v3"]  # type: ignore[index]
        assert puts.cumulative()[-1] == 2  # type: ignore[union-attr]
        assert values["etcd_debugging_lease_ttl_total"].sum == 60  # type: ignore[union-attr]
        total = values["etcd_debugging_mvcc_db_compaction_total_duration_milliseconds"]
        assert total.cumulative()[-1] == 1  # type: ignore[union-attr]


async def test_a_refused_request_is_no_success(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        api = MemberApi(server)
        await asyncio.wait_for(api.lease_grant(LeaseGrantRequest(ID=1, TTL=60)), 10)  # type: ignore[arg-type]
        again = api.lease_grant(LeaseGrantRequest(ID=1, TTL=60))
        await asyncio.wait((again,))  # type: ignore[type-var]
        assert again.exception() is not None  # type: ignore[union-attr]
        applied = collect(server)["etcd_server_apply_duration_seconds"]
        assert applied["LeaseGrant", "true", "v3"].cumulative()[-1] == 1  # type: ignore[index,union-attr]
        assert applied["LeaseGrant", "false", "v3"].cumulative()[-1] == 1  # type: ignore[index,union-attr]


async def test_disk_writes_are_timed(tmp_path: Path) -> None:
    async with running(tmp_path, fsync=True) as server:
        await put(server, b"k")
        await eventually(lambda: sum(server.backend.figures.commits_s.counts) > 0)
        values = collect(server)
        for name in (
            "etcd_disk_wal_fsync_duration_seconds",
            "etcd_disk_wal_write_duration_seconds",
            "etcd_disk_backend_commit_duration_seconds",
        ):
            assert values[name].cumulative()[-1] > 0, name  # type: ignore[union-attr]
        assert values["etcd_disk_wal_write_bytes_total"] > 0  # type: ignore[operator]
        assert values["etcd_mvcc_db_open_read_transactions"] == 1


async def test_others_may_have_values_to_show(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        server.counters.sources.append(lambda: {"etcd_network_peer_sent_bytes_total": {("1a",): 7}})
        assert collect(server)["etcd_network_peer_sent_bytes_total"] == {("1a",): 7}


def test_a_leader_that_comes_back_after_none_is_no_change() -> None:
    counters = MemberCounters()
    for leader in (0, 1, 0, 2, 2):
        counters.note_leader(leader)
    assert counters.leader_changes == 2


async def test_a_snapshot_that_was_read_to_its_end_is_timed(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        source = await MemberApi(server).snapshot()
        while await source.read():
            pass
        await source.close()
        given_up = await MemberApi(server).snapshot()
        await given_up.close()
        times = collect(server)["etcd_disk_backend_snapshot_duration_seconds"]
        assert times.cumulative()[-1] == 1  # type: ignore[union-attr]
