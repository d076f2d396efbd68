"""What an alarm forbids and what it leaves, request by request, beside stock 3.5.1."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from kvorum.proto import election_pb2 as election
from kvorum.proto import lock_pb2 as lock
from kvorum.proto import rpc_pb2 as rpc
from tests.runbook.commands import wait_until
from tests.servers import Server, start_server
from tests.stock import require_stock_35

DEADLINE_S = 10.0
NONE, NOSPACE, CORRUPT = 0, 1, 2
GET, ACTIVATE, DEACTIVATE = 0, 1, 2
STRANGER = 4242

PUT = rpc.RequestOp(request_put=rpc.PutRequest(key=b"k"))
DELETE = rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=b"none"))
READ = rpc.RequestOp(request_range=rpc.RangeRequest(key=b"k"))
LOCAL = rpc.RequestOp(request_range=rpc.RangeRequest(key=b"k", serializable=True))
NESTED_PUT = rpc.RequestOp(request_txn=rpc.TxnRequest(success=[PUT]))
NESTED_DELETE = rpc.RequestOp(request_txn=rpc.TxnRequest(success=[DELETE]))
TXNS = {
    "put": rpc.TxnRequest(success=[PUT]),
    "put if not": rpc.TxnRequest(success=[READ], failure=[PUT]),
    "delete": rpc.TxnRequest(success=[DELETE]),
    "delete and read": rpc.TxnRequest(success=[DELETE, READ]),
    "read": rpc.TxnRequest(success=[READ]),
    "read locally": rpc.TxnRequest(success=[LOCAL]),
    "nothing": rpc.TxnRequest(),
    "nested put": rpc.TxnRequest(success=[NESTED_PUT]),
    "nested delete": rpc.TxnRequest(success=[NESTED_DELETE]),
}


class Member:
    """One connection to a member of its own cluster."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.channel = grpc.insecure_channel(
            server.target, options=(("grpc.use_local_subchannel_pool", 1),)
        )
        self.id = self.send("Maintenance/Status", rpc.StatusRequest(), rpc.StatusResponse).header
        self.id = self.id.member_id

    def send(self, path: str, request: Any, kind: Any) -> Any:
        service, _, _ = path.partition("/")
        package = {"Lock": "v3lockpb", "Election": "v3electionpb"}.get(service, "etcdserverpb")
        call = self.channel.unary_unary(
            f"/{package}.{path}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=kind.FromString,
        )
        return call(request, timeout=DEADLINE_S)

    def verdict(self, path: str, request: Any, kind: Any) -> str:
        try:
            self.send(path, request, kind)
        except grpc.RpcError as error:
            return f"{error.code().name} {error.details()}"
        return "OK"

    def alarm(self, action: int, kind: int, member_id: int | None = None) -> list[str]:
        """The alarms of the answer, sorted; our own member is `own`."""
        member_id = self.id if member_id is None else member_id
        request = rpc.AlarmRequest(action=action, alarm=kind, memberID=member_id)  # type: ignore[arg-type]
        found = self.send("Maintenance/Alarm", request, rpc.AlarmResponse).alarms
        return sorted(f"{self.called(one.memberID)} {one.alarm}" for one in found)

    def called(self, member_id: int) -> str:
        return "own" if member_id == self.id else str(member_id)

    def answers(self) -> bool:
        return self.verdict("KV/Range", rpc.RangeRequest(key=b"k"), rpc.RangeResponse) == "OK"

    def health(self, query: str = "") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.client_port, timeout=10)
        try:
            connection.request("GET", f"/health{query}")
            response = connection.getresponse()
            return response.status, response.read().decode().strip()
        finally:
            connection.close()

    def errors(self) -> list[str]:
        status = self.send("Maintenance/Status", rpc.StatusRequest(), rpc.StatusResponse)
        return sorted(text.replace(str(self.id), "own") for text in status.errors)

    def prepare(self) -> None:
        for _ in range(2):
            self.send("KV/Put", rpc.PutRequest(key=b"k"), rpc.PutResponse)
        for lease in (55, 56):
            request = rpc.LeaseGrantRequest(TTL=600, ID=lease)
            self.send("Lease/LeaseGrant", request, rpc.LeaseGrantResponse)

    def verdicts(self) -> dict[str, str]:
        """What each kind of request is told."""
        verdict = self.verdict
        found = {f"txn {n}": verdict("KV/Txn", r, rpc.TxnResponse) for n, r in TXNS.items()}
        for path, request, kind in REQUESTS:
            found[f"{path} {request}"] = verdict(path, request, kind)
        return found


