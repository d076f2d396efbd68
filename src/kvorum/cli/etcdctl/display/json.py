"""`--write-out=json`: the structs of etcd's Go client as Go's encoding/json writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message

from kvorum.cli.etcdctl.display.base import EndpointHash, EndpointHealth, EndpointStatus
from kvorum.cli.etcdctl.display.responses import ResponseDisplay
from kvorum.cli.shared.gojson import encode, fields_of
from kvorum.cli.shared.stdio import write_text
from kvorum.proto.rpc_pb2 import (
    LeaseGrantResponse,
    LeaseKeepAliveResponse,
    LeaseLeasesResponse,
    LeaseRevokeResponse,
    LeaseTimeToLiveResponse,
    Member,
    MemberListResponse,
    WatchResponse,
)


class JsonDisplay(ResponseDisplay):
    """One line of JSON for each result."""

    name = "json"

    def __init__(self, *, is_hex: bool) -> None:
        self._is_hex = is_hex

    def show(self, value: Message | dict[str, Any] | list[Any]) -> None:
        write_text(encode(value) + "\n")

    def watch(self, response: WatchResponse, *, refused: bool = False) -> None:
        self.show(
            {
                "Header": {} if refused else response.header,
                "Events": None if refused else list(response.events),
                "CompactRevision": response.compact_revision,
                "Canceled": response.canceled,
                "Created": False,
            }
        )

    def grant(self, response: LeaseGrantResponse) -> None:
        self.show(
            _flat(response) | {"ID": response.ID, "TTL": response.TTL, "Error": response.error}
        )

    def revoke(self, lease_id: int, response: LeaseRevokeResponse) -> None:
        self.show(response)

    def time_to_live(self, response: LeaseTimeToLiveResponse, *, with_keys: bool) -> None:
        self.show(
            _flat(response)
            | {
                "id": response.ID,
                "ttl": response.TTL,
                "granted-ttl": response.grantedTTL,
                "keys": list(response.keys) or None,
            }
        )

    def keep_alive(self, response: LeaseKeepAliveResponse) -> None:
        self.show(_flat(response) | {"ID": response.ID, "TTL": response.TTL})

    def leases(self, response: LeaseLeasesResponse) -> None:
        leases = [{"id": lease.ID} for lease in response.leases]
        self.show(_flat(response) | {"leases": leases})

    def member_list(self, response: MemberListResponse) -> None:
        if not self._is_hex:
            self.show(response)
            return
        header = response.header
        self.show(
            {
                "header": {
                    "cluster_id": f"{header.cluster_id:x}",
                    "member_id": f"{header.member_id:x}",
                    "raft_term": header.raft_term,
                },
                "members": [_hex_member(member) for member in response.members],
            }
        )

    def endpoint_health(self, healths: Sequence[EndpointHealth]) -> None:
        values = []
        for health in healths:
            value: dict[str, Any] = {
                "endpoint": health.endpoint,
                "health": health.healthy,
                "took": health.took,
            }
            if health.error:
                value["error"] = health.error
            values.append(value)
        self.show(values)

    def endpoint_status(self, statuses: Sequence[EndpointStatus]) -> None:
        self.show([{"Endpoint": one.endpoint, "Status": one.response} for one in statuses])

    def endpoint_hash_kv(self, hashes: Sequence[EndpointHash]) -> None:
        self.show([{"Endpoint": one.endpoint, "HashKV": one.response} for one in hashes])


def _flat(response: Message) -> dict[str, Any]:
    """The fields of a response's header: Go's client embeds it in its own lease responses."""
    return fields_of(getattr(response, "header"))  # noqa: B009 - every response has one


def _hex_member(member: Member) -> dict[str, Any]:
    # Stock's own struct for --hex: the name of the last field and the missing isLearner are its.
    return {
        "ID": f"{member.ID:x}",
        "name": member.name,
        "peerURLs": list(member.peerURLs) or None,
        "clientURLS": list(member.clientURLs) or None,
    }
