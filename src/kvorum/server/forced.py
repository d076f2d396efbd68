"""`--force-new-cluster`: a member of a cluster that is lost becomes a cluster of one with its data.

Entries that remove every other member are put behind the log as if they had been agreed on. They
are applied like any others, so that the log, the database and every later reader tell the same
story. Nobody else may be running: members that are still a majority would go on without this one,
and both sides would have the same cluster id.

The whole log counts as committed. (Stock drops what is behind the last known commit index, which
after a crash can be a write that a client was told is done: the index is written with the next
entry. A cluster of one would commit these entries anyway.)

Source: etcd server (restartAsStandaloneNode); seen on 3.5.1.
"""

from __future__ import annotations

from collections.abc import Iterable

from kvorum.cluster.ids import hex_id
from kvorum.cluster.members import promote_change, remove_change
from kvorum.errors import ConfigError
from kvorum.proto.raftpb import (
    ConfChange,
    ConfChangeType,
    ConfState,
    Entry,
    EntryType,
    HardState,
)
from kvorum.server.log import Logger
from kvorum.wal import Wal, WalContents


def force_new_cluster(
    wal: Wal,
    contents: WalContents,
    state: HardState,
    *,
    member_id: int,
    known: ConfState | None,
    applied: int,
    log: Logger,
) -> HardState:
    """Write the entries, durably, and add them to `contents`. Returns the state with them.

    `known` is the configuration at `applied`; None: there is none before the first entry.

    Raises:
        ConfigError: this is not a member that could be a cluster.
    """
    commit = max(state.commit, applied)
    last = contents.entries[-1].index if contents.entries else commit
    if last > commit:
        log.info(
            "keeping uncommitted WAL entries",
            commit_index_from_wal=commit,
            number_of_kept_entries=last - commit,
        )
    voters, learners = _members(known, contents.entries, applied)
    changes = [remove_change(0, other) for other in sorted(voters | learners) if other != member_id]
    if member_id in learners:
        changes.insert(0, promote_change(0, member_id))
    elif member_id not in voters:
        raise ConfigError(
            f"--force-new-cluster: member {hex_id(member_id)} is not in the membership that its "
            "own log tells of; it was removed, or has not caught up since it was added"
        )
    entries = [
        Entry(
            type=EntryType.CONF_CHANGE,
            term=state.term,
            index=last + number,
            data=change.encode(),
        )
        for number, change in enumerate(changes, start=1)
    ]
    forced = HardState(term=state.term, vote=state.vote, commit=last + len(entries))
    wal.save(forced, entries, must_sync=True)
    contents.entries.extend(entries)
    log.info(
        "forcing restart member",
        local_member_id=hex_id(member_id),
        commit_index=forced.commit,
        removed_members=[hex_id(one.node_id) for one in changes if one.node_id != member_id],
    )
    return forced


def _members(
    known: ConfState | None, entries: Iterable[Entry], applied: int
) -> tuple[set[int], set[int]]:
    """Voters and learners behind the last entry."""
    voters = set(known.voters) if known is not None else set()
    learners = set(known.learners) if known is not None else set()
    for entry in entries:
        if entry.index <= applied or entry.type != EntryType.CONF_CHANGE or not entry.data:
            continue
        change = ConfChange.decode(entry.data)
        if change.type == ConfChangeType.UPDATE_NODE:
            continue
        voters.discard(change.node_id)
        learners.discard(change.node_id)
        if change.type == ConfChangeType.ADD_NODE:
            voters.add(change.node_id)
        elif change.type == ConfChangeType.ADD_LEARNER_NODE:
            learners.add(change.node_id)
    return voters, learners
