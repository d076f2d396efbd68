"""Why a request took too long, handing the lead over, and asking the leader."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kvorum.errors import (
    BadLeaderTransfereeError,
    LearnerNotReadyError,
    LeaseNotFoundError,
    MemberNotFoundError,
    MemberNotLearnerError,
    NoLeaderError,
    NotLeaderError,
    RequestTimeoutError,
    StatusError,
    StoppedError,
    TimeoutConnectionLostError,
    TimeoutLeaderFailError,
    WireError,
)
from kvorum.server.clock import monotonic_s
from kvorum.server.connectivity import Connectivity
from kvorum.server.leader_calls import LeaderCalls
from kvorum.server.leadership import LEADERLESS_MAX, TRANSFER_TOOK_TOO_LONG, Leadership
from kvorum.server.peer_ports import PeerError, PeerRefusedError
from kvorum.server.ports import LeaseLife
from tests.unit.server.clusters import learner, open_cluster, url_of, voter
from tests.unit.server.members import options_of
from tests.unit.server.others import Others, recording_log

DEADLINE_S = 20.0


class Member1:
    """Member 1 of three and a learner."""

    def __init__(self, cluster: Any, folder: Path) -> None:
        self.leader = 1
        self.takes_over = True
        self.transfers: list[int] = []
        self.connected_s: dict[int, float] = {2: 100.0, 3: 200.0}
        self.others = Others()
        self.stopping = asyncio.Event()
        options = options_of(folder)
        log, self.events = recording_log()
        self.leadership = Leadership(
            1,
            options,
            cluster,
            Connectivity(1, self.active_since),
            self,
            ended=lambda: False,
            log=log,
        )
        self.calls = LeaderCalls(
            cluster,
            self.others,
            leader_id=self.leader_id,
            stopping=self.stopping,
            election_timeout_s=options.election_timeout_s,
            timeout_s=0.5,
        )

    def active_since(self, member_id: int) -> float | None:
        seconds = self.connected_s.get(member_id)
        return None if seconds is None else monotonic_s() - seconds

    def leader_id(self) -> int:
        return self.leader

    def transfer_leader(self, member_id: int) -> None:
        self.transfers.append(member_id)
        if self.takes_over:
            self.leader = member_id


@pytest.fixture
async def member(tmp_path: Path) -> Any:
    with open_cluster(voter(1), voter(2), voter(3), learner(4)) as cluster:
        yield Member1(cluster, tmp_path)


# Timeouts.


def reason(member: Member1, waited_s: float) -> type[WireError]:
    return type(member.leadership.timeout_error(monotonic_s() - waited_s))


async def test_a_request_that_saw_the_leader_change_is_told_so(member: Member1) -> None:
    member.leader = 2
    member.leadership.note(2)
    assert reason(member, 0.1) is TimeoutLeaderFailError


async def test_the_log_tells_each_change_of_the_leader_once(member: Member1) -> None:
    for leader, term in ((2, 2), (2, 2), (3, 4), (0, 4), (0, 5), (3, 5)):
        member.leader = leader
        member.leadership.note(term)
    assert member.events.messages == [
        "raft.node: 1 elected leader 2 at term 2",
        "raft.node: 1 changed leader from 2 to 3 at term 4",
        "raft.node: 1 lost leader 3 at term 4",
        "raft.node: 1 elected leader 3 at term 5",
    ]


async def test_a_leader_without_its_majority_tells_of_the_connection(member: Member1) -> None:
    assert reason(member, 7.0) is RequestTimeoutError
    member.connected_s = {2: 1.0}
    assert reason(member, 7.0) is TimeoutConnectionLostError


async def test_a_follower_without_its_leader_tells_of_the_connection(member: Member1) -> None:
    member.leader = 3
    assert reason(member, 7.0) is RequestTimeoutError
    del member.connected_s[3]
    assert reason(member, 7.0) is TimeoutConnectionLostError


async def test_without_a_leader_it_is_just_a_timeout(member: Member1) -> None:
    member.leader = 0
    assert reason(member, 7.0) is RequestTimeoutError


async def test_a_lost_leader_is_told_once_after_three_looks(member: Member1) -> None:
    lost: list[int] = []
    member.leadership.on_leader_lost = lambda: lost.append(1)
    member.leadership.count_leaderless()
    member.leader = 0
    for look in range(1, 2 * LEADERLESS_MAX):
        member.leadership.count_leaderless()
        assert len(lost) == (look >= LEADERLESS_MAX)


# Handing over.


async def test_the_leader_hands_over_to_whom_a_client_names(member: Member1) -> None:
    await member.leadership.move(3)
    assert member.transfers == [3]
    assert "leadership transfer finished" in member.events.messages


async def test_only_the_leader_hands_over_and_only_to_voters(member: Member1) -> None:
    for target in (4, 99):
        with pytest.raises(BadLeaderTransfereeError):
            await member.leadership.move(target)
    member.leader = 2
    with pytest.raises(NotLeaderError):
        await member.leadership.move(3)
    assert member.transfers == []


async def test_a_transfer_that_nobody_takes_up_is_given_up(tmp_path: Path) -> None:
    with open_cluster(voter(1), voter(2)) as cluster:
        member = Member1(cluster, tmp_path)
        member.takes_over = False
        member.leadership._options = options_of(  # its 5 s for the disk would make the test long
            tmp_path, heartbeat_interval_s=0.001, election_ticks=-2490
        )
        with pytest.raises(StatusError, match=TRANSFER_TOOK_TOO_LONG):
            await asyncio.wait_for(member.leadership.move(2), DEADLINE_S)


async def test_who_leaves_hands_over_to_whom_it_knows_longest(member: Member1) -> None:
    await member.leadership.hand_over()
    assert member.transfers == [3]


async def test_who_does_not_lead_or_is_alone_just_leaves(member: Member1) -> None:
    member.connected_s = {}
    await member.leadership.hand_over()
    member.leader = 2
    await member.leadership.hand_over()
    assert member.transfers == []


# Asking the leader.


async def test_the_leader_is_asked_again_while_it_cannot_be_reached(member: Member1) -> None:
    member.leader = 2
    member.others.renewals = [PeerError("reset"), PeerRefusedError(500, "not a primary lessor"), 60]
    assert await member.calls.lease_renew(7) == 60
    assert member.others.asked == [url_of(2)] * 3


async def test_the_next_leader_is_asked_when_there_is_another(member: Member1) -> None:
    member.leader = 0
    member.others.lives = [LeaseLife(60, 59)]
    asked = asyncio.ensure_future(member.calls.lease_time_to_live(7, with_keys=False))
    await asyncio.sleep(0)
    member.leader = 3
    assert await asked == LeaseLife(60, 59)
    assert member.others.asked == [url_of(3)]


async def test_a_lease_that_the_leader_does_not_know_is_gone(member: Member1) -> None:
    member.leader = 2
    member.others.renewals = [PeerRefusedError(404, "lease not found")]
    with pytest.raises(LeaseNotFoundError):
        await member.calls.lease_renew(7)


async def test_without_a_leader_the_asking_ends_in_time(member: Member1) -> None:
    member.leader = 0
    with pytest.raises(NoLeaderError):
        await asyncio.wait_for(member.calls.lease_renew(7), DEADLINE_S)


async def test_a_stopping_member_asks_no_longer(member: Member1) -> None:
    member.leader = 0
    member.stopping.set()
    with pytest.raises(StoppedError):
        await member.calls.promote(4)


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (404, "membership: ID not found", MemberNotFoundError),
        (412, "membership: can only promote a learner member", MemberNotLearnerError),
        (
            412,
            "etcdserver: can only promote a learner member which is in sync with leader",
            LearnerNotReadyError,
        ),
        (408, "etcdserver: request timed out", RequestTimeoutError),
    ],
)
async def test_the_leaders_refusal_of_a_promotion_reaches_the_client(
    member: Member1, status: int, text: str, kind: type[WireError]
) -> None:
    member.leader = 2
    member.others.promotions = [PeerRefusedError(status, text)]
    with pytest.raises(kind):
        await member.calls.promote(4)
