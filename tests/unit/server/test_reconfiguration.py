"""Changes of the members: what is refused before anything is proposed, and what is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kvorum.cluster.members import Cluster
from kvorum.errors import (
    LearnerNotReadyError,
    MemberBadUrlsError,
    MemberNotEnoughStartedError,
    MemberNotFoundError,
    MemberNotLearnerError,
    PeerUrlExistsError,
    RequestError,
    RequestTimeoutError,
    StoppedError,
    UnhealthyClusterError,
    WireError,
)
from kvorum.proto.raftpb import ConfChange
from kvorum.proto.versions import Version
from kvorum.raft import DropReason, ProposalDroppedError
from kvorum.server.clock import monotonic_s
from kvorum.server.connectivity import HEALTHY_S, Connectivity
from kvorum.server.log import NO_LOG
from kvorum.server.reconfiguration import Reconfiguration
from tests.unit.server.clusters import learner, open_cluster, url_of, voter
from tests.unit.server.members import eventually

DEADLINE_S = 20.0
NEW_URL = "http://new:2380"


class Member1:
    """Member 1 of the cluster, leading it: what is proposed is applied at once."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.proposed: list[ConfChange] = []
        self.connected_s: dict[int, float | None] = {}
        self.match = {1: 1000}
        self.leaderless = 0
        """Proposals that find no leader."""
        self.applies = True
        self.reconfiguration: Reconfiguration
        self._last_id = 0

    def active_since(self, member_id: int) -> float | None:
        seconds = self.connected_s.get(member_id, 10 * HEALTHY_S)
        return None if seconds is None else monotonic_s() - seconds

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def matched(self) -> dict[int, int]:
        return self.match

    def timeout_error(self, begun_s: float) -> WireError:
        del begun_s
        return RequestTimeoutError()

    def propose_conf_change(self, change: ConfChange) -> None:
        if self.leaderless:
            self.leaderless -= 1
            raise ProposalDroppedError(DropReason.NO_LEADER)
        self.proposed.append(change)
        if not self.applies:
            return
        before, refusal = self.cluster.member(change.node_id), None
        try:
            self.cluster.validate(change)
            self.cluster.apply(change)
        except RequestError as error:
            refusal = error
        told = self.reconfiguration.applied
        asyncio.get_running_loop().call_soon(told, change, before, refusal)


