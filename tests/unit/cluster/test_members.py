"""The membership, on a real backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvorum.cluster.member import Member
from kvorum.cluster.members import (
    Cluster,
    add_change,
    promote_change,
    remove_change,
    update_change,
)
from kvorum.cluster.store import MembershipStore
from kvorum.cluster.v2store import Membership
from kvorum.cluster.v2store import decode as decode_v2
from kvorum.errors import (
    DecodeError,
    MemberExistsError,
    MemberNotEnoughStartedError,
    MemberNotFoundError,
    MemberNotLearnerError,
    PeerUrlExistsError,
    RequestError,
    TooManyLearnersError,
)
from kvorum.proto.raftpb import ConfChange, ConfChangeType
from kvorum.proto.versions import Version
from kvorum.storage.backend import Backend

A = Member(id=1, peer_urls=("http://a:1",), name="a", client_urls=("http://a:2",))
B = Member(id=0xB, peer_urls=("http://b:1",))
LEARNER = Member(id=0xC, peer_urls=("http://c:1",), is_learner=True)


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    with Backend.open(tmp_path / "db", fsync=False) as backend:
        yield backend


@pytest.fixture
def cluster(backend: Backend) -> Cluster:
    """Of one started member."""
    cluster = Cluster(0xC1, MembershipStore(backend))
    do(cluster, add_change(0, A))
    return cluster


def do(cluster: Cluster, change: ConfChange) -> None:
    """Through the encoding, as it comes out of the log."""
    change = ConfChange.decode(change.encode())
    cluster.validate(change)
    cluster.apply(change)


def reread(cluster: Cluster, backend: Backend) -> Cluster:
    """What a restart would find."""
    again = Cluster(cluster.id, MembershipStore(backend))
    again.restore()
    return again


def state(cluster: Cluster) -> tuple[list[Member], list[int], Version | None]:
    return cluster.members(), cluster.removed_ids(), cluster.version


def test_members_added_promoted_updated_and_removed_survive_a_restart(
    cluster: Cluster, backend: Backend
) -> None:
    do(cluster, add_change(5, LEARNER))
    do(cluster, promote_change(6, LEARNER.id))
    do(cluster, add_change(7, B))
    do(cluster, update_change(8, B.id, ["http://b:9"]))
    do(cluster, remove_change(9, LEARNER.id))
    cluster.set_version(Version(3, 6, 0))
    b_now = Member(id=B.id, peer_urls=("http://b:9",))
    assert state(cluster) == ([A, b_now], [LEARNER.id], Version(3, 6, 0))
    assert state(reread(cluster, backend)) == state(cluster)


def test_a_promoted_learner_keeps_what_it_published(cluster: Cluster) -> None:
    do(cluster, add_change(1, LEARNER))
    cluster.set_attributes(LEARNER.id, "c", ["http://c:2"])
    do(cluster, promote_change(2, LEARNER.id))
    assert cluster.member(LEARNER.id) == Member(
        id=LEARNER.id, peer_urls=LEARNER.peer_urls, name="c", client_urls=("http://c:2",)
    )


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (add_change(1, A), MemberExistsError),
        (add_change(1, Member(id=9, peer_urls=A.peer_urls)), PeerUrlExistsError),
        (promote_change(1, 99), MemberNotFoundError),
        (promote_change(1, A.id), MemberNotLearnerError),
        (remove_change(1, 99), MemberNotFoundError),
        (update_change(1, 99, ["http://x:1"]), MemberNotFoundError),
        (ConfChange(type=ConfChangeType.ADD_NODE, node_id=9, context=b"{"), DecodeError),
        (ConfChange(type=ConfChangeType.ADD_NODE, node_id=9), DecodeError),
    ],
)
def test_a_change_that_cannot_be_is_refused_and_changes_nothing(
    cluster: Cluster, change: ConfChange, error: type[Exception]
) -> None:
    before = state(cluster)
    with pytest.raises(error):
        cluster.validate(change)
    assert state(cluster) == before


def test_a_removed_id_never_comes_back(cluster: Cluster) -> None:
    do(cluster, add_change(1, B))
    do(cluster, remove_change(2, B.id))
    update = update_change(3, B.id, ["http://b:2"])
    for change in (add_change(3, B), update, remove_change(3, B.id)):
        with pytest.raises(MemberNotFoundError):
            cluster.validate(change)
    assert cluster.is_removed(B.id)


def test_a_member_may_keep_its_own_urls_but_not_take_anothers(cluster: Cluster) -> None:
    do(cluster, add_change(1, B))
    cluster.validate(update_change(2, B.id, [*B.peer_urls, "http://b:7"]))
    with pytest.raises(PeerUrlExistsError):
        cluster.validate(update_change(2, B.id, A.peer_urls))


def test_there_is_one_learner_at_a_time_unless_configured(backend: Backend) -> None:
    second = Member(id=0xD, peer_urls=("http://d:1",), is_learner=True)
    cluster = Cluster(1, MembershipStore(backend))
    do(cluster, add_change(1, LEARNER))
    with pytest.raises(TooManyLearnersError):
        cluster.validate(add_change(2, second))
    roomy = Cluster(1, MembershipStore(backend), learners_max=2)
    roomy.restore()
    do(roomy, add_change(2, second))
    assert roomy.conf_state().learners == [LEARNER.id, second.id]


def test_attributes_of_a_removed_member_are_dropped(cluster: Cluster) -> None:
    assert cluster.set_attributes(99, "ghost", []) is False
    assert cluster.member(99) is None


def test_the_configuration_for_raft_lists_voters_and_learners(cluster: Cluster) -> None:
    do(cluster, add_change(1, LEARNER))
    configuration = cluster.conf_state()
    assert (configuration.voters, configuration.learners) == ([A.id], [LEARNER.id])


def test_a_snapshots_membership_replaces_everything_that_was_stored(
    cluster: Cluster, backend: Backend
) -> None:
    do(cluster, add_change(1, LEARNER))
    cluster.replace_with(Membership(members={B.id: B}, removed={A.id}, version=None))
    assert state(cluster) == ([B], [A.id], None)
    assert state(reread(cluster, backend)) == state(cluster)


def test_the_v2_dump_holds_the_membership(cluster: Cluster) -> None:
    do(cluster, add_change(1, LEARNER))
    cluster.set_version(Version(3, 6, 0))
    found = decode_v2(cluster.encode_v2())
    assert found.members == {A.id: A, LEARNER.id: LEARNER}
    assert found.version == Version(3, 6, 0)


def test_one_started_member_may_grow_to_two_but_two_with_one_down_may_not_grow(
    cluster: Cluster,
) -> None:
    cluster.check_add_voter()
    do(cluster, add_change(1, B))  # not started: it has published no name
    with pytest.raises(MemberNotEnoughStartedError):
        cluster.check_add_voter()
    cluster.set_attributes(B.id, "b", [])
    cluster.check_add_voter()


def test_a_removal_that_would_lose_the_quorum_is_refused(cluster: Cluster) -> None:
    do(cluster, add_change(1, B))
    with pytest.raises(MemberNotEnoughStartedError):
        cluster.check_remove(A.id)  # would leave B alone, which never started
    cluster.check_remove(B.id)
    do(cluster, remove_change(2, B.id))
    with pytest.raises(MemberNotEnoughStartedError):
        cluster.check_remove(A.id)  # the last one
    with pytest.raises(MemberNotFoundError):
        cluster.check_remove(99)


def test_a_learner_may_always_be_removed(cluster: Cluster) -> None:
    do(cluster, add_change(1, LEARNER))
    cluster.check_remove(LEARNER.id)
    do(cluster, remove_change(2, LEARNER.id))
    assert cluster.member(LEARNER.id) is None


def test_contexts_are_stocks_to_the_byte() -> None:
    assert promote_change(1, 7).context == b'{"id":7,"peerURLs":null,"isPromote":true}'
    assert update_change(1, 7, ["http://x:1"]).context == b'{"id":7,"peerURLs":["http://x:1"]}'
    assert remove_change(1, 7).context is None
    assert add_change(1, LEARNER).type == ConfChangeType.ADD_LEARNER_NODE
    assert add_change(1, LEARNER).context == (
        b'{"id":12,"peerURLs":["http://c:1"],"isLearner":true}'
    )


def test_refusals_carry_a_status_for_the_client(cluster: Cluster) -> None:
    with pytest.raises(RequestError, match="etcdserver: Peer URLs already exists"):
        cluster.validate(add_change(1, Member(id=9, peer_urls=A.peer_urls)))
