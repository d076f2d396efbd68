"""The plain HTTP endpoints on the client port: `/health` and `/version`.

Source: shared facts, client.md section 12, "Plain endpoints".
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

from kvorum.rpc.grpc import Receive, Scope, Send
from kvorum.server.ports import InfoPort

_TEXT = b"text/plain; charset=utf-8"
_JSON = b"application/json"


class HttpApp:
    """The ASGI application for everything that is not gRPC."""

    def __init__(self, server: InfoPort) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/health":
            await self._health(scope, send)
        elif path == "/version":
            await self._version(scope, send)
        else:
            await respond(send, 404, b"404 page not found\n")

    async def _version(self, scope: Scope, send: Send) -> None:
        if scope["method"] != "GET":
            await _method_not_allowed(send)
            return
        body = json.dumps(self._server.versions(), separators=(",", ":")).encode()
        await respond(send, 200, body, content_type=_JSON)

    async def _health(self, scope: Scope, send: Send) -> None:
        if scope["method"] != "GET":
            await _method_not_allowed(send)
            return
        query = parse_qs(scope["query_string"].decode("latin-1"))
        reason = await self._server.health(serializable=query.get("serializable") == ["true"])
        healthy = not reason
        body = json.dumps(
            {"health": "true" if healthy else "false", "reason": reason}, separators=(",", ":")
        ).encode()
        await respond(send, 200 if healthy else 503, body if healthy else body + b"\n")


async def _method_not_allowed(send: Send) -> None:
    await respond(send, 405, b"Method Not Allowed\n", extra=[(b"allow", b"GET")])


async def respond(
    send: Send,
    status: int,
    body: bytes,
    *,
    content_type: bytes = _TEXT,
    extra: list[tuple[bytes, bytes]] | None = None,
) -> None:
    """Send a whole response."""
    headers = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        *(extra or ()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


class PeerApp:
    """The ASGI application of the peer port of a cluster of one: who is in it, and its version.

    Source: shared facts, peer.md section 1.
    """

    def __init__(self, server: InfoPort) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path not in {"/version", "/members"}:
            await respond(send, 404, b"404 page not found\n")
        elif scope["method"] != "GET":
            await _method_not_allowed(send)
        elif path == "/version":
            body = json.dumps(self._server.versions(), separators=(",", ":")).encode()
            await respond(send, 200, body, content_type=_JSON)
        else:
            await self._members(send)

    async def _members(self, send: Send) -> None:
        members = [_member_json(member) for member in self._server.members()]
        body = json.dumps(members, separators=(",", ":")).encode() + b"\n"
        cluster_id = b"%x" % self._server.cluster_id
        extra = [(b"x-etcd-cluster-id", cluster_id)]
        await respond(send, 200, body, content_type=_JSON, extra=extra)


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
