"""The JSON gateway and clients that send nonsense, too much, or nothing at all.

Statuses are what stock etcd 3.5.1 answered to these same requests (KVORUM_TEST_SERVER=<stock etcd>
runs them against it).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator

import pytest

from tests.robustness.calls import Calls
from tests.robustness.test_crowds import open_file_limit, open_files, wait_for_files
from tests.servers import Server, start_server, under_test_is_stock

ANSWER_S = 20.0
KEY = "a2V5"
WATCHES = 2_000
BYTES_PER_WATCH = 128 << 10
UNFINISHED = 150
UNFINISHED_BYTES = 3 << 20
HELD_BYTES_MAX = 256 << 20
OVERHEAD_BYTES = 128 << 20
"""What the interpreter may keep of memory that was given back."""

PUT, RANGE, TXN, WATCH = "/v3/kv/put", "/v3/kv/range", "/v3/kv/txn", "/v3/watch"
BAD: dict[str, tuple[str, str, bytes, int]] = {
    "no JSON": ("POST", PUT, b"nonsense", 400),
    "half a JSON": ("POST", PUT, b'{"key":"' + KEY.encode(), 400),
    "JSON of another kind": ("POST", PUT, b'["key"]', 400),
    "no base64": ("POST", PUT, b'{"key":"%%%"}', 400),
    "half a base64": ("POST", PUT, b'{"key":"a2V5a"}', 400),
    "no UTF-8": ("POST", PUT, b'{"key":"\xff\xfe"}', 400),
    "a number too large": ("POST", PUT, b'{"key":"a2V5","lease":9223372036854775808}', 400),
    "a wrong type": ("POST", PUT, b'{"key":"a2V5","prev_kv":"yes"}', 400),
    "an unknown lease": ("POST", PUT, b'{"key":"a2V5","lease":"4711"}', 404),
    "no key": ("POST", PUT, b"", 400),
    "unknown fields alone": ("POST", PUT, b'{"kye":"a2V5"}', 400),
    "deep nesting": ("POST", PUT, b'{"key":' + b"[" * 100_000, 400),
    "deeply nested transactions": (
        "POST",
        TXN,
        b'{"success":[{"request_txn":' * 300 + b"{}" + b"}]}" * 300,
        400,
    ),
    "too long an entry": ("POST", PUT, b'{"key":"a2V5","value":"%b"}' % (b"YWFh" * 530_000), 400),
    "too long a message": ("POST", PUT, b'{"key":"a2V5","value":"%b"}' % (b"YWFh" * 720_000), 429),
    "a very long body": ("POST", PUT, b'{"key":"a2V5","value":"%b"}' % (b"YWFh" * 2_000_000), 429),
    "a wrong method": ("PUT", PUT, b'{"key":"a2V5"}', 405),
    "a reading method": ("GET", PUT, b"", 405),
    "an unknown path": ("POST", "/v3/kv/puts", b'{"key":"a2V5"}', 404),
    "a path outside": ("POST", "/v3alpha/kv/put", b'{"key":"a2V5"}', 404),
    "an untidy path": ("POST", "/v3//kv/put", b'{"key":"a2V5"}', 301),
    "a watch of nothing": ("POST", WATCH, b'{"create_request":5}', 500),
    "a keep-alive of nothing": ("POST", "/v3/lease/keepalive", b'{"ID":{}}', 500),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    flags = [] if under_test_is_stock() else ["--emulated-version=3.5"]
    with start_server(extra_flags=flags) as running:
        with Calls(running.target) as calls:
            calls.put(b"key", b"value")
        yield running


def everything(server: Server) -> tuple[int, list[tuple[bytes, bytes]]]:
    with Calls(server.target) as calls:
        answer = calls.get(b"\0", b"\0")
        return answer.header.revision, [(one.key, one.value) for one in answer.kvs]


def ask(server: Server, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.client_port, timeout=ANSWER_S)
    try:
        with contextlib.suppress(ConnectionError):  # refused before all of it was sent
            connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_refused_and_has_no_effect(server: Server, name: str) -> None:
    method, path, body, expected = BAD[name]
    before = everything(server)
    status, answer = ask(server, method, path, body)
    assert status == expected, answer[:300]
    assert everything(server) == before


def test_bad_requests_cost_no_memory(server: Server) -> None:
    def round_of_all() -> None:
        for method, path, body, _ in BAD.values():
            ask(server, method, path, body)

    for _ in range(3):
        round_of_all()
    before = server.memory_bytes()
    for _ in range(10):
        round_of_all()
    assert server.memory_bytes() - before < 16 << 20


def test_unfinished_bodies_have_a_limit_together(server: Server) -> None:
    if under_test_is_stock():
        pytest.skip("stock has no such limit")
    before, files = server.memory_bytes(), open_files(server)
    head = f"POST {PUT} HTTP/1.1\r\nhost: x\r\ncontent-length: {UNFINISHED_BYTES}\r\n\r\n".encode()
    body = head + b'{"key":"' + b"x" * (UNFINISHED_BYTES - 100)
    refused = 0
    with contextlib.ExitStack() as opened:
        for _ in range(UNFINISHED):
            client = socket.create_connection(("127.0.0.1", server.client_port), timeout=ANSWER_S)
            opened.enter_context(client)
            with contextlib.suppress(ConnectionError):
                client.sendall(body)
            client.settimeout(0.05)
            with contextlib.suppress(TimeoutError, ConnectionError):
                refused += client.recv(12) == b"HTTP/1.1 429"
        assert refused >= UNFINISHED - HELD_BYTES_MAX // (UNFINISHED_BYTES - 100) - 1
        assert server.memory_bytes() - before < HELD_BYTES_MAX + OVERHEAD_BYTES
        assert ask(server, "POST", RANGE, json.dumps({"key": KEY}).encode())[0] in {200, 429}
    wait_for_files(server, at_most=files + 5)
    assert ask(server, "POST", RANGE, json.dumps({"key": KEY}).encode())[0] == 200


@pytest.mark.slow
def test_thousands_of_watches_cost_little_and_leave_nothing(server: Server) -> None:
    """A third of them have begun, a third have not said what, a third have not ended their head."""
    body = f'{{"create_request":{{"key":"{KEY}"}}}}'.encode()
    chunked = f"POST {WATCH} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    begun = chunked + b"%x\r\n%b\r\n" % (len(body), body)
    with (
        open_file_limit(2 * WATCHES + 500),
        contextlib.ExitStack() as opened,
        start_server() as fresh,
    ):
        before, files = fresh.memory_bytes(), open_files(fresh)
        for n in range(WATCHES):
            client = socket.create_connection(("127.0.0.1", fresh.client_port))
            opened.enter_context(client)
            client.sendall((begun, chunked, chunked[:-2])[n % 3])
        wait_for_files(fresh, at_least=files + WATCHES)
        began = time.monotonic()
        assert ask(fresh, "POST", RANGE, json.dumps({"key": KEY}).encode())[0] == 200
        assert time.monotonic() - began < 5
        used = fresh.memory_bytes() - before
        assert used < WATCHES * BYTES_PER_WATCH, f"{used // WATCHES} bytes for each"
        opened.close()
        wait_for_files(fresh, at_most=files + 5)
