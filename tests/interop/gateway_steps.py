"""Requests to the JSON gateway, and what they answer without what differs from run to run."""

from __future__ import annotations

import base64
import http.client
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.servers import Server

ANSWER_S = 15.0

_VARYING = re.compile(
    rb'"(raft_term|raftTerm|raftIndex|raftAppliedIndex|dbSize|dbSizeInUse|hash)":("?)\d+"?'
)
_LONG_NUMBER = re.compile(rb'"\d{12,20}"')
"""Ids of clusters and members, and of leases that the server has named."""
_PORT = re.compile(rb"127\.0\.0\.1:\d+")
_VERSION = re.compile(rb'"version":"(3\.\d+)\.\d+"')
_TOKEN = re.compile(rb'"token":"[A-Za-z]+\.\d+"')
_CORS = ("Origin", "Methods", "Headers")
_BLOB = re.compile(rb'"remaining_bytes":"\d+",|"blob":"[^"]*"')


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@dataclass(frozen=True)
class Post:
    """A request with its whole answer."""

    path: str
    body: str | bytes = "{}"
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Listen:
    """A stream: the request, then requests on the side, one line of answer for each of them."""

    path: str
    body: str
    first_lines: int = 1
    then: Sequence[Post] = field(default=())


Step = Post | Listen


def run(server: Server, steps: Sequence[Step]) -> list[tuple[Step, object]]:
    """Each step with its answer."""
    return [(step, _run(server, step)) for step in steps]


def _run(server: Server, step: Step) -> object:
    try:
        return _listen(server, step) if isinstance(step, Listen) else _post(server, step)
    except (TimeoutError, ConnectionError):
        return "no answer"


def _post(server: Server, step: Post) -> tuple[int, bytes, list[str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.client_port, timeout=ANSWER_S)
    try:
        connection.request(step.method, step.path, step.body, dict(step.headers))
        response = connection.getresponse()
        allowed = [response.getheader(f"Access-Control-Allow-{name}", "") for name in _CORS]
        return response.status, normal(response.read()), allowed
    finally:
        connection.close()


def _listen(server: Server, step: Listen) -> tuple[int, list[bytes]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.client_port, timeout=ANSWER_S)
    try:
        connection.request("POST", step.path, step.body)
        response = connection.getresponse()
        lines = [normal(response.readline()) for _ in range(step.first_lines)]
        for post in step.then:
            _post(server, post)
            lines.append(normal(response.readline()))
        return response.status, lines
    finally:
        connection.close()


def normal(body: bytes) -> bytes:
    """A body without what differs from run to run."""
    body = _VARYING.sub(rb'"\1":\2#\2', body)
    body = _LONG_NUMBER.sub(b'"#"', body)
    body = _PORT.sub(b"ADDRESS", body)
    body = _VERSION.sub(rb'"version":"\1.#"', body)
    body = _TOKEN.sub(b'"token":"#"', body)
    return _BLOB.sub(b"#", body)
