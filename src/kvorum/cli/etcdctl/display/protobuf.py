"""`--write-out=protobuf`: the response message as it is encoded, nothing before or after it."""

from __future__ import annotations

from google.protobuf.message import Message

from kvorum.cli.etcdctl.display.responses import ResponseDisplay
from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.cli.shared.gojson import fields_of
from kvorum.cli.shared.stdio import write
from kvorum.proto.rpc_pb2 import (
    LeaseGrantResponse,
    LeaseKeepAliveResponse,
    LeaseLeasesResponse,
    LeaseRevokeResponse,
    LeaseTimeToLiveResponse,
    MemberListResponse,
    ResponseHeader,
    WatchResponse,
)


class ProtobufDisplay(ResponseDisplay):
    """Raw messages."""

    name = "protobuf"

    def show(self, message: Message) -> None:
        write(message.SerializeToString())

    def watch(self, response: WatchResponse, *, refused: bool = False) -> None:
        # Built from what Go's client keeps of a response: no watch id, no reason.
        self.show(
            WatchResponse(
                header=ResponseHeader() if refused else response.header,
                canceled=response.canceled,
                compact_revision=response.compact_revision,
                events=response.events,
            )
        )

    # Go's client embeds the header in its own lease responses, and with it the header's encoder:
    # what is printed is the header alone.

    def grant(self, response: LeaseGrantResponse) -> None:
        self.show(response.header)

    def time_to_live(self, response: LeaseTimeToLiveResponse, *, with_keys: bool) -> None:
        self.show(response.header)

    def keep_alive(self, response: LeaseKeepAliveResponse) -> None:
        self.show(response.header)

    def leases(self, response: LeaseLeasesResponse) -> None:
        self.show(response.header)

    def revoke(self, lease_id: int, response: LeaseRevokeResponse) -> None:
        # This one is a type of its own there, which has no encoder. The lease is revoked all the
        # same; the text is Go's %v of the response.
        header = " ".join(f"{name}:{value}" for name, value in fields_of(response.header).items())
        raise CommandError(
            Exit.BAD_FEATURE,
            f"marshal unsupported for type clientv3.LeaseRevokeResponse ({{{header}  {{}} [] 0}})",
        )

    def member_list(self, response: MemberListResponse) -> None:
        self.show(response)
