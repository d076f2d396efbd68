"""The cluster version: how it is chosen from the members' server versions.

Pure functions; the server asks for the members' versions and proposes the answer.

Source: shared facts, peer.md section 12.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kvorum.errors import KvorumError
from kvorum.proto.versions import MIN_CLUSTER_VERSION, Version

LOWERED_FIRST_SINCE: Final = Version(3, 6)
"""From here on a cluster's version falls as soon as a downgrade is allowed, and the members follow.
Members of older versions end when it falls below their own: there it falls when all have moved."""

DOWNGRADES_SINCE: Final = Version(3, 5)
"""Members of older versions do not know what a downgrade is."""


class DowngradeError(KvorumError):
    """The program is older than the version its cluster has agreed on; it must not run."""


def next_cluster_version(
    current: Version | None,
    member_versions: Iterable[Version | None],
    downgrade_target: Version | None = None,
) -> Version | None:
    """The cluster version to propose now, or None when nothing is to be done.

    Args:
        current: the agreed cluster version; None before there is one.
        member_versions: the server version of every member; None for one that did not answer.
        downgrade_target: the lower version that the cluster may go to; None: it may not.

    With no version yet, the lowest of the members is taken, or `MIN_CLUSTER_VERSION` when one of
    them is unknown. Later the version only rises, and only while all members are known; or it goes
    one minor version down, to the target (when: see `LOWERED_FIRST_SINCE`).
    """
    versions = list(member_versions)
    known = [version for version in versions if version is not None]
    complete = bool(known) and len(known) == len(versions)
    lowest = min(known).cluster if complete else None
    if current is None:
        return lowest or MIN_CLUSTER_VERSION
    if lowest is None:
        return None
    if downgrade_target is not None:
        all_moved = all(version.cluster <= downgrade_target for version in known)
        falls = current >= LOWERED_FIRST_SINCE or all_moved
        return downgrade_target if falls and downgrade_target == lower_version(current) else None
    return lowest if lowest > current else None


def lower_version(version: Version) -> Version:
    """The version that a cluster at `version` may be taken down to.

    Source: etcd server/etcdserver/version (allowedDowngradeVersion).
    """
    return Version(version.major, version.minor - 1)


def check_not_downgraded(
    server: Version, cluster: Version | None, downgrade_target: Version | None = None
) -> None:
    """Refuse to run below the cluster version.

    Args:
        server: the member's version.
        cluster: the cluster's.
        downgrade_target: the lower version that the cluster may go to; where its version falls last
            (see `LOWERED_FIRST_SINCE`), members of that one may run already.

    Raises:
        DowngradeError: `server` is older than `cluster`; the text is stock's.
    """
    if cluster is None or server.cluster >= cluster:
        return
    if cluster >= LOWERED_FIRST_SINCE or server.cluster != downgrade_target:
        raise DowngradeError(
            "invalid downgrade; server version is lower than determined cluster version "
            f"(current server version {server}, determined cluster version {cluster.short})"
        )
