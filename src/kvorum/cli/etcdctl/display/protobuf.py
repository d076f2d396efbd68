"""`--write-out=protobuf`: the response message as it is encoded, nothing before or after it."""

from __future__ import annotations

from google.protobuf.message import Message

from kvorum.cli.etcdctl.display.base import Display
from kvorum.cli.etcdctl.exits import CommandError, Exit
from kvorum.cli.etcdctl.gojson import fields_of
from kvorum.cli.etcdctl.stdio import write
from kvorum.proto.rpc_pb2 import (
    DeleteRangeResponse,
    LeaseGrantResponse,
    LeaseKeepAliveResponse,
    LeaseLeasesResponse,
    LeaseRevokeResponse,
    LeaseTimeToLiveResponse,
    MemberListResponse,
    PutResponse,
    RangeResponse,
    ResponseHeader,
    TxnResponse,
    WatchResponse,
)


class ProtobufDisplay(Display):
    """Raw messages."""

    name = "protobuf"

    def get(self, response: RangeResponse, *, value_only: bool = False) -> None:
        _print(response)

    def put(self, response: PutResponse) -> None:
        _print(response)

    def delete(self, response: DeleteRangeResponse) -> None:
        _print(response)

    def txn(self, response: TxnResponse) -> None:
        _print(response)

    def watch(self, response: WatchResponse, *, refused: bool = False) -> None:
        # Built from what Go's client keeps of a response: no watch id, no reason.
        _print(
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
        _print(response.header)

    def time_to_live(self, response: LeaseTimeToLiveResponse, *, with_keys: bool) -> None:
        _print(response.header)

    def keep_alive(self, response: LeaseKeepAliveResponse) -> None:
        _print(response.header)

    def leases(self, response: LeaseLeasesResponse) -> None:
        _print(response.header)

    def revoke(self, lease_id: int, response: LeaseRevokeResponse) -> None:
        # This one is a type of its own there, which has no encoder. The lease is revoked all the
        # same; the text is Go's %v of the response.
        header = " ".join(f"{name}:{value}" for name, value in fields_of(response.header).items())
        raise CommandError(
            Exit.BAD_FEATURE,
            f"marshal unsupported for type clientv3.LeaseRevokeResponse ({{{header}  {{}} [] 0}})",
        )

    def member_list(self, response: MemberListResponse) -> None:
        _print(response)


def _print(message: Message) -> None:
    write(message.SerializeToString())
