from __future__ import annotations

import pytest

from kvorum.cluster.bootstrap import bootstrap
from kvorum.cluster.ids import hex_id
from kvorum.cluster.member import Member
from kvorum.errors import ConfigError
from kvorum.proto.raftpb import ConfChange, ConfChangeType, EntryType

_THREE = {
    "a": ("http://127.0.0.1:1",),
    "b": ("http://127.0.0.1:2",),
    "c": ("http://127.0.0.1:3",),
}


def test_the_first_entries_add_the_members_in_order_of_their_ids() -> None:
    founded = bootstrap(_THREE, "t")
    entries = founded.entries()
    changes = [ConfChange.decode(entry.data or b"") for entry in entries]
    assert [entry.index for entry in entries] == [1, 2, 3]
    assert {(entry.term, entry.type) for entry in entries} == {(1, EntryType.CONF_CHANGE)}
    assert [change.node_id for change in changes] == sorted(m.id for m in founded.members)
    assert {(change.id, change.type) for change in changes} == {(0, ConfChangeType.ADD_NODE)}
    assert {Member.decode(change.context or b"").name for change in changes} == {"a", "b", "c"}


def test_all_of_it_is_committed_in_term_1() -> None:
    state = bootstrap(_THREE, "t").hard_state()
    assert (state.term, state.vote, state.commit) == (1, 0, 3)


def test_the_first_records_are_those_of_stocks_log_to_the_byte() -> None:
    """Read from the log of a fresh stock 3.5.1 member named `a`."""
    founded = bootstrap({"a": ["http://127.0.0.1:45981"]}, "etcd-cluster")
    assert founded.entries()[0].encode() == (
        b'\x08\x01\x10\x01\x18\x01"[\x08\x00\x10\x00\x18\xcb\xc8\xac\xc8\xe6\xdf\x95\x94i"K'
        b'{"id":7577402023734879307,"peerURLs":["http://127.0.0.1:45981"],"name":"a"}'
    )
    assert founded.hard_state().encode() == b"\x08\x01\x10\x00\x18\x01"
    assert hex_id(founded.cluster_id) == "cdee0af51c34c0c0"


def test_a_member_finds_itself_by_name() -> None:
    founded = bootstrap(_THREE, "t")
    assert founded.member_named("b").peer_urls == ("http://127.0.0.1:2",)
    with pytest.raises(ConfigError) as caught:
        founded.member_named("x")
    assert str(caught.value) == (
        'couldn\'t find local name "x" in the initial cluster configuration'
    )


def test_nobody_and_two_of_the_same_are_refused() -> None:
    with pytest.raises(ConfigError, match="initial cluster unset"):
        bootstrap({}, "t")
    with pytest.raises(ConfigError, match="same peer URLs"):
        bootstrap({"a": ("http://h:1",), "b": ("http://h:1",)}, "t")
