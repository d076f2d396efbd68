"""A member's state as clients and tools see it, and a stock member that has lived through much.

For tests that hand a data directory from stock etcd to Kvorum and back.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import grpc

from kvorum.proto import rpc_pb2 as rpc
from kvorum.storage.files import open_database
from tests.robustness.calls import DEADLINE_S, Calls
from tests.servers import (
    LOG_TAIL_CHARS,
    POLL_INTERVAL_S,
    READY_DEADLINE_S,
    Server,
    server_command,
)
from tests.stock import COMMAND_S, require_stock_34, require_stock_35, require_stock_36

SNAPSHOT_COUNT = 100
STOCK_FLAGS = [f"--snapshot-count={SNAPSHOT_COUNT}"]
LEASE_TTL_S = 3000
_REQUIRE = {"3.4": require_stock_34, "3.5": require_stock_35, "3.6": require_stock_36}

# What a member writes of itself and of its cluster; compared as clients see it.
OWN_BUCKETS = {b"meta", b"members", b"members_removed", b"cluster"}


def stock_binary(version: str) -> str:
    """Path of stock etcd of `3.4`, `3.5` or `3.6`; skips the test when there is none."""
    return str(_REQUIRE[version]().etcd)


def run_as(server: Server, kind: str, *flags: str) -> None:
    """Start the stopped `server` as another program on the same directory and ports."""
    server.command = server_command(kind)
    server.extra_flags = [*STOCK_FLAGS, *flags]
    start(server)


def start(server: Server) -> None:
    """Start it again; an alarm may keep it from being healthy."""
    server.restart(wait=False)
    give_up = time.monotonic() + READY_DEADLINE_S
    while not is_serving(server):
        assert server.returncode is None, server.log_text()[-LOG_TAIL_CHARS:]
        assert time.monotonic() < give_up, server.log_text()[-LOG_TAIL_CHARS:]
        time.sleep(POLL_INTERVAL_S)


def is_serving(server: Server) -> bool:
    """Whether it answers reads."""
    try:
        with Client(server.target) as client:
            client.get(b"a")
    except grpc.RpcError:
        return False
    return True


class Client(Calls):
    """The calls that these tests need besides."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.leases_call = self._unary(
            "Lease/LeaseLeases", rpc.LeaseLeasesRequest, rpc.LeaseLeasesResponse
        )
        self.ttl_call = self._unary(
            "Lease/LeaseTimeToLive", rpc.LeaseTimeToLiveRequest, rpc.LeaseTimeToLiveResponse
        )
        self.alarm_call = self._unary("Maintenance/Alarm", rpc.AlarmRequest, rpc.AlarmResponse)
        self.hash_call = self._unary("Maintenance/HashKV", rpc.HashKVRequest, rpc.HashKVResponse)
        self.members_call = self._unary(
            "Cluster/MemberList", rpc.MemberListRequest, rpc.MemberListResponse
        )

    def alarm(self, action: int, member_id: int = 0) -> list[tuple[int, int]]:
        request = rpc.AlarmRequest(action=action, memberID=member_id, alarm=rpc.NOSPACE)
        response = self.alarm_call(request, timeout=DEADLINE_S)
        return sorted((one.memberID, one.alarm) for one in response.alarms)

    def grant(self) -> int:
        return int(self.grant_call(rpc.LeaseGrantRequest(TTL=LEASE_TTL_S), timeout=DEADLINE_S).ID)


@dataclass(frozen=True)
class State:
    """What clients see."""

    cluster_id: int
    member_id: int
    revision: int
    keys: tuple[bytes, ...]
    """Encoded KeyValues: with revisions, version and lease."""
    leases: dict[int, tuple[int, tuple[bytes, ...]]]
    alarms: tuple[tuple[int, int], ...]
    members: tuple[tuple[int, str, tuple[str, ...], bool], ...]
    """Id, name, peer URLs, whether a learner. Client URLs are what the running program says."""
    hash_kv: tuple[int, int]


