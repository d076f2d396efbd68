from __future__ import annotations

from kvorum.mvcc.events import Event
from kvorum.proto.kv_pb2 import Event as EventMessage
from kvorum.proto.kv_pb2 import KeyValue
from kvorum.proto.rpc_pb2 import WatchResponse

PUT = KeyValue(key=b"k", create_revision=3, mod_revision=5, version=2, value=b"v" * 300)
GONE = KeyValue(key=b"k", mod_revision=6)


def framed(frame: bytes) -> EventMessage:
    """The one event of a watch response that holds nothing else."""
    response = WatchResponse.FromString(frame)
    assert response == WatchResponse(events=response.events)
    (event,) = response.events
    return event


def test_a_put_is_framed_as_an_event_of_a_watch_response() -> None:
    event = Event(False, b"k", PUT.SerializeToString(), 5, 3, 2)
    assert framed(event.frame()) == EventMessage(type=EventMessage.PUT, kv=PUT)


def test_a_deletion_is_framed_with_its_key_and_revision_alone() -> None:
    event = Event(True, b"k", GONE.SerializeToString(), 6)
    assert framed(event.frame()) == EventMessage(type=EventMessage.DELETE, kv=GONE)


def test_the_frame_is_encoded_once() -> None:
    event = Event(False, b"k", PUT.SerializeToString(), 5)
    assert event.frame() is event.frame()


def test_the_previous_value_goes_into_a_frame_of_its_own() -> None:
    event = Event(True, b"k", GONE.SerializeToString(), 6)
    plain = event.frame()
    assert framed(event.frame_with_prev(PUT.SerializeToString())) == EventMessage(
        type=EventMessage.DELETE, kv=GONE, prev_kv=PUT
    )
    assert event.frame() is plain
    assert event.frame_with_prev(None) == plain


def test_an_event_says_in_its_text_what_happened() -> None:
    assert repr(Event(False, b"k", b"", 5)) == "Event(PUT b'k' at 5)"
    assert repr(Event(True, b"k", b"", 6)) == "Event(DELETE b'k' at 6)"
