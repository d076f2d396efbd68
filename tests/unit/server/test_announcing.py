"""The version that members agree on, what is said of it in the log, and going down again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kvorum.cluster.members import Cluster
from kvorum.errors import (
    DowngradeInProgressError,
    InvalidDowngradeTargetError,
    NoInflightDowngradeError,
    StatusError,
    WrongDowngradeVersionError,
)
from kvorum.proto.membership_pb2 import DowngradeInfoSetRequest
from kvorum.proto.versions import Version
from kvorum.server import entries
from kvorum.server.announcing import Announcer
from kvorum.server.downgrading import Downgrading
from kvorum.server.member import EtcdServer
from tests.unit.server.clusters import open_cluster, url_of, voter
from tests.unit.server.members import eventually, running
from tests.unit.server.others import Events, Others, recording_log

V3_4, V3_5, V3_6 = Version(3, 4), Version(3, 5), Version(3, 6)


def told(server: EtcdServer, others: Others, cluster: Cluster) -> tuple[Announcer, Events]:
    """An announcer of `server` that leads this cluster, and its log."""
    log, events = recording_log()
    announcer = Announcer(
        1,
        server.options,
        cluster,
        server.proposals,
        server.applier,
        leads=lambda: True,
        queries=others,
        log=log,
    )
    return announcer, events


async def test_the_others_versions_are_asked_for_and_a_silent_one_is_unknown(
    tmp_path: Path,
) -> None:
    others = Others()
    others.told_versions = {url_of(2): "3.5.1"}
    async with running(tmp_path, version=Version(3, 6, 2)) as server:
        with open_cluster(voter(1), voter(2), voter(3)) as cluster:
            announcer, events = told(server, others, cluster)
            assert await announcer.member_versions() == [Version(3, 6, 2), Version(3, 5, 1), None]
            assert "failed to get version" in events.messages


async def test_a_member_of_a_higher_version_is_told_of_in_the_log(tmp_path: Path) -> None:
    """Row U6 of the mission, in the structured form of today's log."""
    others = Others()
    others.told_versions = {url_of(2): "3.6.0"}
    async with running(tmp_path, version=Version(3, 5, 1)) as server:
        with open_cluster(voter(1), voter(2)) as cluster:
            announcer, events = told(server, others, cluster)
            await announcer.member_versions()
    assert events.fields_of("the local etcd version is not up-to-date") == {
        "local-member-version": "3.5.1"
    }
    assert events.fields_of("leader found higher-versioned member") == {
        "local-member-version": "3.5.1",
        "remote-member-id": "2",
        "remote-member-version": "3.6.0",
    }


# Downgrades.


class Asked:
    """The downgrades of a cluster whose log applies at once."""

    def __init__(self, cluster: Cluster, version: Version) -> None:
        self.cluster = cluster
        self.versions: list[Version | None] = [version]
        log, self.events = recording_log()
        self.downgrading = Downgrading(
            version,
            cluster,
            propose=self._propose,
            wait_linearizable=self._wait,
            leads=lambda: True,
            member_versions=self._versions,
            log=log,
        )

    async def _propose(self, tag: bytes, request: DowngradeInfoSetRequest) -> bytes:
        assert tag == entries.DOWNGRADE_INFO_SET
        target = Version(3, 5) if request.enabled else None
        assert (request.ver == "3.5.0") is request.enabled
        self.cluster.set_downgrade_target(target)
        return b""

    async def _wait(self) -> None:
        return

    async def _versions(self) -> list[Version | None]:
        return self.versions


@asynccontextmanager
async def asked(version: Version = V3_6, current: Version | None = V3_6) -> AsyncIterator[Asked]:
    with open_cluster(voter(1)) as cluster:
        if current is not None:
            cluster.set_version(current)
        yield Asked(cluster, version)


async def test_a_downgrade_is_validated_allowed_and_cancelled() -> None:
    async with asked() as one:
        assert await one.downgrading.validate("3.5") == "3.6"
        assert one.cluster.downgrade_target is None
        assert await one.downgrading.enable("3.5.9") == "3.6"
        assert one.cluster.downgrade_target == V3_5
        with pytest.raises(DowngradeInProgressError):
            await one.downgrading.validate("3.5")
        assert await one.downgrading.cancel() == "3.6"
        assert one.cluster.downgrade_target is None


