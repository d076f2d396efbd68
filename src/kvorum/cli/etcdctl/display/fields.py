"""`--write-out=fields`: a line `"Name" : value` for each field, strings quoted as Go does."""

from __future__ import annotations

from collections.abc import Sequence

from kvorum.cli.etcdctl.display.base import Display, EndpointHash, EndpointHealth, EndpointStatus
from kvorum.cli.etcdctl.display.rows import truth
from kvorum.cli.shared.goquote import quote
from kvorum.cli.shared.stdio import write_text
from kvorum.proto.kv_pb2 import Event, KeyValue
from kvorum.proto.rpc_pb2 import (
    AlarmResponse,
    AlarmType,
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

Lines = list[str]


class FieldsDisplay(Display):
    """Every field on a line of its own."""

    name = "fields"

    def get(self, response: RangeResponse, *, value_only: bool = False) -> None:
        _print(_get(response))

    def put(self, response: PutResponse) -> None:
        _print(_put(response))

    def delete(self, response: DeleteRangeResponse) -> None:
        _print(_delete(response))

    def txn(self, response: TxnResponse) -> None:
        lines = [*_header(response.header), f'"Succeeded" : {truth(response.succeeded)}']
        for part in response.responses:
            match part.WhichOneof("response"):
                case "response_range":
                    lines += _get(part.response_range)
                case "response_put":
                    lines += _put(part.response_put)
                case "response_delete_range":
                    lines += _delete(part.response_delete_range)
        _print(lines)

    def watch(self, response: WatchResponse, *, refused: bool = False) -> None:
        lines = _header(ResponseHeader() if refused else response.header)
        for event in response.events:
            lines.append(f'"Type" : {Event.EventType.Name(event.type)}')
            if event.HasField("prev_kv"):
                lines += _kv("Prev", event.prev_kv)
            lines += _kv("", event.kv)
        _print(lines)

    def grant(self, response: LeaseGrantResponse) -> None:
        _print([*_header(response.header), f'"ID" : {response.ID}', f'"TTL" : {response.TTL}'])

    def revoke(self, lease_id: int, response: LeaseRevokeResponse) -> None:
        _print(_header(response.header))

    def time_to_live(self, response: LeaseTimeToLiveResponse, *, with_keys: bool) -> None:
        lines = [
            *_header(response.header),
            f'"ID" : {response.ID}',
            f'"TTL" : {response.TTL}',
            f'"GrantedTTL" : {response.grantedTTL}',
        ]
        _print(lines + [f'"Key" : {quote(key)}' for key in response.keys])

    def keep_alive(self, response: LeaseKeepAliveResponse) -> None:
        _print([*_header(response.header), f'"ID" : {response.ID}', f'"TTL" : {response.TTL}'])

    def leases(self, response: LeaseLeasesResponse) -> None:
        _print([*_header(response.header), *(f'"ID" : {lease.ID}' for lease in response.leases)])

    def alarm(self, response: AlarmResponse) -> None:
        # Of all alarms that are disarmed at once there is no header; stock 3.5.1 panics then.
        lines = _header(response.header) if response.HasField("header") else []
        for alarm in response.alarms:
            lines += [f'"MemberID" : {alarm.memberID}']
            lines += [f'"AlarmType" : {AlarmType.Name(alarm.alarm)}', ""]
        _print(lines)

    def member_list(self, response: MemberListResponse) -> None:
        lines = _header(response.header)
        for member in response.members:
            lines += [f'"ID" : {member.ID}', f'"Name" : {quote(member.name)}']
            lines += [f'"PeerURL" : {quote(url)}' for url in member.peerURLs]
            lines += [f'"ClientURL" : {quote(url)}' for url in member.clientURLs]
            lines += [f'"IsLearner" : {truth(member.isLearner)}', ""]
        _print(lines)

    def endpoint_health(self, healths: Sequence[EndpointHealth]) -> None:
        lines: Lines = []
        for health in healths:
            lines += [
                f'"Endpoint" : {quote(health.endpoint)}',
                f'"Health" : {truth(health.healthy)}',
                f'"Took" : {health.took}',
                f'"Error" : {health.error}',
                "",
            ]
        _print(lines)

    def endpoint_status(self, statuses: Sequence[EndpointStatus]) -> None:
        lines: Lines = []
        for status in statuses:
            response = status.response
            lines += [
                *_header(response.header),
                f'"Version" : {quote(response.version)}',
                f'"DBSize" : {response.dbSize}',
                f'"Leader" : {response.leader}',
                f'"IsLearner" : {truth(response.isLearner)}',
                f'"RaftIndex" : {response.raftIndex}',
                f'"RaftTerm" : {response.raftTerm}',
                f'"RaftAppliedIndex" : {response.raftAppliedIndex}',
                f'"Errors" : [{" ".join(response.errors)}]',
                f'"Endpoint" : {quote(status.endpoint)}',
                "",
            ]
        _print(lines)

    def endpoint_hash_kv(self, hashes: Sequence[EndpointHash]) -> None:
        lines: Lines = []
        for one in hashes:
            lines += [
                *_header(one.response.header),
                f'"Endpoint" : {quote(one.endpoint)}',
                f'"Hash" : {one.response.hash}',
                "",
            ]
        _print(lines)


def _print(lines: Lines) -> None:
    write_text("".join(f"{line}\n" for line in lines))


def _header(header: ResponseHeader) -> Lines:
    return [
        f'"ClusterID" : {header.cluster_id}',
        f'"MemberID" : {header.member_id}',
        f'"Revision" : {header.revision}',
        f'"RaftTerm" : {header.raft_term}',
    ]


def _kv(prefix: str, kv: KeyValue) -> Lines:
    return [
        f'"{prefix}Key" : {quote(kv.key)}',
        f'"{prefix}CreateRevision" : {kv.create_revision}',
        f'"{prefix}ModRevision" : {kv.mod_revision}',
        f'"{prefix}Version" : {kv.version}',
        f'"{prefix}Value" : {quote(kv.value)}',
        f'"{prefix}Lease" : {kv.lease}',
    ]


def _get(response: RangeResponse) -> Lines:
    lines = _header(response.header)
    for kv in response.kvs:
        lines += _kv("", kv)
    return [*lines, f'"More" : {truth(response.more)}', f'"Count" : {response.count}']


def _put(response: PutResponse) -> Lines:
    lines = _header(response.header)
    return lines + _kv("Prev", response.prev_kv) if response.HasField("prev_kv") else lines


def _delete(response: DeleteRangeResponse) -> Lines:
    lines = [*_header(response.header), f'"Deleted" : {response.deleted}']
    for kv in response.prev_kvs:
        lines += _kv("Prev", kv)
    return lines
