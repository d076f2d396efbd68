"""Locks and elections: the services beside stock's, stock etcdctl's commands, and both mixed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from kvorum.proto import election_pb2 as election
from kvorum.proto import lock_pb2 as lock
from kvorum.proto import rpc_pb2 as rpc
from tests.runbook.commands import CLIENTS, etcdctl, output_of, wait_until
from tests.servers import Server, server_environment, start_server
from tests.stock import require_stock_35

DEADLINE_S = 10.0
STOCK_CLIENTS = {name: client for name, client in CLIENTS.items() if name != "ours"}
SERVICES = {
    "Lock": ("/v3lockpb.Lock/Lock", lock.LockRequest, lock.LockResponse),
    "Unlock": ("/v3lockpb.Lock/Unlock", lock.UnlockRequest, lock.UnlockResponse),
    **{
        name: (
            f"/v3electionpb.Election/{name}",
            getattr(election, f"{name}Request"),
            getattr(election, f"{name}Response"),
        )
        for name in ("Campaign", "Proclaim", "Leader", "Resign")
    },
    "Grant": ("/etcdserverpb.Lease/LeaseGrant", rpc.LeaseGrantRequest, rpc.LeaseGrantResponse),
    "Revoke": ("/etcdserverpb.Lease/LeaseRevoke", rpc.LeaseRevokeRequest, rpc.LeaseRevokeResponse),
    "Range": ("/etcdserverpb.KV/Range", rpc.RangeRequest, rpc.RangeResponse),
    "Put": ("/etcdserverpb.KV/Put", rpc.PutRequest, rpc.PutResponse),
}


class Api:
    """One connection. Answers are what does not differ between two clusters, as text."""

    def __init__(self, target: str) -> None:
        self.channel = grpc.insecure_channel(
            target, options=(("grpc.use_local_subchannel_pool", 1),)
        )

    def close(self) -> None:
        self.channel.close()

    def begin(self, method: str, /, timeout: float = DEADLINE_S, **fields: Any) -> Any:
        path, request, response = SERVICES[method]
        call = self.channel.unary_unary(
            path,
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return call.future(request(**fields), timeout=timeout)

    def call(self, method: str, /, **fields: Any) -> str:
        return told(self.begin(method, **fields))

    def keys(self, prefix: bytes) -> list[bytes]:
        found = self.begin("Range", key=prefix, range_end=prefix[:-1] + b"0").result()
        return [kv.key for kv in found.kvs]

    def observe(self, name: bytes) -> Any:
        call = self.channel.unary_stream(
            "/v3electionpb.Election/Observe",
            request_serializer=election.LeaderRequest.SerializeToString,
            response_deserializer=election.LeaderResponse.FromString,
        )
        return call(election.LeaderRequest(name=name), timeout=DEADLINE_S)


def told(future: Any) -> str:
    """What a call was answered, without what names the cluster."""
    try:
        response = future.result(DEADLINE_S)
    except grpc.RpcError as error:
        return f"{error.code().name} {error.details()}"
    header = response.header
    assert header.cluster_id
    assert header.member_id
    assert header.raft_term
    header.cluster_id = header.member_id = header.raft_term = 0
    return str(response)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with start_server() as started:
        yield started


@pytest.fixture
def api(server: Server) -> Iterator[Api]:
    opened = Api(server.target)
    yield opened
    opened.close()


def leader_key(name: bytes, lease: int, rev: int) -> election.LeaderKey:
    return election.LeaderKey(name=name, key=b"%b/%x" % (name, lease), rev=rev, lease=lease)


def held_and_free(api: Api) -> Iterator[str]:
    api.call("Grant", TTL=600, ID=1001)
    yield api.call("Lock", name=b"a", lease=1001)
    yield api.call("Lock", name=b"a", lease=1001)
    yield api.call("Unlock", key=b"a/3e9")
    yield api.call("Unlock", key=b"a/3e9")
    yield api.call("Unlock")
    yield api.call("Lock", name=b"", lease=1001)
    yield api.call("Unlock", key=b"/3e9")
    yield api.call("Lock", name=b"a", lease=12345)
    yield api.call("Lock", name=b"a", lease=-1)


def queue_of_three(api: Api) -> Iterator[str]:
    for lease in (1001, 1002, 1003):
        api.call("Grant", TTL=600, ID=lease)
    yield api.call("Lock", name=b"q", lease=1001)
    waiting = []
    for lease in (1002, 1003):
        waiting.append(api.begin("Lock", name=b"q", lease=lease))
        wait_until(lambda: len(api.keys(b"q/")) == 1 + len(waiting), "the waiter's key is put")
    yield api.call("Revoke", ID=1002)
    yield api.call("Unlock", key=b"q/3e9")
    yield from map(told, waiting)


def own_lease(api: Api) -> Iterator[str]:
    got = api.begin("Lock", name=b"own").result()
    name, lease = got.key.split(b"/")
    yield name.decode()
    kv = api.begin("Range", key=got.key).result().kvs[0]
    yield str(kv.lease == int(lease, 16))
    yield api.call("Unlock", key=got.key)


def standing(api: Api) -> Iterator[str]:
    for lease in (1001, 1002):
        api.call("Grant", TTL=600, ID=lease)
    yield api.call("Leader", name=b"e")
    yield api.call("Campaign", name=b"e", lease=1001, value=b"one")
    yield api.call("Campaign", name=b"e", lease=1001, value=b"one")
    yield api.call("Campaign", name=b"e", lease=1001, value=b"uno")
    yield api.call("Campaign", name=b"e", lease=777, value=b"no")
    second = api.begin("Campaign", name=b"e", lease=1002, value=b"two")
    wait_until(lambda: len(api.keys(b"e/")) == 2, "the second stands")
    yield api.call("Leader", name=b"e")
    rev = api.begin("Leader", name=b"e").result().kv.create_revision
    yield api.call("Proclaim", leader=leader_key(b"e", 1001, rev), value=b"more")
    yield api.call("Proclaim", leader=leader_key(b"e", 1001, rev + 1), value=b"stale")
    yield api.call("Resign", leader=leader_key(b"e", 1001, rev + 1))
    yield api.call("Leader", name=b"e")
    yield api.call("Resign", leader=leader_key(b"e", 1001, rev))
    yield told(second)
    yield api.call("Resign", leader=leader_key(b"e", 1001, rev))
    yield api.call("Leader", name=b"e")


def left_out(api: Api) -> Iterator[str]:
    api.call("Grant", TTL=600, ID=1001)
    yield api.call("Proclaim", value=b"v")
    yield api.call("Resign")
    yield api.call("Proclaim", leader=election.LeaderKey(), value=b"v")
    yield api.call("Resign", leader=election.LeaderKey())
    missing = election.LeaderKey(name=b"e", key=b"none", lease=4242)
    yield api.call("Proclaim", leader=missing, value=b"v")
    missing.lease = 1001
    yield api.call("Proclaim", leader=missing, value=b"v")
    yield api.call("Range", key=b"none")


def observed(api: Api) -> Iterator[str]:
    for lease in (1001, 1002):
        api.call("Grant", TTL=600, ID=lease)
    won = api.begin("Campaign", name=b"o", lease=1001, value=b"one").result()
    responses = api.observe(b"o")

    def next_told() -> str:
        response = next(responses)
        assert response.header.cluster_id
        assert response.header.raft_term
        return f"{response.header.revision} {response.kv}"

    yield next_told()
    api.call("Proclaim", leader=won.leader, value=b"uno")
    yield next_told()
    second = api.begin("Campaign", name=b"o", lease=1002, value=b"two")
    wait_until(lambda: len(api.keys(b"o/")) == 2, "the second stands")
    api.call("Resign", leader=won.leader)
    yield next_told()
    second.result()
    api.call("Resign", leader=second.result().leader)
    third = api.begin("Campaign", name=b"o", lease=1001, value=b"three").result()
    yield next_told()
    api.call("Put", key=third.leader.key, value=b"by hand")
    yield next_told()
    responses.cancel()


def given_up(api: Api) -> Iterator[str]:
    for lease in (1001, 1002):
        api.call("Grant", TTL=600, ID=lease)
    yield from given_up_by(api, "Lock", b"lock/")
    yield from given_up_by(api, "Campaign", b"campaign/")


def given_up_by(api: Api, method: str, prefix: bytes) -> Iterator[str]:
    name = prefix[:-1]
    yield api.call(method, name=name, lease=1001)
    cancelled = api.begin(method, name=name, lease=1002)
    wait_until(lambda: len(api.keys(prefix)) == 2, "the waiter's key is put")
    cancelled.cancel()
    wait_until(lambda: len(api.keys(prefix)) == 1, "the waiter's key is gone")
    late = api.begin(method, timeout=0.3, name=name, lease=1002)
    yield str(late.exception() is not None)
    wait_until(lambda: len(api.keys(prefix)) == 1, "the late one's key is gone")
    yield api.call("Range", key=prefix + b"3e9")


@pytest.mark.parametrize(
    "steps",
    [held_and_free, queue_of_three, own_lease, standing, left_out, observed, given_up],
    ids=lambda steps: steps.__name__,
)
def test_the_services_answer_as_stocks_do(steps: Callable[[Api], Iterator[str]]) -> None:
    require_stock_35()
    answers = []
    for kind in ("kvorum", "stock"):
        with start_server(kind) as server:
            api = Api(server.target)
            answers.append(list(steps(api)))
            api.close()
    assert answers[0] == answers[1]


def test_a_connection_that_breaks_gives_its_locks_queue_places_up(server: Server, api: Api) -> None:
    holder = api.begin("Lock", name=b"broken").result()
    other = Api(server.target)
    waiting = [other.begin("Lock", name=b"broken") for _ in range(20)]
    wait_until(lambda: len(api.keys(b"broken/")) == 21, "all wait")
    other.close()
    wait_until(lambda: api.keys(b"broken/") == [holder.key], "their keys are gone")
    assert all(call.done() for call in waiting)


def test_a_member_that_stops_does_not_wait_for_its_waiters() -> None:
    with start_server() as server:
        api = Api(server.target)
        held = api.begin("Lock", name=b"stop").result()
        waiting = [api.begin(method, name=b"stop", timeout=60) for method in ("Lock", "Campaign")]
        wait_until(lambda: len(api.keys(b"stop/")) == 3, "both wait")
        begun_s = time.monotonic()
        server.terminate()
        assert time.monotonic() - begun_s < 2.5
        for call in waiting:
            assert call.code() is grpc.StatusCode.UNAVAILABLE
        api.close()
        server.restart()
        api = Api(server.target)
        assert api.keys(b"stop/") == [held.key]
        api.close()


@contextmanager
def running_etcdctl(
    server: Server, client: tuple[str, ...], *arguments: str
) -> Iterator[subprocess.Popen[str]]:
    """An etcdctl in a process group of its own, as a shell would start it."""
    process = subprocess.Popen(
        [*client, f"--endpoints={server.target}", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=server_environment({"ETCDCTL_API": "3"}),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=DEADLINE_S)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


@pytest.fixture(params=STOCK_CLIENTS.values(), ids=STOCK_CLIENTS)
def client(request: pytest.FixtureRequest) -> tuple[str, ...]:
    found: tuple[str, ...] = request.param
    return found


def test_etcdctl_holds_a_lock_until_ctrl_c(
    server: Server, api: Api, client: tuple[str, ...]
) -> None:
    with running_etcdctl(server, client, "lock", "ctl") as first:
        held = line_of(first)
        assert re.fullmatch("ctl/[0-9a-f]+", held)
        with running_etcdctl(server, client, "lock", "ctl") as second:
            wait_until(lambda: len(api.keys(b"ctl/")) == 2, "the second waits")
            assert second.poll() is None
            first.send_signal(signal.SIGINT)
            got = line_of(second)
            assert got != held
            assert first.wait(DEADLINE_S) in {0, 130, -signal.SIGINT}
            assert api.keys(b"ctl/") == [got.encode()]
            second.send_signal(signal.SIGINT)
            second.wait(DEADLINE_S)
    assert api.keys(b"ctl/") == []


@pytest.mark.parametrize(("command", "code"), [("exit 0", 0), ("exit 7", 7), ("echo out", 0)])
def test_etcdctl_runs_a_command_under_the_lock(
    server: Server, api: Api, client: tuple[str, ...], command: str, code: int
) -> None:
    at = f"--endpoints={server.target}"
    show = 'echo "$ETCD_LOCK_KEY $ETCD_LOCK_REV"'
    done = etcdctl(at, "lock", "run", "--", "sh", "-c", f"{show}; {command}", client=client)
    if code and client == STOCK_CLIENTS.get("stock 3.4"):
        code = 1  # it tells the command's exit code in words
    assert done.returncode == code, (done.stdout, done.stderr)
    key_and_rev, *rest = done.stdout.splitlines()
    assert re.fullmatch(r"run/[0-9a-f]+ \d+", key_and_rev)
    assert rest == (["out"] if command.startswith("echo") else [])
    assert api.keys(b"run/") == []


def test_etcdctl_and_the_service_share_a_lock(
    server: Server, api: Api, client: tuple[str, ...]
) -> None:
    held = api.begin("Lock", name=b"both").result()
    with running_etcdctl(server, client, "lock", "both") as process:
        wait_until(lambda: len(api.keys(b"both/")) == 2, "etcdctl waits")
        third = api.begin("Lock", name=b"both")
        wait_until(lambda: len(api.keys(b"both/")) == 3, "the third waits")
        api.call("Unlock", key=held.key)
        key = line_of(process).encode()
        assert not third.done()
        assert key in api.keys(b"both/")
        process.send_signal(signal.SIGINT)
        assert third.result(DEADLINE_S).key in api.keys(b"both/")
    api.call("Unlock", key=third.result().key)


def test_etcdctl_elect_proposes_and_listens(
    server: Server, api: Api, client: tuple[str, ...]
) -> None:
    with (
        running_etcdctl(server, client, "elect", "-l", "el") as listening,
        running_etcdctl(server, client, "elect", "el", "first") as first,
    ):
        key = line_of(first)
        assert re.fullmatch("el/[0-9a-f]+", key)
        assert line_of(first) == "first"
        assert (line_of(listening), line_of(listening)) == (key, "first")
        told_leader = api.begin("Leader", name=b"el").result()
        assert (told_leader.kv.key, told_leader.kv.value) == (key.encode(), b"first")
        second = api.begin("Campaign", name=b"el", value=b"by service")
        wait_until(lambda: len(api.keys(b"el/")) == 2, "the second stands")
        first.send_signal(signal.SIGINT)
        won = second.result(DEADLINE_S).leader
        assert (line_of(listening), line_of(listening)) == (won.key.decode(), "by service")
        api.call("Proclaim", leader=won, value=b"proclaimed")
        assert (line_of(listening), line_of(listening)) == (won.key.decode(), "proclaimed")
    api.call("Resign", leader=won)


def test_a_killed_holder_frees_the_lock_when_its_lease_ends(
    server: Server, api: Api, client: tuple[str, ...]
) -> None:
    with running_etcdctl(server, client, "lock", "--ttl=2", "killed") as process:
        held = line_of(process)
        waiting = api.begin("Lock", name=b"killed", timeout=30)
        wait_until(lambda: len(api.keys(b"killed/")) == 2, "the service waits")
        os.kill(process.pid, signal.SIGKILL)
        begun_s = time.monotonic()
        key = waiting.result(20).key
        assert time.monotonic() - begun_s < 10
        assert api.keys(b"killed/") == [key] != [held.encode()]
    assert output_of(f"--endpoints={server.target}", "get", held, client=client) == ""
    api.call("Unlock", key=key)
