from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvorum.mvcc import watch_response as response
from kvorum.mvcc.events import Event
from kvorum.proto.kv_pb2 import KeyValue
from kvorum.proto.rpc_pb2 import ResponseHeader, WatchResponse

from .watching import header_of

watch_ids = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-2, 300))


def frame(revision: int, size: int) -> bytes:
    kv = KeyValue(key=b"k", mod_revision=revision, value=b"v" * size)
    return Event(False, b"k", kv.SerializeToString(), revision).frame()


@given(watch_id=watch_ids, revision=st.integers(1, 2**62))
def test_each_kind_of_response_is_what_protobuf_would_write(watch_id: int, revision: int) -> None:
    header, id_part = header_of(9), response.id_field(watch_id)
    common = {
        "header": ResponseHeader(cluster_id=7, member_id=8, revision=9, raft_term=2),
        "watch_id": watch_id,
    }
    for written, expected in [
        (response.created(header, id_part), WatchResponse(created=True, **common)),
        (response.canceled(header, id_part), WatchResponse(canceled=True, **common)),
        (
            response.compacted(header, id_part, revision),
            WatchResponse(canceled=True, compact_revision=revision, **common),
        ),
    ]:
        assert written == expected.SerializeToString()


def test_a_refusal_has_no_id_and_says_why() -> None:
    refusal = WatchResponse.FromString(response.refused(header_of(4), "because"))
    assert (refusal.watch_id, refusal.created, refusal.canceled) == (-1, True, True)
    assert refusal.cancel_reason == "because"
    assert refusal.header.revision == 4


@given(
    sizes=st.lists(st.integers(0, 400), min_size=1, max_size=30), size_max=st.integers(60, 2_000)
)
def test_fragments_hold_all_events_in_order_and_stay_below_the_bound(
    sizes: list[int], size_max: int
) -> None:
    frames = [frame(10 + number, size) for number, size in enumerate(sizes)]
    id_part = response.id_field(3)
    messages = response.fragments(header_of(99), id_part, frames, size_max)
    parts = [WatchResponse.FromString(message) for message in messages]
    revisions = [event.kv.mod_revision for part in parts for event in part.events]
    assert revisions == [10 + number for number in range(len(sizes))]
    assert [part.fragment for part in parts] == [True] * (len(parts) - 1) + [False]
    for message, part in zip(messages, parts, strict=True):
        assert part.watch_id == 3
        assert part.events
        assert len(message) < size_max or len(part.events) == 1


def test_fragments_are_cut_where_stock_cuts_them() -> None:
    """Checked on 3.5.1 with --max-request-bytes 100000: 30 events of 50,000 bytes."""
    frames = [frame(2 + number, 50_000) for number in range(30)]
    messages = response.fragments(header_of(31), b"", frames, 100_000 + 524_288)
    assert [len(WatchResponse.FromString(m).events) for m in messages] == [12, 12, 6]


def test_the_message_of_a_watch_id_is_made_once() -> None:
    events = response.EventResponse(header_of(5), [frame(4, 10), frame(5, 10)], None)
    (first,) = events.messages(response.id_field(1))
    assert events.messages(response.id_field(1))[0] is first
    (other,) = events.messages(response.id_field(2))
    assert WatchResponse.FromString(other).watch_id == 2
    assert WatchResponse.FromString(first).events == WatchResponse.FromString(other).events
