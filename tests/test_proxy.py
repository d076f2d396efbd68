"""The proxy between members tells requests apart, also those that share a connection."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.proxy import Link, Proxy
from tests.requests_on_wire import Head, Requests

SENDER = 0xAB
WAIT_S = 10.0
PROBE = b"GET /raft/probing HTTP/1.1\r\nHost: a\r\n\r\n"
APPEND = b"POST /raft HTTP/1.1\r\nX-Server-From: ab\r\nContent-Length: 5\r\n\r\nhello"
SNAPSHOT = (
    b"POST /raft/snapshot HTTP/1.1\r\nX-Server-From: ab\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nABCDE\r\n3;x=y\r\nxyz\r\n0\r\n\r\n"
)
STREAM = b"GET /raft/stream/message/ab HTTP/1.1\r\nX-Server-From: ab\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
def test_requests_are_found_however_they_are_cut(size: int) -> None:
    wire = PROBE + APPEND + SNAPSHOT + PROBE + STREAM
    requests = Requests()
    parts = [
        part for at in range(0, len(wire), size) for part in requests.feed(wire[at : at + size])
    ]
    heads = [(part.path, part.source) for part in parts if isinstance(part, Head)]
    assert heads == [
        ("/raft/probing", None),
        ("/raft", SENDER),
        ("/raft/snapshot", SENDER),
        ("/raft/probing", None),
        ("/raft/stream/message/ab", SENDER),
    ]
    assert b"".join(part for part in parts if isinstance(part, bytes)) == b"helloABCDExyz"
    whole = b"".join(part.data if isinstance(part, Head) else bytes(part) for part in parts)
    assert whole == wire


@contextmanager
def echoing() -> Iterator[int]:
    """A server that sends back what it gets. Yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join(WAIT_S)
        listener.close()


@contextmanager
def proxied() -> Iterator[tuple[Proxy, socket.socket]]:
    """A proxy of members 0 (the sender) and 1, and a connection through it to 1."""
    with echoing() as port:
        proxy = Proxy([port, port])
        try:
            proxy.member_ids[SENDER] = 0
            with socket.create_connection(("127.0.0.1", proxy.ports[1]), WAIT_S) as client:
                yield proxy, client
        finally:
            proxy.close()


def exactly(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        data = client.recv(size - len(found))
        assert data, "the connection ended"
        found += data
    return found


@pytest.mark.parametrize(
    ("request_", "link"), [(APPEND, (0, 1)), (SNAPSHOT, (0, 1)), (STREAM, (1, 0))]
)
def test_a_cut_holds_on_a_connection_that_a_probe_came_over(
    request_: bytes, link: tuple[int, int]
) -> None:
    """Stock uses one for both."""
    with proxied() as (proxy, client):
        client.sendall(PROBE)
        assert exactly(client, len(PROBE)) == PROBE
        proxy.link(*link).blocked = True
        client.sendall(request_)
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(WAIT_S)
        proxy.heal()
        assert exactly(client, len(request_)) == request_


def test_the_bodies_of_one_kind_of_request_can_be_changed() -> None:
    def change(path: str, data: bytes) -> bytes:
        return data.swapcase() if path == "/raft/snapshot" else data

    with proxied() as (proxy, client):
        proxy.change = change
        client.sendall(APPEND + SNAPSHOT)
        wanted = APPEND + SNAPSHOT.replace(b"ABCDE", b"abcde").replace(b"xyz", b"XYZ")
        assert exactly(client, len(wanted)) == wanted


def test_a_link_carries_no_more_than_it_may() -> None:
    size, rate = 40_000, 100_000
    head = b"POST /raft HTTP/1.1\r\nX-Server-From: ab\r\nContent-Length: %d\r\n\r\n" % size
    with proxied() as (proxy, client):
        proxy.links[0, 1] = Link(bytes_per_s=rate)
        begun_s = time.monotonic()
        client.sendall(head + bytes(size) + PROBE)
        exactly(client, len(head) + size + len(PROBE))
        assert time.monotonic() - begun_s >= size / rate
