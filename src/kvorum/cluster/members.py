"""The membership of one cluster: who is in it, who was, and at which version it runs.

Place: the server applies configuration changes, published attributes and cluster versions from the
log to it, in log order; everything else only reads. Every accepted change is written to the
backend in the same transaction as the rest of its entry.

A change is checked twice. The server may call `check_reconfiguration` before it proposes (with what
it knows of connections); `validate` decides when the entry is applied, from the membership alone,
so that every member decides alike. A refused change still goes through raft, as a no-op.

Source: etcd server/etcdserver/api/membership; shared facts, peer.md sections 7 and 10, disk.md 5.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from kvorum.cluster import gojson, v2store
from kvorum.cluster.ids import hex_id
from kvorum.cluster.member import Member
from kvorum.cluster.store import MembershipStore
from kvorum.cluster.versions import DOWNGRADES_SINCE
from kvorum.errors import (
    MemberExistsError,
    MemberNotEnoughStartedError,
    MemberNotFoundError,
    MemberNotLearnerError,
    PeerUrlExistsError,
    TooManyLearnersError,
)
from kvorum.proto.raftpb import ConfChange, ConfChangeType, ConfState
from kvorum.proto.versions import Version

LEARNERS_MAX = 1
"""Learners at the same time, unless configured (`--max-learners`)."""

_ADDS = (ConfChangeType.ADD_NODE, ConfChangeType.ADD_LEARNER_NODE)


class Cluster:
    """Members by id, removed ids, and the cluster version."""

    __slots__ = (
        "_members",
        "_removed",
        "_store",
        "downgrade_target",
        "id",
        "learners_max",
        "version",
    )

    def __init__(
        self, cluster_id: int, store: MembershipStore, *, learners_max: int = LEARNERS_MAX
    ) -> None:
        self.id = cluster_id
        self.learners_max = learners_max
        self.version: Version | None = None
        self.downgrade_target: Version | None = None
        """The lower version that the cluster is being taken to."""
        self._store = store
        self._members: dict[int, Member] = {}
        self._removed: set[int] = set()

    # ---- reading -------------------------------------------------------------------------

    def member(self, member_id: int) -> Member | None:
        return self._members.get(member_id)

    def members(self) -> list[Member]:
        """All members, by id: the order of `member list`."""
        return [self._members[n] for n in sorted(self._members)]

    def voters(self) -> list[Member]:
        return [member for member in self.members() if not member.is_learner]

    def is_removed(self, member_id: int) -> bool:
        return member_id in self._removed

    def removed_ids(self) -> list[int]:
        return sorted(self._removed)

    def conf_state(self) -> ConfState:
        """The configuration that raft has when all changes so far are applied."""
        members = self.members()
        return ConfState(
            voters=[m.id for m in members if not m.is_learner],
            learners=[m.id for m in members if m.is_learner],
        )

    def encode_v2(self) -> bytes:
        """The membership as a raft snapshot's `data`."""
        return v2store.encode(self._members.values(), self._removed, self.version)

    # ---- taking over ---------------------------------------------------------------------

    def restore(self) -> None:
        """Read everything back from the backend; what was known before is forgotten."""
        self._members = {member.id: member for member in self._store.members()}
        self._removed = set(self._store.removed_ids())
        self.version = self._store.version()
        self.downgrade_target = self._store.downgrade_target()

    def replace_with(self, membership: v2store.Membership) -> None:
        """Take the membership of a snapshot over, and make the backend say the same.

        Needed where the backend's own records cannot be trusted: directories of etcd up to 3.5, in
        which the version-2 store is the authority.
        """
        self._members = dict(membership.members)
        self._removed = set(membership.removed)
        self.version = membership.version
        self._store.replace(self._members.values(), self._removed, self.version)

    # ---- configuration changes -----------------------------------------------------------

    def validate(self, change: ConfChange) -> None:
        """Whether a committed change may be done; decided alike by every member.

        Raises:
            RequestError: it may not; the caller applies a change of node 0 in its place.
            DecodeError: the context cannot be read; likewise.
        """
        member_id = change.node_id
        known = self._members.get(member_id)
        if member_id in self._removed:
            raise MemberNotFoundError  # also stock's answer for an id that was removed
        if change.type in _ADDS:
            given, promotes = _read_context(change)
            if not promotes:
                self._validate_add(member_id, given)
            elif known is None:
                raise MemberNotFoundError
            elif not known.is_learner:
                raise MemberNotLearnerError
        elif known is None:
            raise MemberNotFoundError
        elif change.type == ConfChangeType.UPDATE_NODE:
            self._check_urls_are_free(_read_context(change)[0].peer_urls, owner=member_id)

    def _validate_add(self, member_id: int, given: Member) -> None:
        if member_id in self._members:
            raise MemberExistsError
        self._check_urls_are_free(given.peer_urls, owner=member_id)
        if given.is_learner:
            learners = sum(member.is_learner for member in self._members.values())
            if learners >= self.learners_max:
                raise TooManyLearnersError

    def _check_urls_are_free(self, urls: Iterable[str], *, owner: int) -> None:
        taken = {u for m in self._members.values() if m.id != owner for u in m.peer_urls}
        if not taken.isdisjoint(urls):
            raise PeerUrlExistsError

    def apply(self, change: ConfChange) -> None:
        """Do a change that `validate` let through, and write it to the backend."""
        member_id = change.node_id
        if change.type == ConfChangeType.REMOVE_NODE:
            self._remove(member_id)
            return
        given, promotes = _read_context(change)
        known = self._members.get(member_id)
        if promotes:
            assert known is not None, hex_id(member_id)
            self._put(replace(known, is_learner=False))
        elif change.type == ConfChangeType.UPDATE_NODE:
            assert known is not None, hex_id(member_id)
            self._put(replace(known, peer_urls=given.peer_urls))
        else:
            self._put(replace(given, id=member_id))

    def _put(self, member: Member) -> None:
        self._members[member.id] = member
        self._store.put_member(member)

    def _remove(self, member_id: int) -> None:
        self._members.pop(member_id, None)
        self._removed.add(member_id)
        self._store.remove_member(member_id)

    # ---- what members publish ------------------------------------------------------------

    def set_attributes(self, member_id: int, name: str, client_urls: Iterable[str]) -> bool:
        """Take a member's published name and client URLs over.

        Returns:
            False when it is no member (it may have been removed meanwhile): nothing was changed.
        """
        known = self._members.get(member_id)
        if known is None:
            return False
        self._put(replace(known, name=name, client_urls=tuple(client_urls)))
        return True

    def set_version(self, version: Version) -> None:
        """Take a committed cluster version over."""
        self.version = version
        self._store.put_version(version)
        if version < DOWNGRADES_SINCE and self.downgrade_target is not None:
            # It has been reached, and the entry that says so would end members of that version.
            self.set_downgrade_target(None)

    def set_downgrade_target(self, target: Version | None) -> None:
        """Allow members of a lower version, or (None) no longer."""
        self.downgrade_target = target
        self._store.put_downgrade_target(target)

    # ---- before a change is proposed -----------------------------------------------------

    def check_add_voter(self) -> None:
        """Refuse a new voter that would leave too few started voters for the new quorum.

        Raises:
            MemberNotEnoughStartedError
        """
        voters = self.voters()
        started = sum(member.is_started for member in voters)
        if started == 1 and len(voters) == 1:
            return  # growing from one to two members is allowed; there is no other way to grow
        _check_quorum(started, len(voters) + 1)

    def check_remove(self, member_id: int) -> None:
        """Refuse a removal that would leave too few started voters for the new quorum.

        Raises:
            MemberNotFoundError: not a member.
            MemberNotEnoughStartedError
        """
        member = self._members.get(member_id)
        if member is None:
            raise MemberNotFoundError
        if member.is_learner:
            return
        others = [voter for voter in self.voters() if voter.id != member_id]
        started = sum(voter.is_started for voter in others)
        if not others:
            raise MemberNotEnoughStartedError  # the last voter: nobody would be left to commit
        _check_quorum(started, len(others))

    def check_promote(self) -> None:
        """Refuse a promotion that would leave too few started voters for the new quorum.

        The learner itself counts as started: it is, or it could not be in step with the leader.

        Raises:
            MemberNotEnoughStartedError
        """
        voters = self.voters()
        started = sum(voter.is_started for voter in voters)
        _check_quorum(started + 1, len(voters) + 1)


