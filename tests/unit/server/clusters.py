"""Memberships on a real backend, for the parts that look at one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from kvorum.cluster.member import Member
from kvorum.cluster.members import Cluster, add_change
from kvorum.cluster.store import MembershipStore
from kvorum.storage import Backend


def url_of(member_id: int) -> str:
    return f"http://m{member_id}:2380"


def voter(member_id: int, *, started: bool = True) -> Member:
    name = f"m{member_id}" if started else ""
    return Member(id=member_id, peer_urls=(url_of(member_id),), name=name)


def learner(member_id: int) -> Member:
    return Member(id=member_id, peer_urls=(url_of(member_id),), is_learner=True)


@contextmanager
def open_cluster(*members: Member) -> Iterator[Cluster]:
    """A cluster of these members."""
    with (
        TemporaryDirectory(prefix="kvorum-cluster-") as folder,
        Backend.open(Path(folder) / "db", fsync=False) as backend,
    ):
        cluster = Cluster(0xC1, MembershipStore(backend))
        for member in members:
            cluster.apply(add_change(0, member))
            if member.name:
                cluster.set_attributes(member.id, member.name, ())
        yield cluster
