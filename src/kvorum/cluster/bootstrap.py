"""What a new cluster starts with: ids from `--initial-cluster`, and the first log entries.

Every founding member writes the same entries on its own, without talking to the others: one
configuration change per member, in order of ids, all in term 1 and committed. Elections start at
term 2.

Source: shared facts, disk.md section 2 ("Fresh cluster contents", checked there).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kvorum.cluster.ids import bootstrap_member_id, cluster_id
from kvorum.cluster.member import Member
from kvorum.cluster.members import add_change
from kvorum.errors import ConfigError
from kvorum.proto.raftpb import Entry, EntryType, HardState

BOOTSTRAP_TERM = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """A cluster before its first start."""

    cluster_id: int
    members: tuple[Member, ...]
    """By id. Client URLs are not known yet."""

    def member_named(self, name: str) -> Member:
        """The member that `--name` says we are.

        Raises:
            ConfigError: no founding member has this name.
        """
        for member in self.members:
            if member.name == name:
                return member
        raise ConfigError(
            f'couldn\'t find local name "{name}" in the initial cluster configuration'
        )

    def entries(self) -> list[Entry]:
        """The first entries of the log, from index 1."""
        return [
            Entry(
                type=EntryType.CONF_CHANGE,
                term=BOOTSTRAP_TERM,
                index=index,
                data=add_change(0, member).encode(),
            )
            for index, member in enumerate(self.members, start=1)
        ]

    def hard_state(self) -> HardState:
        """Term 1, nobody voted for, and all of `entries()` committed."""
        return HardState(term=BOOTSTRAP_TERM, vote=0, commit=len(self.members))


class Joining(Bootstrap):
    """A cluster that exists already: everything else of it comes from its leader."""

    def entries(self) -> list[Entry]:
        """Nothing: the log begins with what the leader sends."""
        return []

    def hard_state(self) -> HardState:
        """As nothing has happened yet."""
        return HardState()


def bootstrap(initial_cluster: Mapping[str, Iterable[str]], token: str) -> Bootstrap:
    """Derive ids and members from the parsed `--initial-cluster` and its token.

    Raises:
        ConfigError: two members share a peer URL list, or there is no member.
    """
    members = [
        Member(id=bootstrap_member_id(urls, token), peer_urls=tuple(urls), name=name)
        for name, urls in initial_cluster.items()
    ]
    if not members:
        raise ConfigError("initial cluster unset and no discovery URL found")
    members.sort(key=lambda member: member.id)
    ids = [member.id for member in members]
    if len(set(ids)) != len(ids):
        raise ConfigError("two members of the initial cluster have the same peer URLs")
    return Bootstrap(cluster_id=cluster_id(ids), members=tuple(members))
