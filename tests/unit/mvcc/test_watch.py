from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.mvcc.watch_ports import WatchLimits
from kvorum.mvcc.watch_response import id_field
from kvorum.proto.rpc_pb2 import WatchCreateRequest, WatchRequest

from .watching import TO_LAST_KEY, Client, Member, header_of, member, text

NOPUT, NODELETE = WatchCreateRequest.NOPUT, WatchCreateRequest.NODELETE
COMPACTED = "etcdserver: mvcc: required revision has been compacted"


def synced(m: Member, key: bytes = b"k", end: bytes = b"", **fields: object) -> Client:
    """A client with one watcher whose creation has been read."""
    client = m.client()
    client.create(key, end, **fields)
    assert client.take_texts() == [f"0: created at {m.store.revision}"]
    return client


# --- creating and cancelling


def test_ids_count_up_over_those_the_client_chose() -> None:
    """Checked on 3.5.1, the order of these requests included."""
    with member() as m:
        client = m.client()
        for watch_id in (0, 0, 5, -7, 2, 0, 0):
            client.create(b"k", watch_id=watch_id)
        client.cancel(0)
        client.create(b"k")
        assert [r.watch_id for r in client.take()] == [0, 1, 5, -7, 2, 3, 4, 0, 6]


def test_an_id_that_is_taken_is_refused() -> None:
    with member() as m:
        client = m.client()
        client.create(b"k", watch_id=5)
        client.create(b"k", watch_id=5)
        assert client.take_texts() == [
            "5: created at 1",
            "-1: created canceled (mvcc: duplicate watch ID provided on the WatchStream) at 1",
        ]
        m.put(b"k")
        assert client.take_texts() == ["5: +k@2 at 2"]


@pytest.mark.parametrize("end", [b"a", b"z"])
def test_an_empty_range_is_refused(end: bytes) -> None:
    with member() as m:
        client = m.client()
        client.create(b"z", end)
        assert client.take_texts() == ["-1: created canceled (mvcc: watcher range is empty) at 1"]
        assert m.hub.statistics().watchers == 0


def test_an_empty_key_stands_for_the_first_one() -> None:
    with member() as m:
        client = m.client()
        client.create(b"")
        client.create(b"", TO_LAST_KEY)
        client.create(b"", b"b")
        client.take()
        m.put(b"\0")
        assert sorted(r.watch_id for r in client.take()) == [0, 1, 2]
        m.put(b"a")
        assert sorted(r.watch_id for r in client.take()) == [1, 2]


def test_a_stream_has_a_bound_of_watchers() -> None:
    with member(WatchLimits(watchers_per_stream_max=2)) as m:
        client = m.client()
        for _ in range(3):
            client.create(b"k")
        assert client.take_texts()[2] == (
            "-1: created canceled (etcdserver: too many requests) at 1"
        )
        client.cancel(0)
        client.create(b"k")
        assert client.take_texts() == ["0: canceled at 1", "2: created at 1"]


def test_a_cancelled_watcher_gets_nothing_more() -> None:
    with member() as m:
        client = synced(m)
        client.cancel(0)
        client.cancel(0)  # unknown by now: silence, as in stock
        client.cancel(99)
        assert client.take_texts() == ["0: canceled at 1"]
        m.put(b"k")
        assert client.take() == []
        assert m.hub.statistics().groups == 0


def test_a_request_of_no_known_kind_is_passed_over() -> None:
    with member() as m:
        client = m.client()
        client.stream.handle(WatchRequest())
        client.create(b"k")
        assert client.take_texts() == ["0: created at 1"]


def test_a_closed_stream_leaves_nothing_behind() -> None:
    with member() as m:
        m.put(b"k")
        client = m.client(room=3)
        client.create(b"k", progress_notify=True)
        client.create(b"a", b"z", start_revision=2)
        client.create(b"a", TO_LAST_KEY, start_revision=100)
        m.put(b"k")
        client.ask_progress()
        m.hub.progress_round()
        client.stream.close()
        client.stream.close()
        client.create(b"k")
        client.ask_progress()
        client.drain()
        statistics = m.hub.statistics()
        assert (statistics.streams, statistics.watchers, statistics.groups) == (0, 0, 0)
        assert (statistics.unsynced, statistics.stalled) == (0, 0)
        client.take()
        m.put(b"k")
        m.catch_up()
        assert client.take() == []


