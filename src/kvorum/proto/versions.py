"""Versions: which etcd this member presents itself as, and the arithmetic of X.Y.Z.

A member shows two versions. The *server version* is a property of the program (`3.6.0`, or the
minor chosen by `--emulated-version`); the *cluster version* is agreed through the log, is always
X.Y.0, and is never above the lowest server version among the members.

Source: shared facts, peer.md section 12; client.md section 12 (`GET /version`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from kvorum.errors import ConfigError


class Version(NamedTuple):
    """A version without pre-release or build parts; compares as its numbers do."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def short(self) -> str:
        """`X.Y`, as the storage of an emulated version and the API version are named."""
        return f"{self.major}.{self.minor}"

    @property
    def cluster(self) -> Version:
        """The cluster version that this server version stands for: X.Y.0."""
        return Version(self.major, self.minor, 0)


_PATTERN = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(?:\.(0|[1-9]\d{0,8}))?(?:[-+].*)?")


def parse_version(text: str) -> Version:
    """Read `X.Y` or `X.Y.Z`; a pre-release or build suffix is allowed and dropped.

    Raises:
        ConfigError: `text` is not a version.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ConfigError(f'"{text}" is not a version (expected X.Y or X.Y.Z)')
    major, minor, patch = match.groups(default="0")
    return Version(int(major), int(minor), int(patch))


DEFAULT_SERVER_VERSION = Version(3, 6, 0)
"""What a member presents itself as when `--emulated-version` is not given."""

MIN_CLUSTER_VERSION = Version(3, 0, 0)
"""The lowest cluster version that peers accept, and the version of a cluster with unknown members.

Source: etcd api/version, MinClusterVersion.
"""

EMULATED_MINORS = ("3.2", "3.3", "3.4", "3.5", "3.6", "3.7")
"""The values of `--emulated-version`."""

VERSION_NOT_DECIDED = "not_decided"
"""Stands for the cluster version in `GET /version` until there is one."""


def server_version(emulated: str) -> Version:
    """The server version presented for a value of `--emulated-version`.

    Raises:
        ConfigError: the value is not one of `EMULATED_MINORS`.
    """
    if emulated not in EMULATED_MINORS:
        known = ", ".join(EMULATED_MINORS)
        raise ConfigError(f'unknown emulated version "{emulated}" (known: {known})')
    return parse_version(emulated)
