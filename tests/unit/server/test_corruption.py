"""Comparisons with other members, on what they tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kvorum.mvcc.compaction_hash import CompactionHash, CompactionHashes
from kvorum.server.corruption import CorruptionChecker, InconsistentError
from kvorum.server.key_hashes import Hashed
from tests.unit.server.clusters import open_cluster, url_of, voter
from tests.unit.server.others import Events, Others, recording_log

OURS = Hashed(value=77, compact_revision=5, revision=10)


class Leader:
    """Member 1 of three, and what its checks have done."""

    def __init__(self, cluster: Any) -> None:
        self.others = Others()
        self.hashes = CompactionHashes()
        self.hashed = [OURS, OURS]
        self.alarms: list[int] = []
        log, self.events = recording_log()
        self.checker = CorruptionChecker(
            1,
            cluster,
            self.others,
            self.hashes,
            hash_here=self._hash,
            newest=lambda: OURS.revision,
            wait_linearizable=self._wait,
            raise_alarm=self._raise,
            log=log,
        )

    def tell(self, member_id: int, value: int, compact_revision: int = 5, newest: int = 10) -> None:
        self.others.told_hashes[url_of(member_id)] = {
            "header": {"revision": newest},
            "hash": value,
            "compact_revision": compact_revision,
        }

    async def _hash(self, revision: int) -> Hashed:
        assert revision == 0
        return self.hashed.pop(0)

    async def _wait(self) -> None:
        return

    async def _raise(self, member_id: int) -> None:
        self.alarms.append(member_id)


@pytest.fixture
def leader() -> Iterator[Leader]:
    with open_cluster(voter(1), voter(2), voter(3)) as cluster:
        yield Leader(cluster)


async def test_a_member_that_differs_does_not_start(leader: Leader) -> None:
    leader.tell(2, 78)
    with pytest.raises(InconsistentError, match="1 found data inconsistency with peers"):
        await leader.checker.check_initially()


@pytest.mark.parametrize("theirs", [(77, 5), (78, 4), None])
async def test_a_member_starts_beside_others_that_agree_or_cannot_be_compared(
    leader: Leader, theirs: tuple[int, int] | None
) -> None:
    if theirs is not None:
        leader.tell(2, *theirs)
    await leader.checker.check_initially()
    assert "initial corruption checking passed; no corruption" in leader.events.messages


async def test_members_that_agree_raise_no_alarm(leader: Leader) -> None:
    leader.tell(2, 77)
    leader.tell(3, 60, compact_revision=4, newest=9)  # behind: nothing to compare
    await leader.checker.check_now()
    assert leader.alarms == []
    assert _field(leader.events, "finished peer corruption check", "number-of-peers-checked") == 2


@pytest.mark.parametrize(
    ("value", "compact_revision", "newest"), [(78, 5, 10), (77, 5, 11), (77, 6, 10)]
)
async def test_the_member_whose_data_cannot_be_right_gets_the_alarm(
    leader: Leader, value: int, compact_revision: int, newest: int
) -> None:
    leader.tell(2, 77)
    leader.tell(3, value, compact_revision, newest)
    await leader.checker.check_now()
    assert leader.alarms == [3]


async def test_a_leader_that_contradicts_itself_accuses_itself(leader: Leader) -> None:
    leader.hashed = [OURS, OURS._replace(value=78)]
    await leader.checker.check_now()
    assert leader.alarms == [1]


async def test_a_minority_is_found_by_the_hash_of_a_compaction(leader: Leader) -> None:
    leader.hashes.add(CompactionHash(50, 5, 9))
    leader.tell(2, 50)
    leader.tell(3, 51)
    await leader.checker.check_compactions()
    assert leader.alarms == [3]


async def test_a_leader_that_is_the_minority_gets_the_alarm_itself(leader: Leader) -> None:
    leader.hashes.add(CompactionHash(50, 5, 9))
    leader.tell(2, 51)
    leader.tell(3, 51)
    await leader.checker.check_compactions()
    assert leader.alarms == [1]


async def test_without_a_majority_nobody_in_particular_gets_it(leader: Leader) -> None:
    leader.hashes.add(CompactionHash(50, 5, 9))
    leader.tell(2, 51)
    leader.tell(3, 52)
    await leader.checker.check_compactions()
    assert leader.alarms == [0]


async def test_hashes_that_all_have_agreed_on_are_not_asked_for_again(leader: Leader) -> None:
    for revision in (7, 9):
        leader.hashes.add(CompactionHash(50, 5, revision))
    leader.tell(2, 50)
    leader.tell(3, 50)
    await leader.checker.check_compactions()
    assert _field(leader.events, "finished compaction hash check", "number-of-hashes-checked") == 1
    await leader.checker.check_compactions()
    assert _field(leader.events, "finished compaction hash check", "number-of-hashes-checked") == 0
    assert leader.alarms == []


async def test_a_member_with_another_last_compaction_cannot_be_compared(leader: Leader) -> None:
    leader.hashes.add(CompactionHash(50, 5, 9))
    leader.tell(2, 50)
    leader.tell(3, 51, compact_revision=4)
    await leader.checker.check_compactions()
    assert leader.alarms == []
    assert "Skipped peer's hash" in leader.events.messages


def _field(events: Events, message: str, name: str) -> Any:
    return events.fields_of(message)[name]