# --- events as they happen


def test_a_watcher_of_one_key_hears_of_that_key() -> None:
    with member() as m:
        client = synced(m)
        m.put(b"k")
        m.put(b"kk")
        m.delete(b"k")
        assert client.take_texts() == ["0: +k@2 at 2", "0: -k@4 at 4"]


def test_a_deletion_has_key_and_revision_alone() -> None:
    with member() as m:
        client = synced(m)
        m.put(b"k")
        m.delete(b"k")
        put, deletion = (response.events[0].kv for response in client.take())
        assert (put.create_revision, put.mod_revision, put.version, put.value) == (2, 2, 1, b"v")
        assert (deletion.key, deletion.mod_revision) == (b"k", 3)
        assert (deletion.create_revision, deletion.version, deletion.value) == (0, 0, b"")


def test_ranges_end_before_their_end() -> None:
    with member() as m:
        client = synced(m, b"b", b"d")
        for key in (b"a", b"b", b"c", b"d"):
            m.put(key)
        assert client.take_texts() == ["0: +b@3 at 3", "0: +c@4 at 4"]


def test_a_transaction_is_one_response_in_the_order_of_its_changes() -> None:
    with member() as m:
        m.put(b"x")
        client = synced(m, b"a", TO_LAST_KEY)
        client.create(b"b")
        client.take()
        m.txn([(b"b", b"1"), (b"x", None, "delete"), (b"a", b"1")])
        assert sorted(client.take_texts()) == ["0: +b@3 -x@3 +a@3 at 3", "1: +b@3 at 3"]


def test_filters_keep_events_back_and_unknown_ones_do_nothing() -> None:
    with member() as m:
        client = m.client()
        for filters in ([NOPUT], [NODELETE], [NOPUT, NODELETE], [9]):
            client.create(b"k", filters=filters)
        client.take()
        m.put(b"k")
        assert sorted(client.take_texts()) == ["1: +k@2 at 2", "3: +k@2 at 2"]
        m.delete(b"k")
        assert sorted(client.take_texts()) == ["0: -k@3 at 3", "3: -k@3 at 3"]


def test_previous_values_come_when_asked_for() -> None:
    """Checked on 3.5.1, down to the put that follows a deletion in its own transaction."""
    with member() as m:
        client = synced(m, b"a", TO_LAST_KEY, prev_kv=True)
        m.put(b"q", b"old")
        m.txn([(b"q", b"new"), (b"b", b"", "delete")])
        m.put(b"q", b"old2")
        m.txn([(b"b", b"", "delete"), (b"q", b"new2")])
        assert client.take_texts() == [
            "0: +q@2 at 2",
            "0: +q@3<old -q@3<old at 3",
            "0: +q@4 at 4",
            "0: -q@5<old2 +q@5 at 5",
        ]


def test_a_start_in_the_future_waits_for_it() -> None:
    with member() as m:
        client = synced(m, start_revision=4)
        m.put(b"k")
        m.put(b"k")
        assert client.take() == []
        m.put(b"k")
        m.put(b"k")
        assert client.take_texts() == ["0: +k@4 at 4", "0: +k@5 at 5"]


def test_an_event_is_encoded_once_however_many_watch_it() -> None:
    with member() as m:
        clients = [synced(m) for _ in range(3)]
        m.put(b"k")
        first, *others = (client.messages[-1] for client in clients)
        assert all(message is first for message in others)


def test_a_large_revision_is_cut_for_who_asked_for_fragments() -> None:
    with member(WatchLimits(fragment_bytes_max=1_000)) as m:
        whole, parts = synced(m, b"a", b"z"), synced(m, b"a", b"z", fragment=True)
        m.txn([(key, bytes(600)) for key in (b"a", b"b", b"c")])
        assert whole.take_texts() == ["0: +a@2 +b@2 +c@2 at 2"]
        assert parts.take_texts() == [
            "0: fragment +a@2 at 2",
            "0: fragment +b@2 at 2",
            "0: +c@2 at 2",
        ]


