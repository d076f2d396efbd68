"""Changes of the configuration, from one `Configuration` to the next.

A change of one voter may be made in one step, because any majority before and any majority after
it share a member. Everything else goes through a joint configuration: it is entered with the
changes, and left by a change that holds none.

Pure: nothing here knows of logs or progress.

Source: Raft thesis 4.1 (one at a time), 4.3 (joint); etcd raft's ConfChangeV2 for the transitions.
"""

from __future__ import annotations

from collections.abc import Iterable

from kvorum.proto.raftpb import (
    ConfChange,
    ConfChangeSingle,
    ConfChangeTransition,
    ConfChangeType,
    ConfChangeV2,
    ConfState,
    Entry,
    EntryType,
)
from kvorum.raft.errors import ConfChangeError
from kvorum.raft.membership import Configuration

_KNOWN_TYPES = frozenset(ConfChangeType)
_KNOWN_TRANSITIONS = frozenset(ConfChangeTransition)


def decode_change(entry: Entry) -> ConfChangeV2:
    """The change that an entry of one of the two types holds.

    Raises:
        DecodeError: the data is no configuration change.
    """
    data = entry.data or b""
    if entry.type == EntryType.CONF_CHANGE:
        return ConfChange.decode(data).as_v2()
    return ConfChangeV2.decode(data)


def encode_change(change: ConfChange | ConfChangeV2) -> Entry:
    """The entry to propose for a change. The old kind stays old, so that old members read it."""
    kind = EntryType.CONF_CHANGE if isinstance(change, ConfChange) else EntryType.CONF_CHANGE_V2
    return Entry(kind, 0, 0, change.encode())


def leaves_joint(change: ConfChangeV2) -> bool:
    """Whether the change is the one that ends a joint configuration."""
    return not change.changes and change.transition == ConfChangeTransition.AUTO


def refusal(config: Configuration, change: ConfChangeV2) -> str | None:
    """Why a leader should not take the change into its log now; None when it may.

    The texts are etcd's.
    """
    if config.is_joint and not leaves_joint(change):
        return "must transition out of joint config first"
    if not config.is_joint and not change.changes:
        return "not in joint state; refusing empty conf change"
    if change.transition not in _KNOWN_TRANSITIONS:
        return f"unknown transition {change.transition}"
    for single in change.changes:
        if single.type not in _KNOWN_TYPES:
            return f"unexpected conf type {single.type}"
    return None


def changed(config: Configuration, change: ConfChangeV2) -> Configuration:
    """The configuration after `change`, in the way that its transition asks for.

    Raises:
        ConfChangeError: it cannot be made; with etcd's text.
    """
    if leaves_joint(change):
        return leave_joint(config)
    if change.transition != ConfChangeTransition.AUTO or len(change.changes) > 1:
        auto_leave = change.transition != ConfChangeTransition.JOINT_EXPLICIT
        return enter_joint(config, change.changes, auto_leave=auto_leave)
    return simple(config, change.changes)


def simple(config: Configuration, changes: Iterable[ConfChangeSingle]) -> Configuration:
    """Make changes in one step; at most one voter may come or go.

    Raises:
        ConfChangeError: more would, or no voter would be left, or the configuration is joint.
    """
    if config.is_joint:
        raise ConfChangeError("can't apply simple config change in joint config")
    result = _apply(config, changes)
    if len(config.voters ^ result.voters) > 1:
        raise ConfChangeError("more than one voter changed without entering joint config")
    return result


def enter_joint(
    config: Configuration, changes: Iterable[ConfChangeSingle], *, auto_leave: bool
) -> Configuration:
    """Join the configuration with the one that the changes make of it.

    Raises:
        ConfChangeError: it is joint already, or there is no voter before or after.
    """
    if config.is_joint:
        raise ConfChangeError("config is already joint")
    if not config.voters:
        raise ConfChangeError("can't make a zero-voter config joint")
    joint = Configuration(
        voters=config.voters,
        outgoing=config.voters,
        learners=config.learners,
        auto_leave=auto_leave,
    )
    return _apply(joint, changes)


def leave_joint(config: Configuration) -> Configuration:
    """Drop the outgoing half; the learners that waited for that become learners.

    Raises:
        ConfChangeError: the configuration is not joint.
    """
    if not config.is_joint:
        raise ConfChangeError("can't leave a non-joint config")
    return Configuration(voters=config.voters, learners=config.learners | config.learners_next)


def configuration_of(state: ConfState) -> Configuration:
    """The configuration that a snapshot, from the disk or from a peer, tells of.

    Raises:
        ConfChangeError: it contradicts itself.
    """
    voters, outgoing = frozenset(state.voters), frozenset(state.voters_outgoing)
    learners, waiting = frozenset(state.learners), frozenset(state.learners_next)
    sound = (
        0 not in voters | outgoing | learners | waiting
        and not learners & (voters | outgoing)
        and waiting <= outgoing - voters
        and (outgoing or not state.auto_leave)
    )
    if not sound:
        raise ConfChangeError(f"impossible configuration {state}")
    return Configuration(
        voters=voters,
        outgoing=outgoing,
        learners=learners,
        learners_next=waiting,
        auto_leave=state.auto_leave,
    )


def _apply(config: Configuration, changes: Iterable[ConfChangeSingle]) -> Configuration:
    """Make the changes, one after the other, to the incoming half and the learners."""
    voters, learners = set(config.voters), set(config.learners)
    waiting = set(config.learners_next)
    for change in changes:
        node = change.node_id
        if change.type not in _KNOWN_TYPES:
            raise ConfChangeError(f"unexpected conf type {change.type}")
        # Id 0 marks a change that the server refused after it was committed (etcd does the same).
        # An update changes what the server knows of a member, and nothing here.
        if node == 0 or change.type == ConfChangeType.UPDATE_NODE:
            continue
        voters.discard(node)
        learners.discard(node)
        waiting.discard(node)
        if change.type == ConfChangeType.ADD_NODE:
            voters.add(node)
        elif change.type == ConfChangeType.ADD_LEARNER_NODE:
            # Still a voter of the outgoing half: it cannot be both, so it waits until that is left.
            (waiting if node in config.outgoing else learners).add(node)
    if not voters:
        raise ConfChangeError("removed all voters")
    return Configuration(
        voters=frozenset(voters),
        outgoing=config.outgoing,
        learners=frozenset(learners),
        learners_next=frozenset(waiting),
        auto_leave=config.auto_leave,
    )


__all__ = [
    "changed",
    "configuration_of",
    "decode_change",
    "encode_change",
    "enter_joint",
    "leave_joint",
    "leaves_joint",
    "refusal",
    "simple",
]