@pytest.mark.parametrize("target", ["3.6", "3.4", "2.5", "4.0"])
async def test_the_target_is_the_version_before(target: str) -> None:
    async with asked() as one:
        with pytest.raises(InvalidDowngradeTargetError):
            await one.downgrading.enable(target)
        assert "reject downgrade request" in one.events.messages


@pytest.mark.parametrize("target", ["", "three", "3", "v3.5"])
async def test_the_target_is_a_version(target: str) -> None:
    async with asked() as one:
        with pytest.raises(WrongDowngradeVersionError):
            await one.downgrading.validate(target)


async def test_without_a_cluster_version_there_is_nothing_to_go_down_from() -> None:
    async with asked(current=None) as one:
        with pytest.raises(StatusError, match="cluster version not found during downgrade"):
            await one.downgrading.validate("3.5")


async def test_cancelling_what_is_not_there_is_an_error_only_before_3_6() -> None:
    async with asked() as one:
        assert await one.downgrading.cancel() == "3.6"
    async with asked(version=V3_5, current=V3_5) as one:
        with pytest.raises(NoInflightDowngradeError):
            await one.downgrading.cancel()


async def test_it_ends_when_every_member_has_the_lower_version() -> None:
    async with asked() as one:
        await one.downgrading.enable("3.5")
        one.versions = [V3_5, V3_5]
        await _round(one)
        assert one.cluster.downgrade_target == V3_5, "the cluster's version has not fallen yet"
        one.cluster.set_version(V3_5)
        for versions in ([V3_5, V3_6], [V3_5, None]):
            one.versions = list(versions)
            await _round(one)
            assert one.cluster.downgrade_target == V3_5
        one.versions = [V3_5, Version(3, 5, 9)]
        await _round(one)
        assert one.cluster.downgrade_target is None
        assert "the cluster has been downgraded" in one.events.messages


async def test_below_3_5_it_ends_with_the_version_and_without_an_entry_of_its_own() -> None:
    async with asked(version=V3_5, current=V3_5) as one:
        one.cluster.set_downgrade_target(V3_4)
        one.versions = [V3_4, V3_4]
        await _round(one)
        assert one.cluster.downgrade_target == V3_4
        one.cluster.set_version(V3_4)
        assert one.cluster.downgrade_target is None
        assert one.cluster.version == V3_4
        one.cluster.restore()
        assert one.cluster.downgrade_target is None


async def _round(one: Asked) -> None:
    one.downgrading.round()
    looking = one.downgrading._looking
    assert looking is not None
    await looking


async def test_a_server_goes_down_and_up_again_and_its_format_with_it(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        await eventually(lambda: server.cluster.version is not None)
        highest = server.cluster.version
        assert highest is not None
        lower = Version(highest.major, highest.minor - 1)
        await server.work.downgrading.enable(str(lower))
        server.announcer.start_agreeing()
        await eventually(lambda: server.cluster.version == lower)
    async with running(tmp_path) as server:  # the permission survives a restart
        assert server.cluster.downgrade_target == lower
        await server.work.downgrading.cancel()
        server.announcer.start_agreeing()
        await eventually(lambda: server.cluster.version == highest)


async def test_a_server_goes_down_from_3_5_by_being_started_as_3_4(tmp_path: Path) -> None:
    async with running(tmp_path, version=V3_5) as server:
        await eventually(lambda: server.cluster.version == V3_5)
        await server.work.downgrading.enable("3.4")
        server.announcer.start_agreeing()
        assert server.cluster.downgrade_target == V3_4
    async with running(tmp_path, version=V3_4) as server:
        server.announcer.start_agreeing()
        await eventually(lambda: server.cluster.version == V3_4)
        assert server.cluster.downgrade_target is None
    async with running(tmp_path, version=V3_4) as server:
        assert server.cluster.version == V3_4
