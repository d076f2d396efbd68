"""Member, cluster and request ids, computed as every etcd member computes them.

Members that start from the same `--initial-cluster` must agree on all ids without having talked
to each other, so the formulas are part of the peer protocol.

Source: shared facts, peer.md section 6 (checked there against 3.4.23 and 3.5.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha1

_MASK_40 = (1 << 40) - 1
_MASK_48 = (1 << 48) - 1


def _first_8_bytes(data: bytes) -> int:
    return int.from_bytes(sha1(data, usedforsecurity=False).digest()[:8], "big")


def bootstrap_member_id(peer_urls: Iterable[str], token: str) -> int:
    """Id of a member that is named in `--initial-cluster`.

    Args:
        peer_urls: as given by the user (hosts are not resolved); any order.
        token: `--initial-cluster-token`.
    """
    return _first_8_bytes(("".join(sorted(peer_urls)) + token).encode())


def added_member_id(peer_urls: Iterable[str], unix_s: int) -> int:
    """Id of a member that joins by `member add` at `unix_s` (seconds since 1970)."""
    return _first_8_bytes(("".join(sorted(peer_urls)) + str(unix_s)).encode())


def cluster_id(member_ids: Iterable[int]) -> int:
    """Id of the cluster that starts with these members. It never changes afterwards."""
    return _first_8_bytes(b"".join(n.to_bytes(8, "big") for n in sorted(member_ids)))


def hex_id(number: int) -> str:
    """An id as logs, keys and headers write it: lower-case hex without leading zeros."""
    return f"{number:x}"


class RequestIds:
    """Numbers for proposals: unique over all members, and over restarts of one member.

    The high 16 bits tell the member; the rest starts at the time of the start in milliseconds,
    shifted by 8 bits, and counts. An id can repeat only if a member makes more than 256 of them
    per millisecond from one start up to the next.
    """

    __slots__ = ("_count", "_prefix")

    def __init__(self, member_id: int, unix_ms: int) -> None:
        self._prefix = (member_id & 0xFFFF) << 48
        self._count = (unix_ms & _MASK_40) << 8

    def next(self) -> int:
        """The next id; never 0."""
        self._count = (self._count + 1) & _MASK_48
        return self._prefix | self._count or self.next()
