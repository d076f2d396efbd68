from __future__ import annotations

from kvorum.mvcc.watch_history import HistoryWindow
from kvorum.mvcc.watch_index import FRAGMENT, NO_PUT, ONE_KEY, PREV_KV, TO_LAST_KEY, WatchGroup
from kvorum.mvcc.watch_ports import WatchLimits
from kvorum.proto.rpc_pb2 import WatchResponse

from .watching import Member, header_of, member, text


def window(of: Member, first: int, **limits: int) -> HistoryWindow:
    return HistoryWindow(of.store, first, header_of(of.store.revision), WatchLimits(**limits))


def texts(of: HistoryWindow, group: WatchGroup, from_revision: int) -> list[str]:
    parts = of.parts(group, from_revision)
    messages = [message for part in parts for message in part.response.messages(b"")]
    return [text(WatchResponse.FromString(message)) for message in messages]


def test_a_window_gives_each_group_its_events_in_order() -> None:
    with member() as m:
        m.txn([(b"b", b"1"), (b"a", b"1"), (b"c", b"1")])
        m.delete(b"a")
        m.put(b"b")
        w = window(m, 2)
        assert (w.first_revision, w.last_revision) == (2, 4)
        all_keys = WatchGroup(b"a", TO_LAST_KEY, 0)
        assert texts(w, all_keys, 2) == ["0: +b@2 +a@2 +c@2 -a@3 +b@4 at 4"]
        assert texts(w, all_keys, 3) == ["0: -a@3 +b@4 at 4"]
        assert texts(w, WatchGroup(b"b", b"c", 0), 2) == ["0: +b@2 +b@4 at 4"]
        assert texts(w, WatchGroup(b"b", ONE_KEY, PREV_KV), 2) == ["0: +b@2 +b@4<1 at 4"]
        assert texts(w, WatchGroup(b"a", b"c", NO_PUT), 2) == ["0: -a@3 at 4"]
        assert texts(w, WatchGroup(b"d", ONE_KEY, 0), 2) == []


def test_a_window_ends_after_its_count_of_revisions() -> None:
    with member() as m:
        for _ in range(9):
            m.put(b"k")
        assert window(m, 3, revisions_per_round_max=4).last_revision == 6


def test_a_window_ends_early_when_it_holds_much() -> None:
    with member() as m:
        for _ in range(9):
            m.put(b"k", bytes(1_000))
        w = window(m, 2, window_bytes_max=2_500)
        assert w.last_revision == 4
        assert texts(w, WatchGroup(b"k", ONE_KEY, 0), 2) == ["0: +k@2 +k@3 +k@4 at 10"]


def test_responses_are_cut_between_revisions_only() -> None:
    with member() as m:
        m.put(b"a", bytes(600))
        m.txn([(key, bytes(600)) for key in (b"a", b"b", b"c")])
        m.put(b"b", bytes(600))
        w = window(m, 2, response_bytes_max=1_000)
        group = WatchGroup(b"a", TO_LAST_KEY, 0)
        assert texts(w, group, 2) == ["0: +a@2 +a@3 +b@3 +c@3 at 4", "0: +b@4 at 4"]


def test_a_revision_is_cut_for_who_asked_for_fragments() -> None:
    with member() as m:
        m.txn([(key, bytes(600)) for key in (b"a", b"b", b"c")])
        w = window(m, 2, fragment_bytes_max=1_000)
        assert texts(w, WatchGroup(b"a", TO_LAST_KEY, FRAGMENT), 2) == [
            "0: fragment +a@2 at 2",
            "0: fragment +b@2 at 2",
            "0: +c@2 at 2",
        ]


def test_members_of_a_group_share_the_encoded_responses() -> None:
    with member() as m:
        m.put(b"k")
        w = window(m, 2)
        group = WatchGroup(b"k", ONE_KEY, 0)
        assert w.parts(group, 2) is w.parts(group, 2)


def test_no_previous_value_is_given_where_it_was_compacted() -> None:
    """Checked on 3.5.1: read at the compaction revision it is still there, below it is not."""
    with member() as m:
        for value in (b"1", b"2", b"3"):
            m.put(b"k", value)
        m.compact(3)
        w = window(m, 3)
        assert texts(w, WatchGroup(b"k", ONE_KEY, PREV_KV), 3) == ["0: +k@3 +k@4<2 at 4"]
