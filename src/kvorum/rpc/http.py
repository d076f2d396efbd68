"""The plain HTTP endpoints. Which HTTP a request came by does not matter here.

`/health` and `/version` are on the client port, `/members` and `/version` on the peer port.

Source: shared facts, client.md section 12 ("Plain endpoints"), peer.md section 1.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from kvorum.server.ports import InfoPort

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request; `target` is the path with its query."""

    method: str
    target: str

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole response."""

    status: int
    body: bytes
    content_type: str = TEXT
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [
            ("content-type", self.content_type),
            ("content-length", str(len(self.body))),
            *self.extra,
        ]


HttpApp = Callable[[HttpRequest], Awaitable[HttpResponse]]

NOT_FOUND: Final = HttpResponse(404, b"404 page not found\n")
METHOD_NOT_ALLOWED: Final = HttpResponse(405, b"Method Not Allowed\n", extra=(("allow", "GET"),))


def _json(value: Any, end: bytes = b"") -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + end


def client_app(server: InfoPort) -> HttpApp:
    """The plain endpoints of the client port."""

    async def answer(request: HttpRequest) -> HttpResponse:
        path = request.path
        if path not in {"/health", "/version"}:
            return NOT_FOUND
        if request.method != "GET":
            return METHOD_NOT_ALLOWED
        if path == "/version":
            return HttpResponse(200, _json(server.versions()), JSON)
        serializable = request.query.get("serializable") == ["true"]
        reason = await server.health(serializable=serializable)
        if reason:
            return HttpResponse(503, _json({"health": "false", "reason": reason}, b"\n"))
        return HttpResponse(200, _json({"health": "true", "reason": ""}))

    return answer


def peer_app(server: InfoPort) -> HttpApp:
    """What the peer port of a cluster of one tells: who is in it, and its version."""

    async def answer(request: HttpRequest) -> HttpResponse:
        path = request.path
        if path not in {"/version", "/members"}:
            return NOT_FOUND
        if request.method != "GET":
            return METHOD_NOT_ALLOWED
        if path == "/version":
            return HttpResponse(200, _json(server.versions()), JSON)
        members = [_member_json(member) for member in server.members()]
        extra = (("x-etcd-cluster-id", f"{server.cluster_id:x}"),)
        return HttpResponse(200, _json(members, b"\n"), JSON, extra)

    return answer


def _member_json(member: dict[str, Any]) -> dict[str, Any]:
    """A member as its peers read it: key order and left-out fields as Go writes them."""
    shown: dict[str, Any] = {"id": member["ID"], "peerURLs": list(member["peerURLs"])}
    if member["isLearner"]:
        shown["isLearner"] = True
    if member["name"]:
        shown["name"] = member["name"]
    if member["clientURLs"]:
        shown["clientURLs"] = list(member["clientURLs"])
    return shown
