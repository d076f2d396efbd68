"""`--write-out=protobuf`: the response message as it is encoded, nothing before or after it."""

from __future__ import annotations

from google.protobuf.message import Message

from kvorum.cli.etcdctl.display.base import Display
from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.cli.shared.gojson import fields_of
from kvorum.cli.shared.stdio import write
from kvorum.proto.rpc_pb2 import (
    AlarmResponse,
    DeleteRangeResponse,
    DowngradeResponse,
    LeaseGrantResponse,
    LeaseKeepAliveResponse,
    LeaseLeasesResponse,
    LeaseRevokeResponse,
    LeaseTimeToLiveResponse,
    MemberAddResponse,
    MemberListResponse,
    MemberPromoteResponse,
    MemberRemoveResponse,
    MemberUpdateResponse,
    MoveLeaderResponse,
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

    def alarm(self, response: AlarmResponse) -> None:
        _print(response)

    def member_list(self, response: MemberListResponse) -> None:
        _print(response)

    def member_add(self, name: str, peer_urls: str, response: MemberAddResponse) -> None:
        _print(response)

    def member_remove(self, member_id: int, response: MemberRemoveResponse) -> None:
        _print(response)

    def member_update(self, member_id: int, response: MemberUpdateResponse) -> None:
        _print(response)

    def member_promote(self, member_id: int, response: MemberPromoteResponse) -> None:
        _print(response)

    def move_leader(self, old_id: int, new_id: int, response: MoveLeaderResponse) -> None:
        _print(response)

    def downgrade(self, action: str, response: DowngradeResponse) -> None:
        _print(response)


def _print(message: Message) -> None:
    write(message.SerializeToString())
