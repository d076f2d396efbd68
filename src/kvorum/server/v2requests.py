"""Requests of the old v2 store, which members up to 3.5 use to publish themselves.

    PUT /0/members/<hex id>/attributes   {"name":…,"clientURLs":[…]}
    PUT /0/version                       3.5.0

Source: shared facts, peer.md section 7 ("Publication") and disk.md section 2.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from kvorum.cluster import gojson
from kvorum.cluster.ids import hex_id
from kvorum.errors import ConfigError
from kvorum.proto.etcdserver_pb2 import Request
from kvorum.proto.versions import Version, parse_version

_ATTRIBUTES = re.compile(r"/0/members/([0-9a-f]{1,16})/attributes")
_VERSION = "/0/version"


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a member publishes of itself."""

    member_id: int
    name: str
    client_urls: tuple[str, ...]


def read(request: Request) -> Attributes | Version | None:
    """The publication in a v2 request; None: it is something else, which has no effect here."""
    if request.Method != "PUT":
        return None
    match = _ATTRIBUTES.fullmatch(request.Path)
    try:
        if match is not None:
            value = json.loads(request.Val)
            return Attributes(
                int(match[1], 16), str(value["name"]), tuple(map(str, value["clientURLs"] or ()))
            )
        if request.Path == _VERSION:
            return parse_version(request.Val)
    except (ValueError, KeyError, TypeError, ConfigError):
        return None
    return None


def publish_attributes(request_id: int, attributes: Attributes) -> bytes:
    """An entry that publishes a member's name and client URLs, as 3.5 and before write it."""
    value = gojson.dumps(
        {"name": attributes.name, "clientURLs": list(attributes.client_urls)}
    ).decode()
    return _put(request_id, f"/0/members/{hex_id(attributes.member_id)}/attributes", value)


def publish_version(request_id: int, version: Version) -> bytes:
    """An entry that sets the cluster version, as 3.4 and 3.5 write it."""
    return _put(request_id, _VERSION, str(version))


def _put(request_id: int, path: str, value: str) -> bytes:
    # Every scalar is written, zero or not: so does stock, and its strict parser tells this from an
    # InternalRaftRequest by it.
    return Request(
        ID=request_id,
        Method="PUT",
        Path=path,
        Val=value,
        Dir=False,
        PrevValue="",
        PrevIndex=0,
        Expiration=0,
        Wait=False,
        Since=0,
        Recursive=False,
        Sorted=False,
        Quorum=False,
        Time=0,
        Stream=False,
    ).SerializeToString()