@given(size=st.integers(440, 480), watch_id=st.sampled_from([1, 1_000, -7]))
def test_a_revision_around_the_bound_is_cut_when_it_must_be(size: int, watch_id: int) -> None:
    with member(WatchLimits(fragment_bytes_max=1_000)) as m:
        client = m.client()
        client.create(b"a", b"z", fragment=True, watch_id=watch_id)
        m.txn([(key, bytes(size)) for key in (b"a", b"b")])
        lengths = [len(message) for message in client.messages[1:]]
        assert all(length < 1_000 for length in lengths)
        shared = len(header_of(2)) + len(id_field(watch_id)) + 2  # 2: the mark of a fragment
        assert len(lengths) == 1 or sum(lengths) - shared >= 1_000


# --- catching up from history


def test_a_start_in_the_past_is_read_from_history() -> None:
    with member() as m:
        for key in (b"a", b"b", b"a"):
            m.put(key)
        client = m.client()
        client.create(b"a", start_revision=1)
        assert m.wakes == 1
        assert client.take_texts() == ["0: created at 4"]
        m.put(b"a")  # not sent before what is older
        assert client.take() == []
        m.catch_up()
        assert client.take_texts() == ["0: +a@2 +a@4 +a@5 at 5"]
        m.put(b"a")
        assert client.take_texts() == ["0: +a@6 at 6"]


def test_a_start_at_the_compaction_revision_is_allowed() -> None:
    with member() as m:
        for _ in range(4):
            m.put(b"k")
        m.compact(3)
        client = m.client()
        client.create(b"k", start_revision=3)
        m.catch_up()
        assert client.take_texts() == ["0: created at 5", "0: +k@3 +k@4 +k@5 at 5"]


def test_a_start_below_the_compaction_revision_is_cancelled() -> None:
    """Checked on 3.5.1: header revision 0, no reason, and the id stays taken until a cancel."""
    with member() as m:
        for _ in range(4):
            m.put(b"k")
        m.compact(3)
        client = m.client()
        client.create(b"k", start_revision=2, watch_id=77)
        assert client.take_texts() == ["77: created at 5", "77: canceled compacted 3 at 0"]
        client.create(b"k", watch_id=77)
        assert "duplicate watch ID" in client.take_texts()[0]
        m.put(b"k")
        m.catch_up()
        assert client.take() == []
        client.cancel(77)
        client.create(b"k", watch_id=77)
        assert client.take_texts() == ["77: canceled at 6", "77: created at 6"]


def test_a_negative_start_is_refused_as_3_6_does() -> None:
    with member() as m:
        client = m.client()
        client.create(b"k", start_revision=-1)
        assert client.take_texts() == [f"-1: created canceled ({COMPACTED}) at 1"]


def test_a_negative_start_is_compacted_as_3_5_has_it() -> None:
    with member(refuses_negative_start=False) as m:
        m.put(b"k")
        client = m.client()
        client.create(b"k", start_revision=-1)
        client.create(b"k", start_revision=-5)
        m.catch_up()
        assert client.take_texts() == [
            "0: created at 2",
            "1: created at 2",
            "1: canceled compacted -1 at 0",
            "0: +k@2 at 2",
        ]


def test_a_round_is_bounded_and_nobody_starves() -> None:
    """One watcher has far to go; one that comes later and has little to do is not kept waiting."""
    with member(WatchLimits(revisions_per_round_max=10, unsynced_per_round_max=4)) as m:
        for _ in range(100):
            m.put(b"k")
        far, near = m.client(), m.client()
        far.create(b"k", start_revision=2)
        near.create(b"k", start_revision=95)
        near.take()
        assert m.hub.sync_round()
        assert len(far.take()[-1].events) == 10
        assert m.hub.sync_round()
        assert near.take_texts()[0].startswith("0: +k@95")
        assert far.take() == []
        assert m.catch_up() == 9
        assert [e.kv.mod_revision for r in far.take() for e in r.events] == list(range(12, 102))


def test_one_round_serves_all_who_are_equally_far_behind() -> None:
    with member() as m:
        for _ in range(50):
            m.put(b"k")
        clients = [m.client() for _ in range(100)]
        for client in clients:
            client.create(b"k", start_revision=2)
        assert m.hub.sync_round() is False
        assert len({id(client.messages[-1]) for client in clients}) == 1
        assert all(len(client.take()[-1].events) == 50 for client in clients)


def test_a_watcher_that_is_cancelled_while_behind_is_forgotten() -> None:
    with member() as m:
        m.put(b"k")
        client = m.client()
        client.create(b"k", start_revision=2)
        client.cancel(0)
        client.take()
        assert m.hub.sync_round() is False
        assert client.take() == []
        assert m.hub.statistics().unsynced == 0


