"""`--write-out=simple`: for eyes and for `cut`."""

from __future__ import annotations

from collections.abc import Sequence

from kvorum.cli.etcdctl.display.base import Display, EndpointHash, EndpointHealth, EndpointStatus
from kvorum.cli.etcdctl.display.rows import member_row, status_row
from kvorum.cli.etcdctl.goquote import to_text
from kvorum.cli.etcdctl.stdio import write, write_error, write_text
from kvorum.proto.kv_pb2 import Event, KeyValue
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

    def member_list(self, response: MemberListResponse) -> None:
        for member in response.members:
            write_text(", ".join(member_row(member)) + "\n")

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