def state_of(server: Server) -> State:
    with Client(server.target) as client:
        everything = rpc.RangeRequest(key=b"\0", range_end=b"\0")
        answer = client.range_call(everything, timeout=DEADLINE_S)
        leases = {}
        for one in client.leases_call(rpc.LeaseLeasesRequest(), timeout=DEADLINE_S).leases:
            request = rpc.LeaseTimeToLiveRequest(ID=one.ID, keys=True)
            told = client.ttl_call(request, timeout=DEADLINE_S)
            leases[one.ID] = (told.grantedTTL, tuple(sorted(told.keys)))
        members = client.members_call(rpc.MemberListRequest(), timeout=DEADLINE_S).members
        hashed = client.hash_call(rpc.HashKVRequest(), timeout=DEADLINE_S)
        return State(
            cluster_id=answer.header.cluster_id,
            member_id=answer.header.member_id,
            revision=answer.header.revision,
            keys=tuple(kv.SerializeToString(deterministic=True) for kv in answer.kvs),
            leases=leases,
            alarms=tuple(client.alarm(rpc.AlarmRequest.GET)),
            members=tuple(sorted((m.ID, m.name, tuple(m.peerURLs), m.isLearner) for m in members)),
            hash_kv=(hashed.hash, hashed.compact_revision),
        )


def rows_of(data_dir: Path) -> dict[bytes, list[tuple[bytes, bytes]]]:
    """The rows of a stopped member's database, of the buckets that clients filled."""
    with open_database(data_dir / "member" / "snap" / "db") as file:
        return {
            name: [row for part in file.rows(name) for row in part]
            for name in file.bucket_names()
            if name not in OWN_BUCKETS
        }


def etcdctl(server: Server, *args: str, stdin: str | None = None) -> str:
    """Stock's etcdctl."""
    done = subprocess.run(
        [str(require_stock_35().etcdctl), f"--endpoints={server.client_url}", *args],
        env={"PATH": "/usr/bin:/bin", "ETCDCTL_API": "3"},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert done.returncode == 0, f"etcdctl {' '.join(args)}: {done.stderr or done.stdout}"
    return done.stdout


def fill(server: Server) -> None:
    """Puts, deletes, a compaction, leases, users and roles, an alarm, changes of the members.

    Membership changes stand before and behind the newest raft snapshot.
    """
    write(server, "first", 250)
    etcdctl(server, "role", "add", "readers")
    etcdctl(server, "role", "grant-permission", "readers", "--prefix=true", "read", "a/")
    etcdctl(server, "user", "add", "ann:secret")
    etcdctl(server, "user", "grant-role", "ann", "readers")
    pass_by(server, "http://127.0.0.1:1")
    (own,) = etcdctl(server, "member", "list").splitlines()
    urls = f"--peer-urls={server.peer_url},http://127.0.0.2:2380"
    etcdctl(server, "member", "update", own.split(",")[0], urls)
    server.terminate()
    server.name = "renamed"
    server.restart()
    write(server, "second", 150)
    pass_by(server, "http://127.0.0.1:2")
    with Client(server.target) as client:
        member_id = client.get(b"a").header.member_id
        assert client.alarm(rpc.AlarmRequest.ACTIVATE, member_id) == [(member_id, rpc.NOSPACE)]


def pass_by(server: Server, url: str) -> None:
    """A member that is added and removed again.

    A learner, because one voter alone would wait for a second one for ever.
    """
    added = etcdctl(server, "member", "add", "passer-by", "--learner", f"--peer-urls={url}")
    etcdctl(server, "member", "remove", added.split()[1])


def disarm(server: Server) -> None:
    with Client(server.target) as client:
        member_id = client.get(b"a").header.member_id
        assert client.alarm(rpc.AlarmRequest.DEACTIVATE, member_id) == [(member_id, rpc.NOSPACE)]


def write(server: Server, what: str, count: int) -> None:
    """`count` keys and more: versions, deletions, a lease, a compaction of the older half."""
    name = what.encode()
    with Client(server.target) as client:
        lease = client.grant()
        gone = client.grant()
        revision = 0
        for number in range(count):
            key = b"%s/%d" % (name, number % (count // 2))
            response = client.put(key, b"%d" % number, lease=lease if number % 10 == 0 else 0)
            if number == count // 2:
                revision = response.header.revision
            if number % 9 == 0:
                client.delete_call(rpc.DeleteRangeRequest(key=key), timeout=DEADLINE_S)
        client.compact(revision)
        client.put(b"%s/kept" % name, b"", lease=gone)
        client.revoke_call(rpc.LeaseRevokeRequest(ID=gone), timeout=DEADLINE_S)
        client.put(b"%s/last" % name, b"v" * 3000)
