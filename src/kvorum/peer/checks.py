"""Whether a request of another member may come in.

Source: shared facts, peer.md section 2 (order and texts checked there).
"""

from __future__ import annotations

import string
from typing import Final

from kvorum.errors import ConfigError
from kvorum.peer.options import PeerOptions
from kvorum.proto.versions import MIN_CLUSTER_VERSION, Version, parse_version
from kvorum.rpc.http import HttpRequest, HttpResponse

_HEX_DIGITS: Final = frozenset(string.hexdigits)

UNKNOWN_VERSION: Final = Version(2, 0)
"""Of a member that does not say. Source: rafthttp (serverVersion)."""


def refusal(status: int, text: str) -> HttpResponse:
    """An error as Go's `http.Error` writes it."""
    return HttpResponse(status, f"{text}\n".encode(), extra=NOSNIFF)


NOSNIFF: Final = (("X-Content-Type-Options", "nosniff"),)
INCOMPATIBLE: Final = refusal(412, "incompatible version")
WRONG_CLUSTER: Final = refusal(412, "cluster ID mismatch")
NOT_FOUND: Final = refusal(404, "404 page not found")


def version_in(request: HttpRequest, name: bytes) -> Version:
    """The version in a header."""
    try:
        return parse_version(request.header(name))
    except ConfigError:
        return UNKNOWN_VERSION


def check_sender(request: HttpRequest, options: PeerOptions) -> HttpResponse | None:
    """The refusal of a sender of another version or another cluster; None: it may go on."""
    theirs = version_in(request, b"x-server-version")
    wanted = version_in(request, b"x-min-cluster-version")
    if theirs[:2] < MIN_CLUSTER_VERSION[:2] or wanted[:2] > options.version[:2]:
        return INCOMPATIBLE
    if request.header(b"x-etcd-cluster-id") != f"{options.cluster_id:x}":
        return WRONG_CLUSTER
    return None


def method_not_allowed(allowed: str = "") -> HttpResponse:
    """The answer to another method than `allowed`; of some endpoints it does not say which."""
    allow = (("Allow", allowed),) if allowed else ()
    return HttpResponse(405, b"Method Not Allowed\n", extra=(*allow, *NOSNIFF))


def parse_hex_id(text: str) -> int | None:
    """A member id; None: it is none."""
    value = int(text, 16) if text and set(text) <= _HEX_DIGITS else 2**64
    return value if value < 2**64 else None