REQUESTS: list[tuple[str, Any, Any]] = [
    ("KV/Put", rpc.PutRequest(key=b"k"), rpc.PutResponse),
    ("KV/Range", rpc.RangeRequest(key=b"k"), rpc.RangeResponse),
    ("KV/Range", rpc.RangeRequest(key=b"k", serializable=True), rpc.RangeResponse),
    ("KV/DeleteRange", rpc.DeleteRangeRequest(key=b"none"), rpc.DeleteRangeResponse),
    ("KV/Compact", rpc.CompactionRequest(revision=2), rpc.CompactionResponse),
    ("Lease/LeaseGrant", rpc.LeaseGrantRequest(TTL=60), rpc.LeaseGrantResponse),
    ("Lease/LeaseRevoke", rpc.LeaseRevokeRequest(ID=55), rpc.LeaseRevokeResponse),
    ("Lease/LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=56), rpc.LeaseTimeToLiveResponse),
    ("Lease/LeaseLeases", rpc.LeaseLeasesRequest(), rpc.LeaseLeasesResponse),
    ("Lock/Lock", lock.LockRequest(name=b"l", lease=56), lock.LockResponse),
    ("Lock/Unlock", lock.UnlockRequest(key=b"l/38"), lock.UnlockResponse),
    ("Election/Leader", election.LeaderRequest(name=b"e"), election.LeaderResponse),
    (
        "Election/Campaign",
        election.CampaignRequest(name=b"e", lease=56),
        election.CampaignResponse,
    ),
    ("Maintenance/HashKV", rpc.HashKVRequest(), rpc.HashKVResponse),
    ("Cluster/MemberList", rpc.MemberListRequest(linearizable=True), rpc.MemberListResponse),
]


@pytest.fixture
def members() -> Iterator[tuple[Member, Member]]:
    """The server under test, and stock 3.5."""
    require_stock_35()
    with start_server() as ours, start_server("stock") as stock:
        pair = (Member(ours), Member(stock))
        for member in pair:
            member.prepare()
        yield pair
        for member in pair:
            member.channel.close()


@pytest.mark.parametrize("kind", [NONE, NOSPACE, CORRUPT], ids=["none", "nospace", "corrupt"])
@pytest.mark.parametrize("restarted", [False, True], ids=["at once", "after a restart"])
def test_an_alarm_forbids_what_stocks_forbids(
    members: tuple[Member, Member], kind: int, restarted: bool
) -> None:
    told = []
    for member in members:
        raised = member.alarm(ACTIVATE, kind)
        if restarted:
            member.server.restart(wait=False)
            wait_until(member.answers, "the member is back")
        told.append((raised, member.verdicts(), member.errors()))
    assert told[0] == told[1]


def test_alarms_are_listed_and_disarmed_as_stocks(members: tuple[Member, Member]) -> None:
    told = []
    for member in members:
        alarm = member.alarm
        told.append(
            [
                alarm(GET, NONE),
                alarm(DEACTIVATE, NOSPACE),
                alarm(ACTIVATE, NONE),
                alarm(ACTIVATE, NOSPACE),
                alarm(ACTIVATE, NOSPACE),
                alarm(ACTIVATE, NOSPACE, STRANGER),
                alarm(ACTIVATE, NOSPACE, 0),
                alarm(GET, NONE),
                alarm(GET, NOSPACE),
                alarm(GET, CORRUPT),
                member.errors(),
                member.health(),
                alarm(DEACTIVATE, NONE),
                alarm(DEACTIVATE, NONE, 0),
                alarm(DEACTIVATE, NOSPACE, 99),
                alarm(DEACTIVATE, NOSPACE),
                alarm(DEACTIVATE, NOSPACE),
                alarm(DEACTIVATE, NOSPACE, STRANGER),
                alarm(DEACTIVATE, NOSPACE, 0),
                alarm(GET, NONE),
                alarm(ACTIVATE, CORRUPT),
                member.health(),
                member.health("?exclude=CORRUPT"),
                alarm(DEACTIVATE, CORRUPT),
                member.health(),
                member.verdict("KV/Put", rpc.PutRequest(key=b"k"), rpc.PutResponse),
            ]
        )
    assert told[0] == told[1]
