"""Clients that cost memory: very many that are idle, some that never read what they asked for."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvorum.proto import rpc_pb2 as rpc
from tests.robustness.calls import Calls
from tests.robustness.raw_http2 import PREFIX, RawHttp2, grpc_frame
from tests.servers import Server, start_server

CONNECTIONS = 10_000
# Of both processes, beside the connections: files, libraries, pipes.
OTHER_FILES = 500
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
# Stock etcd 3.5.1 took 28 KiB for each of these connections.
BYTES_PER_CONNECTION = 128 << 10
SERVED_S = 5.0

STALLED_CONNECTIONS = 20
STALLED_STREAMS_EACH = 5
EVENTS = 2_000
EVENT_BYTES = 16 << 10
# What the server would hold if it kept every event for every stalled stream: 3.2 GB.
UNBOUNDED_BYTES = STALLED_CONNECTIONS * STALLED_STREAMS_EACH * EVENTS * EVENT_BYTES
# The raft log in memory, the store and its cache hold each event a few times over, whoever watches.
GROWTH_BYTES_MAX = UNBOUNDED_BYTES // 6
WATCH = "/etcdserverpb.Watch/Watch"


@contextlib.contextmanager
def open_file_limit(wanted: int) -> Iterator[int]:
    """As many open files as are allowed, up to `wanted`; the server inherits the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if hard != unlimited and hard < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, wanted))
            hard = wanted
    allowed = wanted if hard == unlimited else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(allowed, soft), hard))
    try:
        yield max(allowed, soft)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


def connect_idle(server: Server, count: int, opened: contextlib.ExitStack) -> None:
    """Every second one is a gRPC client that has said hello; the others have said nothing."""
    for n in range(count):
        idle = opened.enter_context(socket.create_connection(("127.0.0.1", server.client_port)))
        if n % 2:
            idle.sendall(PREFACE)


def check_served(server: Server, key: bytes) -> None:
    """A new client gets a put and a get done, soon."""
    began = time.monotonic()
    with Calls(server.target) as calls:
        revision = calls.put(key, b"value").header.revision
        assert calls.get(key).kvs[0].mod_revision == revision
    assert time.monotonic() - began < SERVED_S


def wait_for_files(server: Server, at_least: int = 0, at_most: int = 1 << 30) -> None:
    give_up = time.monotonic() + 30
    while not at_least <= open_files(server) <= at_most:
        assert time.monotonic() < give_up, f"the server has {open_files(server)} open files"
        time.sleep(0.05)


@pytest.mark.slow
def test_ten_thousand_idle_connections_do_not_stop_a_client() -> None:
    with open_file_limit(CONNECTIONS + OTHER_FILES) as limit, start_server() as server:
        count = min(CONNECTIONS, limit - OTHER_FILES)
        if count < CONNECTIONS:
            # A hard limit that even root may not raise here: fewer connections, the same promise.
            assert count >= 200, f"only {limit} open files are allowed: nothing can be shown"
        files, memory = open_files(server), server.memory_bytes()
        with contextlib.ExitStack() as opened:
            connect_idle(server, count, opened)
            wait_for_files(server, at_least=count)
            check_served(server, b"crowded")
            assert server.memory_bytes() - memory < count * BYTES_PER_CONNECTION
        # They leave, and leave nothing behind.
        wait_for_files(server, at_most=files + 50)
        check_served(server, b"alone")


def open_stalled_watch(server: Server) -> RawHttp2:
    """Watchers of everything on one connection whose windows will never be opened again."""
    raw = RawHttp2(server.client_port)
    raw.acknowledge_data = False
    create = rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=b"e", range_end=b"f"))
    streams = [raw.open(WATCH) for _ in range(STALLED_STREAMS_EACH)]
    for stream in streams:
        raw.send(stream, grpc_frame(create.SerializeToString()))
    raw.pump_until(lambda: all(raw.answers[stream].body for stream in streams))
    return raw


def put_events(calls: Calls) -> list[int]:
    value = b"v" * EVENT_BYTES
    return [calls.put(b"e%d" % (n % 10), value).header.revision for n in range(EVENTS)]


class EventReader:
    """Takes the revisions of the events out of a stream's body as it grows."""

    def __init__(self, raw: RawHttp2, stream: int) -> None:
        self.answer = raw.answers[stream]
        self.parsed_bytes = 0
        self.revisions: list[int] = []

    def read(self) -> list[int]:
        body, at = self.answer.body, self.parsed_bytes
        while at + PREFIX.size <= len(body):
            end = at + PREFIX.size + PREFIX.unpack_from(body, at)[1]
            if end > len(body):
                break
            message = rpc.WatchResponse.FromString(bytes(body[at + PREFIX.size : end]))
            self.revisions += [event.kv.mod_revision for event in message.events]
            at = end
        self.parsed_bytes = at
        return self.revisions


def read_on(raw: RawHttp2, stream: int, last_revision: int) -> list[int]:
    """Open the windows again and read one stream until it has seen `last_revision`."""
    for other in raw.answers:
        if other != stream:
            raw.h2.reset_stream(other)
    raw.acknowledge_data = True
    raw.h2.increment_flow_control_window(1 << 24)
    raw.h2.increment_flow_control_window(1 << 20, stream)
    raw.flush()
    reader = EventReader(raw, stream)
    raw.pump_until(lambda: reader.read()[-1:] == [last_revision], deadline_s=60)
    return reader.revisions


@pytest.mark.slow
def test_a_client_that_never_reads_costs_little_and_hinders_nobody() -> None:
    """100 watch streams with closed windows, 32 MB of events: memory stays bounded.

    A reader beside them gets every event in order meanwhile; and a stalled one that starts to read
    again catches up without a gap.
    """
    with start_server() as server, contextlib.ExitStack() as opened:
        stalled = [
            opened.enter_context(open_stalled_watch(server)) for _ in range(STALLED_CONNECTIONS)
        ]
        with Calls(server.target) as calls:
            reader = calls.watch(rpc.WatchCreateRequest(key=b"e", range_end=b"f"), timeout_s=120)
            assert next(reader).created
            memory = server.memory_bytes()
            expected = put_events(calls)
            seen: list[int] = []
            while not seen or seen[-1] < expected[-1]:
                seen += [event.kv.mod_revision for event in next(reader).events]
            assert seen == expected
            growth = server.memory_bytes() - memory
            assert growth < GROWTH_BYTES_MAX, f"grew by {growth >> 20} MiB"
        check_served(server, b"other")
        assert read_on(stalled[0], next(iter(stalled[0].answers)), expected[-1]) == expected