def _check_quorum(started: int, size: int) -> None:
    if started < size // 2 + 1:
        raise MemberNotEnoughStartedError


def _read_context(change: ConfChange) -> tuple[Member, bool]:
    """The member in a change's context, and whether the change promotes it."""
    record = gojson.loads_object(change.context or b"", "configuration change context")
    return Member.from_record(record), record.get("isPromote") is True


def _change(kind: ConfChangeType, request_id: int, member_id: int, context: Any) -> ConfChange:
    data = None if context is None else gojson.dumps(context)
    return ConfChange(id=request_id, type=kind, node_id=member_id, context=data)


def add_change(request_id: int, member: Member) -> ConfChange:
    """The configuration change that adds `member`, as voter or learner."""
    kind = ConfChangeType.ADD_LEARNER_NODE if member.is_learner else ConfChangeType.ADD_NODE
    return ConfChange(id=request_id, type=kind, node_id=member.id, context=member.encode())


def remove_change(request_id: int, member_id: int) -> ConfChange:
    """The configuration change that removes a member for good."""
    return _change(ConfChangeType.REMOVE_NODE, request_id, member_id, None)


def update_change(request_id: int, member_id: int, peer_urls: Iterable[str]) -> ConfChange:
    """The configuration change that gives a member other peer URLs."""
    context = {"id": member_id, "peerURLs": list(peer_urls)}
    return _change(ConfChangeType.UPDATE_NODE, request_id, member_id, context)


def promote_change(request_id: int, member_id: int) -> ConfChange:
    """The configuration change that makes a learner a voter."""
    context = {"id": member_id, "peerURLs": None, "isPromote": True}
    return _change(ConfChangeType.ADD_NODE, request_id, member_id, context)
