"""What one member asks another besides raft: who is there, leases, hashes, promotions.

Source: shared facts, peer.md section 1.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from google.protobuf.message import DecodeError as ProtobufDecodeError

from kvorum.errors import (
    LearnerNotReadyError,
    LeaseNotFoundError,
    MemberNotFoundError,
    MemberNotLearnerError,
    NotLeaderError,
    RequestError,
    UnavailableError,
    WireError,
)
from kvorum.peer.bodies import Answer, BodyReceiver
from kvorum.peer.checks import method_not_allowed, refusal
from kvorum.peer.options import PeerOptions
from kvorum.proto.lease_pb2 import LeaseInternalRequest, LeaseInternalResponse
from kvorum.proto.rpc_pb2 import (
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseTimeToLiveResponse,
)
from kvorum.proto.versions import Version
from kvorum.rpc.exchange import Exchange, FixedReceiver
from kvorum.rpc.http import JSON, HttpRequest, HttpResponse
from kvorum.rpc.http2.streams import Receiver
from kvorum.server.log import Logger
from kvorum.server.peer_ports import PeerInfoPort

PROTOBUF: Final = "application/protobuf"
HASH_PATH: Final = "/members/hashkv"
DOWNGRADE_SINCE: Final = Version(3, 5)
PROMOTE_PATH: Final = "/members/promote/"

_PROMOTE_STATUS: Final[dict[type[WireError], int]] = {
    MemberNotFoundError: 404,
    MemberNotLearnerError: 412,
    LearnerNotReadyError: 412,
}
_PROMOTE_TEXT: Final[dict[type[WireError], str]] = {
    MemberNotFoundError: "membership: ID not found",
    MemberNotLearnerError: "membership: can only promote a learner member",
}
"""Where the text between members is another than the one for clients."""


class InformationService:
    """The endpoints of the peer port that are not raft's."""

    def __init__(self, info: PeerInfoPort, options: PeerOptions, log: Logger) -> None:
        self._info = info
        self._options = options
        self._cluster = (("X-Etcd-Cluster-ID", f"{options.cluster_id:x}"),)
        self._log = log

    def open(self, request: HttpRequest, exchange: Exchange) -> Receiver | None:
        """Begin a request; None: there is nothing at its path."""
        path = request.path
        if path == "/version":
            return self._get(request, exchange, self._versions)
        if path == "/members":
            return self._get(request, exchange, self._members)
        if path == "/downgrade/enabled" and self._options.version >= DOWNGRADE_SINCE:
            return self._get(request, exchange, self._downgrade_enabled)
        if path == HASH_PATH:
            return self._with_body(request, exchange, "GET", self._hash_kv)
        if path == "/leases":
            return self._with_body(request, exchange, "POST", self._renew)
        if path == "/leases/internal":
            return self._with_body(request, exchange, "POST", self._time_to_live)
        if path.startswith(PROMOTE_PATH):
            word = path.removeprefix(PROMOTE_PATH)
            return self._with_body(request, exchange, "POST", lambda _: self._promote(word))
        return None

    def _get(
        self, request: HttpRequest, exchange: Exchange, answer: Callable[[], HttpResponse]
    ) -> Receiver:
        if request.method != "GET":
            return FixedReceiver(method_not_allowed("GET"), exchange)
        self._tell_cluster(request, exchange)
        return FixedReceiver(answer(), exchange)

    def _tell_cluster(self, request: HttpRequest, exchange: Exchange) -> None:
        """Answers of most endpoints say which cluster this is; stock's choice which."""
        if request.path.startswith(("/members", "/downgrade/")) and request.path != HASH_PATH:
            exchange.common = self._cluster

    def _with_body(
        self, request: HttpRequest, exchange: Exchange, method: str, answer: Answer
    ) -> Receiver:
        if request.method != method:
            says = not request.path.startswith("/leases")
            return FixedReceiver(method_not_allowed(method if says else ""), exchange)
        self._tell_cluster(request, exchange)
        theirs = request.header(b"x-etcd-cluster-id")
        if request.path == HASH_PATH and theirs and theirs != self._cluster[0][1]:
            return FixedReceiver(refusal(412, "cluster ID mismatch"), exchange)
        return BodyReceiver(exchange, answer, self._log)

    def _versions(self) -> HttpResponse:
        return HttpResponse(200, _json(self._info.versions()), JSON)

    def _members(self) -> HttpResponse:
        members = [member_json(member) for member in self._info.members()]
        return HttpResponse(200, _json(members) + b"\n", JSON)

    def _downgrade_enabled(self) -> HttpResponse:
        return HttpResponse(200, _json(self._info.downgrade_enabled()), "text/plain")

    async def _promote(self, word: str) -> HttpResponse:
        if not (word.isascii() and word.isdecimal() and int(word) < 2**64):
            return refusal(404, f"member {word} not found in cluster")
        try:
            await self._info.promote(int(word))
        except WireError as error:
            kind = type(error)
            return refusal(_PROMOTE_STATUS.get(kind, 500), _PROMOTE_TEXT.get(kind, error.message))
        return self._members()

    def _hash_kv(self, body: bytes) -> HttpResponse | Awaitable[HttpResponse]:
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            asked = ""
        # As Go reads JSON into a struct: what is not there is zero.
        revision = asked.get("revision") if isinstance(asked, dict) else asked
        revision = 0 if revision is None else revision
        is_number = isinstance(revision, int) and not isinstance(revision, bool)
        if not is_number or not isinstance(asked, dict | None):
            return refusal(400, "error unmarshalling request")
        return self._hash_at(revision)

    async def _hash_at(self, revision: int) -> HttpResponse:
        try:
            current, value, compacted, hashed = await self._info.hash_kv_here(revision)
        except RequestError as error:
            return refusal(400, error.message.removeprefix("etcdserver: "))
        answer = {
            "header": {"revision": current},
            "hash": value,
            "compact_revision": compacted,
            "hash_revision": hashed,
        }
        return HttpResponse(200, _json({k: v for k, v in answer.items() if v}), JSON, self._cluster)

    def _renew(self, body: bytes) -> HttpResponse | Awaitable[HttpResponse]:
        try:
            request = LeaseKeepAliveRequest.FromString(body)
        except ProtobufDecodeError:
            return refusal(400, "error unmarshalling request")
        return self._renew_here(request.ID)

    async def _renew_here(self, lease_id: int) -> HttpResponse:
        try:
            ttl_s = await self._info.lease_renew_here(lease_id)
        except LeaseNotFoundError:
            return refusal(404, "lease not found")
        except NotLeaderError:
            return refusal(400, "not a primary lessor")  # the other endpoint: 500; stock's choice
        except UnavailableError:
            return refusal(408, "waiting for node to catch up its applied index has timed out")
        response = LeaseKeepAliveResponse(ID=lease_id, TTL=ttl_s)
        return HttpResponse(200, response.SerializeToString(), PROTOBUF)

    def _time_to_live(self, body: bytes) -> HttpResponse | Awaitable[HttpResponse]:
        try:
            request = LeaseInternalRequest.FromString(body).LeaseTimeToLiveRequest
        except ProtobufDecodeError:
            return refusal(400, "error unmarshalling request")
        return self._time_to_live_here(request.ID, request.keys)

    async def _time_to_live_here(self, lease_id: int, with_keys: bool) -> HttpResponse:
        try:
            life = await self._info.lease_time_to_live_here(lease_id, with_keys=with_keys)
        except LeaseNotFoundError:
            return refusal(404, "lease not found")
        except NotLeaderError:
            return refusal(500, "not a primary lessor")
        except UnavailableError:
            return refusal(408, "waiting for node to catch up its applied index has timed out")
        response = LeaseInternalResponse(
            LeaseTimeToLiveResponse=LeaseTimeToLiveResponse(
                ID=lease_id, TTL=life.remaining_s, grantedTTL=life.granted_s, keys=life.keys
            )
        )
        return HttpResponse(200, response.SerializeToString(), PROTOBUF)


def member_json(member: dict[str, Any]) -> dict[str, Any]:
    """A member as its peers read it: key order and left-out fields as Go writes them."""
    shown: dict[str, Any] = {"id": member["ID"], "peerURLs": list(member["peerURLs"])}
    if member["isLearner"]:
        shown["isLearner"] = True
    if member["name"]:
        shown["name"] = member["name"]
    if member["clientURLs"]:
        shown["clientURLs"] = list(member["clientURLs"])
    return shown


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