# --- slow clients


def test_a_full_sink_is_sent_no_events_until_it_has_room() -> None:
    with member() as m:
        client = synced(m)
        client.room = 1
        m.put(b"k")
        m.put(b"k")
        m.put(b"k")
        assert client.take_texts() == ["0: +k@2 at 2"]
        m.catch_up()
        assert client.take() == []
        assert m.hub.statistics().stalled == 1
        client.drain()
        m.catch_up()
        assert client.take_texts() == ["0: +k@3 +k@4 at 4"]
        m.put(b"k")
        assert client.take_texts() == ["0: +k@5 at 5"]
        assert m.hub.statistics().stalled == 0


def test_a_full_sink_holds_back_its_own_stream_alone() -> None:
    with member() as m:
        slow, quick = synced(m), synced(m)
        slow.room = 1
        for _ in range(3):
            m.put(b"k")
        assert len(slow.take()) == 1
        assert len(quick.take()) == 3


def test_a_sink_that_fills_up_in_history_goes_on_where_it_stopped() -> None:
    with member(WatchLimits(response_bytes_max=1)) as m:
        for _ in range(6):
            m.put(b"k")
        client = m.client()
        client.create(b"k", start_revision=2)
        client.take()
        for first in (2, 4, 6):
            client.drain(room=2)
            m.catch_up()
            assert client.take_texts() == [f"0: +k@{first} at 7", f"0: +k@{first + 1} at 7"]
        client.drain()
        m.catch_up()
        m.put(b"k")
        assert client.take_texts() == ["0: +k@8 at 8"]


def test_a_slow_client_that_compaction_overtakes_is_cancelled() -> None:
    with member() as m:
        client = synced(m)
        client.room = 1
        for _ in range(5):
            m.put(b"k")
        m.compact(4)  # one more than the first revision it has not been sent
        client.drain()
        m.catch_up()
        assert client.take_texts() == ["0: +k@2 at 2", "0: canceled compacted 4 at 0"]
        m.put(b"k")
        m.catch_up()
        assert client.take() == []


def test_a_slow_client_costs_the_same_however_far_it_falls_behind() -> None:
    with member() as m:
        client = synced(m)
        client.room = 1
        for _ in range(200):
            m.put(b"k", bytes(1_000))
        assert len(client.messages) == 2
        watcher = client.stream.watchers[0]
        assert watcher.min_revision == 3
        assert list(client.stream.stalled) == [watcher]


def test_revisions_of_a_replaced_store_are_read_from_history() -> None:
    """As when a member gets a snapshot from its leader: revisions come with no notification."""
    with member() as m, member() as leader:
        client = synced(m, start_revision=0)
        later = m.client()
        later.create(b"k", start_revision=9)
        m.put(b"k")
        for _ in range(4):
            leader.put(b"k")
        m.hub.resync(leader.store)
        leader.store.on_events = m.hub.notify
        m.catch_up()
        assert client.take_texts() == ["0: +k@2 at 2", "0: +k@3 +k@4 +k@5 at 5"]
        leader.put(b"k")
        assert client.take_texts() == ["0: +k@6 at 6"]
        assert later.take_texts() == ["0: created at 1"]


# --- progress


def test_progress_is_answered_when_everything_has_been_sent() -> None:
    with member() as m:
        m.put(b"k")
        client = m.client()
        client.create(b"k")
        client.create(b"k", start_revision=2)
        client.take()
        client.ask_progress()
        client.ask_progress()
        assert client.take() == []
        m.catch_up()
        assert client.take_texts() == ["1: +k@2 at 2", "-1: at 2"]
        client.ask_progress()
        assert client.take_texts() == ["-1: at 2"]


def test_progress_waits_for_a_full_sink() -> None:
    with member() as m:
        client = synced(m)
        client.room = 1
        m.put(b"k")
        client.ask_progress()
        m.put(b"k")
        m.catch_up()
        assert client.take_texts() == ["0: +k@2 at 2"]
        client.drain()
        m.catch_up()
        assert client.take_texts() == ["0: +k@3 at 3", "-1: at 3"]


