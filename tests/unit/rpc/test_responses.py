"""What a client by the book (h2) decodes, in every order of calls."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvorum.errors import Code, StatusError
from kvorum.rpc.responses import percent_encode, status_block
from tests.unit.rpc.peer import ECHO, FAIL, MESSAGE_BYTES_MAX, SIZED, STREAM, H2Client, messages_in

START = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0")]
EMPTY_KEY = [("grpc-status", "3"), ("grpc-message", "etcdserver: key is not provided")]

CALLS = st.sampled_from(["echo", "fail", "unknown", "long", "stream", "failing stream"])
STEPS = st.lists(
    st.tuples(CALLS, st.booleans(), st.sampled_from([None, 0, 1, 40, 70_000]), st.booleans()),
    max_size=25,
)


def begin(client: H2Client, kind: str) -> int:
    path = {"echo": ECHO, "fail": FAIL, "long": SIZED}.get(kind, STREAM)
    stream = client.open("/t.T/Nothing" if kind == "unknown" else path)
    keys = {"stream": [b"a", b"b"], "failing stream": [b"a", b"fail"]}.get(kind)
    if kind == "unknown":
        client.h2.end_stream(stream)
    elif keys is None:
        client.send(stream, key=b"echoed", limit=40_000, end=True)
    else:
        for key in keys:
            client.send(stream, key=key)
        client.h2.end_stream(stream)
    return stream


def check(client: H2Client, kind: str, stream: int) -> None:
    response = client.responses[stream]
    assert response.ended
    assert response.reset is None
    if kind == "fail":
        assert (response.headers, response.trailers) == (START + EMPTY_KEY, [])
    elif kind == "unknown":
        text = ("grpc-message", "unknown method Nothing for service t.T")
        assert response.headers == [*START, ("grpc-status", "12"), text]
    else:
        assert response.headers == START
        assert response.trailers == (EMPTY_KEY if kind == "failing stream" else OK)
        expected = {"echo": [b"echoed"], "long": [b"x" * 40_000], "stream": [b"a", b"b"]}
        assert messages_in(response.body) == expected.get(kind, [b"a"])


@settings(max_examples=150)
@given(STEPS, st.sampled_from([0, 1, 30, 65_535, 1 << 20]), st.sampled_from([0, 60, 4096, 65_536]))
def test_calls_in_any_order_are_answered_to_the_letter(
    steps: list[tuple[str, bool, int | None, bool]], window: int, table: int
) -> None:
    """Also when answers wait for windows, so that their last header block comes much later."""
    client = H2Client(window=window, table=table)
    client.reads = False
    opened = []
    for kind, exchange, wider, smaller_table in steps:
        opened.append((kind, begin(client, kind)))
        changed = ({} if wider is None else {4: wider}) | ({1: 0} if smaller_table else {})
        if changed:
            client.h2.update_settings(changed)
            client.exchange()  # h2 mistakes what is acknowledged when two changes are under way
        if exchange:
            client.exchange()
    client.h2.update_settings({4: 1 << 20})
    client.h2.increment_flow_control_window(1 << 24)
    client.exchange()
    for kind, stream in opened:
        check(client, kind, stream)
    assert not client.server.connection.streams
    assert client.server.connection.unsent_bytes == 0


def test_the_first_response_of_all_may_wait_for_a_window() -> None:
    """Its trailers must not count on, or change, a header table that others use meanwhile."""
    client = H2Client(window=0)
    waiting = client.open(ECHO)
    client.send(waiting, key=b"echoed", end=True)
    client.exchange()
    client.h2.update_settings({4: 65_535})
    others = [begin(client, "echo") for _ in range(3)]
    client.exchange()
    for stream in (waiting, *others):
        check(client, "echo", stream)


def test_a_message_of_a_refusal_may_be_longer_than_a_frame() -> None:
    client = H2Client()
    client.h2.max_inbound_frame_size = 16_384
    stream = client.open("/t.T/" + "%" * 20_000)
    client.exchange()
    status, message = client.responses[stream].status
    assert status == "12"
    assert message == "unknown method " + "%25" * 20_000 + " for service t.T"


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("plain text!", b"plain text!"),
        ("100%", b"100%25"),
        ("line\nbreak", b"line%0Abreak"),
        ("ü€", b"%C3%BC%E2%82%AC"),
        ("", b""),
    ],
)
def test_a_status_message_travels_percent_encoded(text: str, encoded: bytes) -> None:
    assert percent_encode(text) == encoded
    assert encoded in status_block(StatusError(Code.INTERNAL, text))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/t.T/Gone", "unknown method Gone for service t.T"),
        ("/x.Y/Z", "unknown service x.Y"),
        ("/x", 'malformed method name: "/x"'),
        ("", 'malformed method name: ""'),
    ],
)
def test_a_path_without_method_is_refused_as_stock_words_it(path: str, text: str) -> None:
    client = H2Client()
    client.h2.config.validate_outbound_headers = False
    stream = client.open(path)
    client.exchange()
    assert client.responses[stream].status == ("12", text)


def test_a_message_above_the_limit_is_refused() -> None:
    client = H2Client()
    response = client.call(ECHO, key=b"x" * 16_000)
    assert response.status == ("0", "")
    stream = client.open(ECHO)
    client.h2.send_data(stream, b"\0" + (MESSAGE_BYTES_MAX + 1).to_bytes(4, "big") + b"x")
    client.exchange()
    text = f"grpc: received message larger than max ({MESSAGE_BYTES_MAX + 1} vs. 100000)"
    assert client.responses[stream].status == ("8", text)
