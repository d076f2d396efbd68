"""Plain HTTP requests and responses. Which HTTP a request came by does not matter here.

The endpoints of the client port are in `rpc.endpoints`, those of the peer port in `peer.service`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, urlsplit

from kvorum.rpc.http2.hpack import Headers

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"
CLIENT_CLOSED_REQUEST: Final = 499
"""Not of the RFC; grpc-gateway 2 has it for cancelled calls."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request; `target` is the path with its query, names of headers are in lower case."""

    method: str
    target: str
    headers: Headers = ()
    body: bytes = b""
    """The beginning of it, for the plain endpoints; see `exchange.BODY_KEPT_BYTES_MAX`."""

    def header(self, name: bytes) -> str:
        """First value of the header `name`; empty: it is not there."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return ""

    @property
    def host(self) -> str:
        """The name that the client has for this server, with its port."""
        return self.header(b":authority") or self.header(b"host")

    @property
    def path(self) -> str:
        # Not what `urlsplit` makes of `//host`: that is a path here.
        target = self.target
        return target.partition("?")[0] if target.startswith("/") else urlsplit(target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.target.partition("?")[2], keep_blank_values=True)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole response."""

    status: int
    body: bytes
    content_type: str = TEXT
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Of the response alone; an empty content type is left out."""
        kind = [("content-type", self.content_type)] if self.content_type else []
        length = [] if self.status == 204 else [("content-length", str(len(self.body)))]
        return [*kind, *length, *self.extra]


def phrase(status: int) -> str:
    """The words behind a status."""
    if status == CLIENT_CLOSED_REQUEST:
        return "Client Closed Request"
    return HTTPStatus(status).phrase


HttpApp = Callable[[HttpRequest], Awaitable[HttpResponse]]

NOT_FOUND: Final = HttpResponse(404, b"404 page not found\n")


async def nothing_here(_: HttpRequest) -> HttpResponse:
    """The plain endpoints of a port whose service answers every path."""
    return NOT_FOUND
