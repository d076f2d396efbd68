"""The cluster version: how it is chosen from the members' server versions.

Pure functions; the server asks for the members' versions and proposes the answer.

Source: shared facts, peer.md section 12.
"""

from __future__ import annotations

from collections.abc import Iterable

from kvorum.errors import KvorumError
from kvorum.proto.versions import MIN_CLUSTER_VERSION, Version


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
    one minor version down, to the target.
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
        return downgrade_target if downgrade_target == lower_version(current) else None
    return lowest if lowest > current else None


def lower_version(version: Version) -> Version:
    """The version that a cluster at `version` may be taken down to.

    Source: etcd server/etcdserver/version (allowedDowngradeVersion).
    """
    return Version(version.major, version.minor - 1)


def check_not_downgraded(server: Version, cluster: Version | None) -> None:
    """Refuse to run below the cluster version.

    Raises:
        DowngradeError: `server` is older than `cluster`; the text is stock's.
    """
    if cluster is not None and server.cluster < cluster:
        raise DowngradeError(
            "invalid downgrade; server version is lower than determined cluster version "
            f"(current server version {server}, determined cluster version {cluster.short})"
        )