Make = Callable[..., Member1]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes member 1 of a cluster; see `Member1`."""
    stack = []

    def made(*members: Any, **more: Any) -> Member1:
        opened = open_cluster(*members)
        stack.append(opened)
        member = Member1(opened.__enter__())
        settings: dict[str, Any] = {
            "strict": True,
            "version": Version(3, 6),
            "timeout_s": DEADLINE_S,
            "log": NO_LOG,
        }
        member.reconfiguration = Reconfiguration(
            1,
            member.cluster,
            Connectivity(1, member.active_since),
            member,
            **(settings | more),
        )
        return member

    yield made
    for opened in stack:
        opened.__exit__(None, None, None)


THREE = (voter(1), voter(2), voter(3))


async def test_a_member_is_added_with_sorted_urls_and_an_id_of_its_own(make: Make) -> None:
    member = make(*THREE)
    added = await member.reconfiguration.add([NEW_URL, "http://also:1"], is_learner=False)
    assert added.peer_urls == ("http://also:1", NEW_URL)
    assert member.cluster.member(added.id) == added


async def test_an_id_that_was_removed_does_not_come_back(make: Make) -> None:
    """Not even within the second that the id is made of; stock refuses that with `not found`."""
    member = make(*THREE)
    ids = set()
    for _ in range(3):
        added = await member.reconfiguration.add([NEW_URL], is_learner=True)
        await member.reconfiguration.remove(added.id)
        ids.add(added.id)
    assert len(ids) == 3


@pytest.mark.parametrize("urls", [[], ["new:2380"], ["ftp://new:2380"], [NEW_URL + "/path"]])
async def test_what_is_no_peer_url_is_refused(make: Make, urls: list[str]) -> None:
    member = make(*THREE)
    with pytest.raises(MemberBadUrlsError):
        await member.reconfiguration.add(urls, is_learner=False)
    with pytest.raises(MemberBadUrlsError):
        await member.reconfiguration.update(2, urls)
    assert member.proposed == []


async def test_what_apply_refuses_is_what_the_client_is_told(make: Make) -> None:
    member = make(*THREE)
    with pytest.raises(PeerUrlExistsError):
        await member.reconfiguration.add([url_of(2)], is_learner=True)
    with pytest.raises(MemberNotFoundError):
        await member.reconfiguration.update(99, [NEW_URL])


@pytest.mark.parametrize(
    ("version", "away", "allowed"),
    [
        (Version(3, 5), {}, True),
        (Version(3, 5), {3: None}, False),
        (Version(3, 5), {3: HEALTHY_S / 2}, False),
        (Version(3, 6), {3: None}, False),  # 4 members need 3
        (Version(3, 6), {}, True),
    ],
)
async def test_a_member_is_added_only_to_a_connected_cluster(
    make: Make, version: Version, away: dict[int, float | None], allowed: bool
) -> None:
    member = make(*THREE, version=version)
    member.connected_s |= away
    if allowed:
        await member.reconfiguration.add([NEW_URL], is_learner=False)
    else:
        with pytest.raises(UnhealthyClusterError):
            await member.reconfiguration.add([NEW_URL], is_learner=False)


async def test_from_3_6_on_a_voter_may_be_away_when_the_new_quorum_is_there(make: Make) -> None:
    four = (*THREE, voter(4))
    newer, older = make(*four), make(*four, version=Version(3, 5))
    for member in (newer, older):
        member.connected_s[4] = None
    await newer.reconfiguration.add([NEW_URL], is_learner=False)
    with pytest.raises(UnhealthyClusterError):
        await older.reconfiguration.add([NEW_URL], is_learner=False)


async def test_a_cluster_of_one_can_grow_but_not_by_two_at_once(make: Make) -> None:
    member = make(voter(1))
    await member.reconfiguration.add([NEW_URL], is_learner=False)
    with pytest.raises(MemberNotEnoughStartedError):
        await member.reconfiguration.add(["http://other:1"], is_learner=False)


async def test_without_the_strict_check_nobody_counts(make: Make) -> None:
    member = make(voter(1), voter(2, started=False), strict=False)
    member.connected_s[2] = None
    await member.reconfiguration.add([NEW_URL], is_learner=False)
    await member.reconfiguration.remove(2)
    assert member.cluster.member(2) is None


async def test_a_member_is_not_removed_where_the_quorum_would_be_lost(make: Make) -> None:
    member = make(*THREE)
    member.connected_s[3] = None
    with pytest.raises(UnhealthyClusterError):
        await member.reconfiguration.remove(2)
    await member.reconfiguration.remove(3)  # it is gone anyway
    assert member.cluster.member(3) is None


async def test_the_last_member_is_not_removed(make: Make) -> None:
    member = make(voter(1))
    with pytest.raises(MemberNotEnoughStartedError):
        await member.reconfiguration.remove(1)


async def test_a_learner_may_always_be_removed(make: Make) -> None:
    member = make(voter(1), voter(2, started=False), learner(4))
    await member.reconfiguration.remove(4)
    assert member.cluster.member(4) is None


async def test_only_who_is_there_is_removed(make: Make) -> None:
    with pytest.raises(MemberNotFoundError):
        await make(*THREE).reconfiguration.remove(99)


@pytest.mark.parametrize(("match", "ready"), [(0, False), (899, False), (900, True)])
async def test_a_learner_is_promoted_when_it_has_nine_tenths_of_the_log(
    make: Make, match: int, ready: bool
) -> None:
    member = make(*THREE, learner(4))
    member.match[4] = match
    if ready:
        await member.reconfiguration.promote(4)
    else:
        with pytest.raises(LearnerNotReadyError):
            await member.reconfiguration.promote(4)
    promoted = member.cluster.member(4)
    assert promoted is not None
    assert promoted.is_learner is not ready


async def test_only_a_learner_is_promoted(make: Make) -> None:
    member = make(*THREE)
    with pytest.raises(MemberNotLearnerError):
        await member.reconfiguration.promote(2)
    with pytest.raises(MemberNotFoundError):
        await member.reconfiguration.promote(99)


async def test_a_promotion_must_leave_enough_started_voters(make: Make) -> None:
    member = make(voter(1), voter(2, started=False), voter(3, started=False), learner(4))
    member.match[4] = 1000
    with pytest.raises(MemberNotEnoughStartedError):
        await member.reconfiguration.promote(4)


async def test_a_change_waits_for_a_leader(make: Make) -> None:
    member = make(*THREE)
    member.leaderless = 2
    await asyncio.wait_for(member.reconfiguration.remove(3), DEADLINE_S)
    assert len(member.proposed) == 1


async def test_a_change_that_is_not_applied_in_time_is_given_up(make: Make) -> None:
    member = make(*THREE, timeout_s=0.01)
    member.applies = False
    with pytest.raises(RequestTimeoutError):
        await member.reconfiguration.remove(3)


async def test_a_stopping_member_tells_who_waits(make: Make) -> None:
    member = make(*THREE)
    member.applies = False
    change = asyncio.ensure_future(member.reconfiguration.remove(3))
    await eventually(lambda: member.proposed)
    member.reconfiguration.fail_all(StoppedError())
    with pytest.raises(StoppedError):
        await change
