"""What `--force-new-cluster` writes into the log. The logs are real."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvorum.cluster.member import Member
from kvorum.cluster.members import add_change, remove_change
from kvorum.embed.logging import stdlib_logger
from kvorum.errors import ConfigError
from kvorum.proto.raftpb import (
    ConfChange,
    ConfChangeType,
    ConfState,
    Entry,
    EntryType,
    HardState,
)
from kvorum.server.forced import force_new_cluster
from kvorum.wal import Wal, WalContents, WalSnapshot

OWN, OTHER, THIRD = 1, 2, 3


def change(index: int, one: ConfChange) -> Entry:
    return Entry(type=EntryType.CONF_CHANGE, term=1, index=index, data=one.encode())


def add(index: int, member_id: int, *, is_learner: bool = False) -> Entry:
    urls = (f"http://10.0.0.{member_id}:2380",)
    return change(index, add_change(0, Member(id=member_id, peer_urls=urls, is_learner=is_learner)))


def forced(
    folder: Path,
    entries: list[Entry],
    commit: int,
    known: ConfState | None = None,
    applied: int = 0,
) -> tuple[HardState, list[tuple[int, int, int]], WalContents]:
    """State, changes that were added (index, type, member), and the log as it is read back."""
    state, entries_count = HardState(term=5, vote=1, commit=commit), len(entries)
    with Wal.create(folder / "wal", b"") as wal:
        wal.save(state, entries, must_sync=True)
        contents = WalContents(WalSnapshot(0, 0))
        contents.entries = list(entries)
        after = force_new_cluster(
            wal,
            contents,
            state,
            member_id=OWN,
            known=known,
            applied=applied,
            log=stdlib_logger(),
        )
    again, read = Wal.open(folder / "wal", WalSnapshot(0, 0))
    again.close()
    added = []
    for entry in contents.entries:
        if entry.index > entries_count:
            assert entry.data is not None
            one = ConfChange.decode(entry.data)
            added.append((entry.index, one.type, one.node_id))
    assert [(e.index, e.term, e.data) for e in read.entries] == [
        (e.index, e.term, e.data) for e in contents.entries
    ]
    return after, added, read


def test_every_other_member_is_removed_behind_the_last_committed_entry(tmp_path: Path) -> None:
    entries = [add(1, OWN), add(2, OTHER), add(3, THIRD), Entry(term=2, index=4, data=b"x")]
    state, added, read = forced(tmp_path, entries, commit=4)
    removal = ConfChangeType.REMOVE_NODE
    assert added == [(5, removal, OTHER), (6, removal, THIRD)]
    assert (state.term, state.commit) == (5, 6)
    assert read.hard_state.commit == 6


def test_what_is_not_known_to_be_committed_is_kept(tmp_path: Path) -> None:
    """A client may have been told that it is written."""
    entries = [add(1, OWN), add(2, OTHER), Entry(term=2, index=3, data=b"kept")]
    state, added, read = forced(tmp_path, entries, commit=2)
    assert added == [(4, ConfChangeType.REMOVE_NODE, OTHER)]
    assert state.commit == 4
    assert [entry.data for entry in read.entries][2] == b"kept"


def test_a_member_that_was_removed_before_is_not_removed_again(tmp_path: Path) -> None:
    entries = [add(1, OWN), add(2, OTHER), change(3, remove_change(0, OTHER))]
    _, added, _ = forced(tmp_path, entries, commit=3)
    assert added == []


def test_what_the_database_has_applied_is_not_looked_up_in_the_log(tmp_path: Path) -> None:
    entries = [add(1, OWN), add(2, OTHER), add(3, THIRD)]
    known = ConfState(voters=[OWN, THIRD])
    _, added, _ = forced(tmp_path, entries, commit=3, known=known, applied=3)
    assert added == [(4, ConfChangeType.REMOVE_NODE, THIRD)]


def test_a_learner_becomes_a_voter_and_learners_go(tmp_path: Path) -> None:
    entries = [add(1, OWN, is_learner=True), add(2, OTHER), add(3, THIRD, is_learner=True)]
    _, added, _ = forced(tmp_path, entries, commit=3)
    assert added == [
        (4, ConfChangeType.ADD_NODE, OWN),
        (5, ConfChangeType.REMOVE_NODE, OTHER),
        (6, ConfChangeType.REMOVE_NODE, THIRD),
    ]


def test_a_member_that_its_own_log_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not in the membership that its own log tells of"):
        forced(tmp_path, [add(1, OTHER)], commit=1)
