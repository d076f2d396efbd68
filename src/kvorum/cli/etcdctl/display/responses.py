"""What the forms have in common that show a response as it came."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from kvorum.cli.etcdctl.display.base import Display
from kvorum.proto.rpc_pb2 import (
    AlarmResponse,
    DeleteRangeResponse,
    DowngradeResponse,
    MemberAddResponse,
    MemberPromoteResponse,
    MemberRemoveResponse,
    MemberUpdateResponse,
    MoveLeaderResponse,
    PutResponse,
    RangeResponse,
    TxnResponse,
)


class ResponseDisplay(Display):
    """Shows whole responses; what Go's client makes of the others is up to the form."""

    @abstractmethod
    def show(self, value: Any) -> None:
        """Write one message, or what stands for it."""

    def get(self, response: RangeResponse, *, value_only: bool = False) -> None:
        self.show(response)

    def put(self, response: PutResponse) -> None:
        self.show(response)

    def delete(self, response: DeleteRangeResponse) -> None:
        self.show(response)

    def txn(self, response: TxnResponse) -> None:
        self.show(response)

    def alarm(self, response: AlarmResponse) -> None:
        self.show(response)

    def member_add(self, name: str, peer_urls: str, response: MemberAddResponse) -> None:
        self.show(response)

    def member_remove(self, member_id: int, response: MemberRemoveResponse) -> None:
        self.show(response)

    def member_update(self, member_id: int, response: MemberUpdateResponse) -> None:
        self.show(response)

    def member_promote(self, member_id: int, response: MemberPromoteResponse) -> None:
        self.show(response)

    def move_leader(self, old_id: int, new_id: int, response: MoveLeaderResponse) -> None:
        self.show(response)

    def downgrade(self, action: str, response: DowngradeResponse) -> None:
        self.show(response)