def test_progress_is_not_told_before_a_start_in_the_future() -> None:
    with member() as m:
        client = synced(m, start_revision=3)
        client.ask_progress()
        assert client.take() == []
        m.put(b"x")
        assert m.wakes == 1
        m.catch_up()
        assert client.take_texts() == ["-1: at 2"]


def test_progress_waits_no_longer_for_a_watcher_that_was_cancelled() -> None:
    with member() as m:
        client = synced(m, start_revision=9)
        client.ask_progress()
        client.cancel(0)
        assert m.wakes == 1
        m.catch_up()
        assert client.take_texts() == ["0: canceled at 1", "-1: at 1"]


def test_a_closed_stream_is_owed_no_progress() -> None:
    with member() as m:
        m.put(b"k")
        client = m.client()
        client.create(b"k", start_revision=2, progress_notify=True)
        client.ask_progress()
        m.hub.progress_round()
        client.stream.close()
        client.take()
        m.catch_up()
        assert client.take() == []


def test_a_stream_with_no_watchers_is_told_the_revision() -> None:
    with member() as m:
        client = m.client()
        client.ask_progress()
        assert client.take_texts() == ["-1: at 1"]


def test_quiet_watchers_that_asked_are_told_where_we_are() -> None:
    with member() as m:
        client = m.client()
        client.create(b"busy", progress_notify=True)
        client.create(b"quiet", progress_notify=True)
        client.create(b"silent")
        client.take()
        m.hub.progress_round()
        m.catch_up()
        assert sorted(client.take_texts()) == ["0: at 1", "1: at 1"]
        m.put(b"busy")
        client.take()
        m.hub.progress_round()
        m.catch_up()
        assert client.take_texts() == ["1: at 2"]
        m.hub.progress_round()
        m.catch_up()
        assert sorted(client.take_texts()) == ["0: at 2", "1: at 2"]


def test_events_from_history_count_as_news_for_periodic_progress() -> None:
    with member() as m:
        m.put(b"k")
        client = m.client()
        client.create(b"k", start_revision=2, progress_notify=True)
        m.catch_up()
        m.hub.progress_round()
        m.catch_up()
        assert client.take_texts() == ["0: created at 2", "0: +k@2 at 2"]
        m.hub.progress_round()
        m.catch_up()
        assert client.take_texts() == ["0: at 2"]


def test_periodic_progress_passes_over_who_is_behind_or_full_or_early() -> None:
    with member() as m:
        full, future = (
            synced(m, progress_notify=True),
            synced(m, start_revision=9, progress_notify=True),
        )
        full.room = 1
        m.put(b"k")
        m.put(b"k")
        full.take()
        behind = m.client()
        behind.create(b"k", start_revision=2, progress_notify=True)
        behind.take()
        for _ in range(2):
            m.hub.progress_round()
            m.catch_up()
        assert full.take() == []
        assert future.take() == []
        assert behind.take_texts() == ["0: +k@2 +k@3 at 3", "0: at 3"]


def test_periodic_progress_goes_out_a_bounded_number_at_a_time() -> None:
    with member(WatchLimits(progress_per_round_max=4)) as m:
        client = m.client()
        for _ in range(10):
            client.create(b"k", progress_notify=True)
        client.take()
        m.hub.progress_round()
        assert m.wakes == 1
        counts = []
        while m.hub.sync_round():
            counts.append(len(client.take()))
        assert [*counts, len(client.take())] == [4, 4, 2]


def test_statistics_count_what_is_there() -> None:
    with member() as m:
        m.put(b"k")
        client = m.client()
        client.create(b"k")
        client.create(b"k")
        client.create(b"k", start_revision=2)
        m.put(b"k")
        statistics = m.hub.statistics()
        assert (statistics.streams, statistics.watchers, statistics.groups) == (1, 3, 1)
        assert (statistics.unsynced, statistics.stalled) == (1, 0)
        assert statistics.events_total == 2
        m.catch_up()
        assert m.hub.statistics().events_total == 4


def test_the_text_form_of_a_response_names_its_parts() -> None:
    """The tests above compare this form, so it must tell responses apart."""
    with member() as m:
        client = synced(m, prev_kv=True)
        m.put(b"k", b"1")
        m.put(b"k", b"2")
        assert [text(response) for response in client.responses][-1] == "0: +k@3<1 at 3"
        assert header_of(3) in client.messages[-1]
