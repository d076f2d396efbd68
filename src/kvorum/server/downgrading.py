"""Taking a cluster to the version before its own: what clients ask, and when it is done.

A downgrade is allowed by an entry of the log. From then on members of the lower version may take
the places of the present ones, one by one; the leader lowers the cluster's version (`announcing`),
and the database's format follows: from 3.6 at once, from 3.5 when all members have the lower one.
When both are done the permission ends.

Source: etcd server (Downgrade, monitorDowngrade); shared facts, peer.md section 12.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from kvorum.cluster.members import Cluster
from kvorum.cluster.versions import lower_version
from kvorum.errors import (
    Code,
    ConfigError,
    DowngradeInProgressError,
    InvalidDowngradeTargetError,
    NoInflightDowngradeError,
    StatusError,
    WireError,
    WrongDowngradeVersionError,
)
from kvorum.proto.membership_pb2 import DowngradeInfoSetRequest
from kvorum.proto.versions import Version, parse_version
from kvorum.server import entries
from kvorum.server.log import Logger

NO_CLUSTER_VERSION = "etcdserver: cluster version not found during downgrade"
REFUSED_PRECONDITION_SINCE = Version(3, 6)
"""Some refusals were `Unavailable` before, and are `FailedPrecondition` from here on."""

Versions = Callable[[], Awaitable[Iterable[Version | None]]]


class Downgrading:
    """See the module.

    Args:
        version: this member's.
        propose: proposes a request of the member's own.
        wait_linearizable: returns when everything committed before has been applied.
        leads: whether this member leads.
        member_versions: the server version of each member; None for one that does not say.
    """

    def __init__(
        self,
        version: Version,
        cluster: Cluster,
        *,
        propose: Callable[[bytes, Any], Awaitable[bytes]],
        wait_linearizable: Callable[[], Awaitable[None]],
        leads: Callable[[], bool],
        member_versions: Versions,
        log: Logger,
    ) -> None:
        self._version = version
        self._cluster = cluster
        self._propose = propose
        self._wait_linearizable = wait_linearizable
        self._leads = leads
        self._member_versions = member_versions
        self._log = log
        self._looking: asyncio.Task[None] | None = None

    # What clients ask. All return the cluster's version.

    async def validate(self, text: str) -> str:
        """Whether the cluster could be taken to version `text`.

        Raises:
            WrongDowngradeVersionError, InvalidDowngradeTargetError, DowngradeInProgressError
            StatusError: there is no cluster version yet.
        """
        current, _ = await self._checked(text)
        return self._shown(current)

    async def enable(self, text: str) -> str:
        """Allow it. Raises as `validate`."""
        try:
            _, target = await self._checked(text)
            await self._set(target)
        except WireError as error:
            self._log.warn("reject downgrade request", error=error)
            raise
        return self._shown(self._cluster.version)

    async def cancel(self) -> str:
        """Take the permission back.

        Raises:
            NoInflightDowngradeError: there is none; from 3.6 on that is only told in the log.
        """
        await self._wait_linearizable()
        if self._cluster.downgrade_target is None:
            if self._version < REFUSED_PRECONDITION_SINCE:
                raise NoInflightDowngradeError
            self._log.warn("failed to cancel downgrade", error=NoInflightDowngradeError.text)
        else:
            await self._set(None)
        return self._shown(self._cluster.version)

    async def _checked(self, text: str) -> tuple[Version, Version]:
        """The cluster's version and the target."""
        try:
            target = parse_version(text).cluster
        except ConfigError:
            raise WrongDowngradeVersionError from None
        await self._wait_linearizable()
        current = self._cluster.version
        if current is None:
            newer = self._version >= REFUSED_PRECONDITION_SINCE
            code = Code.FAILED_PRECONDITION if newer else Code.UNAVAILABLE
            raise StatusError(code, NO_CLUSTER_VERSION)
        if target != lower_version(current):
            raise InvalidDowngradeTargetError
        if self._cluster.downgrade_target is not None:
            raise DowngradeInProgressError
        return current, target

    def _shown(self, version: Version | None) -> str:
        """The cluster's version as the answer has it: X.Y from 3.6 on."""
        assert version is not None
        return version.short if self._version >= REFUSED_PRECONDITION_SINCE else str(version)

    async def _set(self, target: Version | None) -> None:
        request = DowngradeInfoSetRequest(
            enabled=target is not None, ver="" if target is None else str(target)
        )
        await self._propose(entries.DOWNGRADE_INFO_SET, request)

    # When it is done.

    def round(self) -> None:
        """The leader looks whether all members have reached the lower version."""
        idle = self._looking is None or self._looking.done()
        if idle and self._leads() and self._cluster.downgrade_target is not None:
            self._looking = asyncio.ensure_future(self._end_when_reached())

    def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()

    async def _end_when_reached(self) -> None:
        versions = await self._member_versions()
        target = self._cluster.downgrade_target
        if target is None or not self._leads():
            return
        if self._cluster.version != target:
            return  # nobody would take it down once the permission has ended
        if all(version is not None and version.cluster == target for version in versions):
            self._log.info("the cluster has been downgraded", cluster_version=str(target))
            try:
                await self._set(None)
            except WireError as error:
                self._log.warn("failed to cancel downgrade", error=error)
