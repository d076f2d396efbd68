"""`--write-out=simple`: for eyes and for `cut`."""

from __future__ import annotations

from collections.abc import Sequence

from kvorum.cli.etcdctl.display.base import Display, EndpointHash, EndpointHealth, EndpointStatus
from kvorum.cli.etcdctl.display.rows import alarm_text, member_row, status_row
from kvorum.cli.shared.goquote import quote, to_text
from kvorum.cli.shared.stdio import write, write_error, write_text
from kvorum.proto.kv_pb2 import Event, KeyValue
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


class SimpleDisplay(Display):
    r"""Keys and values as they are, a line each; or as `\x61` with `is_hex`."""

    name = "simple"

    def __init__(self, *, is_hex: bool) -> None:
        self._is_hex = is_hex

    def get(self, response: RangeResponse, *, value_only: bool = False) -> None:
        write(b"".join(self._kv(kv, value_only=value_only) for kv in response.kvs))

    def put(self, response: PutResponse) -> None:
        previous = self._kv(response.prev_kv) if response.HasField("prev_kv") else b""
        write(b"OK\n" + previous)

    def delete(self, response: DeleteRangeResponse) -> None:
        write(b"%d\n" % response.deleted + b"".join(map(self._kv, response.prev_kvs)))

    def txn(self, response: TxnResponse) -> None:
        write(b"SUCCESS\n" if response.succeeded else b"FAILURE\n")
        for part in response.responses:
            write(b"\n")
            match part.WhichOneof("response"):
                case "response_range":
                    self.get(part.response_range)
                case "response_put":
                    self.put(part.response_put)
                case "response_delete_range":
                    self.delete(part.response_delete_range)

    def watch(self, response: WatchResponse, *, refused: bool = False) -> None:
        for event in response.events:
            previous = self._kv(event.prev_kv) if event.HasField("prev_kv") else b""
            kind = Event.EventType.Name(event.type).encode()
            write(kind + b"\n" + previous + self._kv(event.kv))

    def grant(self, response: LeaseGrantResponse) -> None:
        write_text(f"lease {response.ID:016x} granted with TTL({response.TTL}s)\n")

    def revoke(self, lease_id: int, response: LeaseRevokeResponse) -> None:
        write_text(f"lease {lease_id:016x} revoked\n")

    def time_to_live(self, response: LeaseTimeToLiveResponse, *, with_keys: bool) -> None:
        if response.grantedTTL == 0 and response.TTL == -1:
            write_text(f"lease {response.ID:016x} already expired\n")
            return
        text = (
            f"lease {response.ID:016x} granted with TTL({response.grantedTTL}s), "
            f"remaining({response.TTL}s)"
        )
        if with_keys:
            text += f", attached keys([{' '.join(map(to_text, response.keys))}])"
        write_text(text + "\n")

    def keep_alive(self, response: LeaseKeepAliveResponse) -> None:
        write_text(f"lease {response.ID:016x} keepalived with TTL({response.TTL})\n")

    def leases(self, response: LeaseLeasesResponse) -> None:
        lines = [f"found {len(response.leases)} leases\n"]
        lines += [f"{lease.ID:016x}\n" for lease in response.leases]
        write_text("".join(lines))

    def alarm(self, response: AlarmResponse) -> None:
        write_text("".join(f"{alarm_text(alarm)}\n" for alarm in response.alarms))

    def member_list(self, response: MemberListResponse) -> None:
        for member in response.members:
            write_text(", ".join(member_row(member)) + "\n")

    def member_add(self, name: str, peer_urls: str, response: MemberAddResponse) -> None:
        # What to start the new member with: the names that the others have, and its own.
        cluster = ",".join(
            f"{name if member.ID == response.member.ID else member.name}={url}"
            for member in response.members
            for url in member.peerURLs
        )
        write_text(
            f"Member {response.member.ID:16x} added to cluster {response.header.cluster_id:16x}\n\n"
            f"ETCD_NAME={quote(name)}\n"
            f"ETCD_INITIAL_CLUSTER={quote(cluster)}\n"
            f"ETCD_INITIAL_ADVERTISE_PEER_URLS={quote(peer_urls)}\n"
            'ETCD_INITIAL_CLUSTER_STATE="existing"\n'
        )

    def member_remove(self, member_id: int, response: MemberRemoveResponse) -> None:
        write_text(_changed(member_id, "removed from", response.header))

    def member_update(self, member_id: int, response: MemberUpdateResponse) -> None:
        write_text(_changed(member_id, "updated in", response.header))

    def member_promote(self, member_id: int, response: MemberPromoteResponse) -> None:
        write_text(_changed(member_id, "promoted in", response.header))

    def move_leader(self, old_id: int, new_id: int, response: MoveLeaderResponse) -> None:
        write_text(f"Leadership transferred from {old_id:x} to {new_id:x}\n")

    def downgrade(self, action: str, response: DowngradeResponse) -> None:
        write_text(f"Downgrade {action} success, cluster version {response.version}\n")

    def endpoint_health(self, healths: Sequence[EndpointHealth]) -> None:
        for health in healths:
            if health.error:
                write_error(
                    f"{health.endpoint} is unhealthy: failed to commit proposal: {health.error}\n"
                )
            else:
                write_text(
                    f"{health.endpoint} is healthy: successfully committed proposal: "
                    f"took = {health.took}\n"
                )

    def endpoint_status(self, statuses: Sequence[EndpointStatus]) -> None:
        for status in statuses:
            write_text(", ".join(status_row(status)) + "\n")

    def endpoint_hash_kv(self, hashes: Sequence[EndpointHash]) -> None:
        for one in hashes:
            write_text(f"{one.endpoint}, {one.response.hash}\n")

    def _kv(self, kv: KeyValue, *, value_only: bool = False) -> bytes:
        value = self._bytes(kv.value) + b"\n"
        return value if value_only else self._bytes(kv.key) + b"\n" + value

    def _bytes(self, value: bytes) -> bytes:
        if not self._is_hex:
            return value
        return b"".join(b"\\x%02x" % byte for byte in value)


def _changed(member_id: int, what: str, header: ResponseHeader) -> str:
    return f"Member {member_id:16x} {what} cluster {header.cluster_id:16x}\n"
