"""Rows of the upgrade guides that one member fulfils: U4, U5, U8 to U15."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import grpc
import pytest

from kvorum.client import (
    Client,
    ClientClosedError,
    ClientOptions,
    ConnectDeadlineError,
    DeadlineExceededError,
)
from tests.robustness.calls import Calls, status_of
from tests.runbook.commands import (
    CLIENTS,
    DEADLINE_S,
    etcdctl,
    get,
    output_of,
    own_address,
    running_etcd,
    wait_until,
)
from tests.servers import (
    Server,
    free_port,
    is_healthy,
    server_command,
    server_environment,
    start_server,
    under_test_is_stock,
)
from tests.stock import require_stock_34, require_stock_35

MIB = 1 << 20
INVALID_ARGUMENT, RESOURCE_EXHAUSTED = 3, 8
HEALTHY = re.compile(
    r"(\S+) is healthy: successfully committed proposal: took = [0-9.]+(?:µs|ms|s)\n"
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # With an election timeout this short a lease may be as short as a second.
    quick = ["--heartbeat-interval=20", "--election-timeout=200"]
    with start_server(extra_flags=quick) as started:
        yield started


@pytest.fixture(scope="module")
def three_endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Of one member, on the document's ports."""
    ip = own_address()
    endpoints = [f"{ip}:2379", f"{ip}:22379", f"{ip}:32379"]
    urls = ",".join(f"http://{endpoint}" for endpoint in endpoints)
    flags = [f"--listen-client-urls={urls}", f"--advertise-client-urls={urls}"]
    peer = {"ETCD_LISTEN_PEER_URLS": f"http://{ip}:2380"}
    with running_etcd(tmp_path_factory.mktemp("u4"), flags, address=ip, env=peer):
        yield endpoints


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_U4_endpoint_health_tells_of_each_endpoint(
    three_endpoints: list[str], client: tuple[str, ...]
) -> None:
    """etcdctl endpoint health --endpoints=…:2379,…:22379,…:32379"""
    endpoints = ",".join(three_endpoints)
    done = etcdctl("endpoint", "health", f"--endpoints={endpoints}", client=client)
    assert done.returncode == 0, done.stderr
    told = done.stdout + done.stderr  # 3.4 tells it on standard error
    assert sorted(HEALTHY.findall(told)) == sorted(three_endpoints)
    assert HEALTHY.sub("", told) == ""


@pytest.mark.parametrize(
    ("emulated", "server_version", "cluster_version"),
    [
        ("3.2", r"3\.2\.\d+", "3.2.0"),
        ("3.3", r"3\.3\.\d+", "3.3.0"),
        ("3.6", r"3\.6\.\d+", "3.6.0"),
    ],
)
def test_U5_version_tells_those_of_server_and_cluster(
    emulated: str, server_version: str, cluster_version: str
) -> None:
    if under_test_is_stock():
        pytest.skip("stock etcd is the version that it is")
    with start_server(extra_flags=[f"--emulated-version={emulated}"]) as server:
        code, text = get("127.0.0.1", "/version", server.client_port)
    told = json.loads(text)
    assert code == 200
    assert text.startswith('{"etcdserver":"')
    assert re.fullmatch(server_version, told["etcdserver"])
    assert told["etcdcluster"] == cluster_version
    assert set(told) == {"etcdserver", "etcdcluster"} | (
        {"storage"} if emulated == "3.6" else set()
    )


def test_U8_health_is_a_string_and_not_a_boolean(server: Server) -> None:
    code, text = get("127.0.0.1", "/health", server.client_port)
    assert code == 200
    assert text.startswith('{"health":"true"')
    assert json.loads(text)["health"] == "true"


def test_U10_a_write_over_max_request_bytes_is_too_large(server: Server) -> None:
    """The default is 1.5 MiB, of the whole request."""
    with Calls(server.target) as calls:
        calls.put(b"u10", b"x" * (1_572_864 - 100))
        with pytest.raises(grpc.RpcError) as caught:
            calls.put(b"u10", b"x" * 1_572_864)
    assert status_of(caught.value) == (INVALID_ARGUMENT, "etcdserver: request is too large")


def test_U10_a_message_over_the_transport_limit_is_refused_with_the_sizes(server: Server) -> None:
    """The server takes max-request-bytes and 512 KiB; our raw client here has no limit."""
    with Calls(server.target) as calls, pytest.raises(grpc.RpcError) as caught:
        calls.put(b"u10", b"x" * (3 * MIB))
    code, text = status_of(caught.value)
    assert code == RESOURCE_EXHAUSTED
    assert text == f"grpc: received message larger than max ({3 * MIB + 10} vs. {2 * MIB})"


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_U10_etcdctl_tells_both_limits(server: Server, client: tuple[str, ...]) -> None:
    at = f"--endpoints={server.target}"
    assert output_of(at, "put", "u10/a", client=client, stdin=b"x" * 1_572_000) == "OK\n"
    over_request = etcdctl(at, "put", "u10/a", client=client, stdin=b"x" * 1_573_000)
    assert over_request.returncode == 1
    assert over_request.stderr.endswith("Error: etcdserver: request is too large\n")
    over_send = etcdctl(at, "put", "u10/a", client=client, stdin=b"x" * 2_097_200)
    assert over_send.returncode == 1
    assert "code = ResourceExhausted desc = trying to send message larger than max (" in (
        over_send.stderr
    )
    assert " vs. 2097152)" in over_send.stderr


def test_U10_max_request_bytes_can_be_set() -> None:
    with (
        start_server(extra_flags=["--max-request-bytes=4194304"]) as server,
        Calls(server.target) as calls,
    ):
        calls.put(b"u10", b"x" * (3 * MIB))
        with pytest.raises(grpc.RpcError) as caught:
            calls.put(b"u10", b"x" * (4 * MIB))
    assert status_of(caught.value) == (INVALID_ARGUMENT, "etcdserver: request is too large")


@pytest.mark.parametrize(
    ("emulated", "prefixes"),
    [("3.4", {"/v3", "/v3beta"}), ("3.5", {"/v3", "/v3beta"}), ("3.6", {"/v3", "/v3beta"})],
)
def test_U9_from_3_4_on_the_gateway_is_at_v3(emulated: str, prefixes: set[str]) -> None:
    """3.2 and 3.3 are in the walk through the guide."""
    if under_test_is_stock():
        pytest.skip("stock etcd is the version that it is")
    with start_server(extra_flags=[f"--emulated-version={emulated}"]) as server:
        found = set()
        for prefix in ("/v3alpha", "/v3beta", "/v3"):
            connection = http.client.HTTPConnection("127.0.0.1", server.client_port, timeout=10)
            try:
                connection.request("POST", f"{prefix}/kv/range", '{"key":"Zm9v"}')
                if connection.getresponse().status == 200:
                    found.add(prefix)
            finally:
                connection.close()
        assert found == prefixes


async def test_U11_a_snapshot_that_takes_too_long_raises_the_deadline_error(server: Server) -> None:
    with Calls(server.target) as calls:
        for number in range(8):
            calls.put(b"u11/%d" % number, b"x" * MIB)
    async with Client([server.target]) as client:
        with pytest.raises(DeadlineExceededError, match="context deadline exceeded"):
            async for _ in client.maintenance.snapshot(timeout_s=0.001):
                pass


async def test_U11_a_snapshot_that_is_cancelled_raises_what_python_raises(server: Server) -> None:
    started = asyncio.Event()

    async def take(client: Client) -> None:
        async for _ in client.maintenance.snapshot():
            started.set()
            await asyncio.Event().wait()

    async with Client([server.target]) as client:
        task = asyncio.create_task(take(client))
        async with asyncio.timeout(20):
            await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.kv.put(b"u11", b"after")).header.revision > 0


async def test_U11_a_dial_that_takes_too_long_is_a_deadline_error() -> None:
    """Something listens there, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        endpoint = f"127.0.0.1:{mute.getsockname()[1]}"
        async with Client([endpoint], options=ClientOptions(timeout_s=0.5)) as client:
            with pytest.raises(ConnectDeadlineError, match="context deadline exceeded") as caught:
                await client.kv.get(b"k")
    assert isinstance(caught.value, DeadlineExceededError)
    assert caught.value.maybe_done is False


async def test_U11_a_client_that_was_closed_says_so(server: Server) -> None:
    client = Client([server.target])
    await client.kv.get(b"k")
    await client.close()
    with pytest.raises(ClientClosedError, match="the client connection is closing"):
        await client.kv.get(b"k")


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_U12_timetolive_of_an_expired_lease_says_so(
    server: Server, client: tuple[str, ...]
) -> None:
    at = f"--endpoints={server.target}"
    granted = output_of(at, "lease", "grant", "1", client=client)
    match = re.fullmatch(r"lease ([0-9a-f]+) granted with TTL\(1s\)\n", granted)
    assert match is not None, granted
    expired = f"lease {match[1]} already expired\n"
    wait_until(
        lambda: output_of(at, "lease", "timetolive", match[1], client=client) == expired,
        "the lease expires",
    )
    unknown = output_of(at, "lease", "timetolive", "2d8257079fa1bc0c", client=client)
    assert unknown == "lease 2d8257079fa1bc0c already expired\n"


def test_U13_debug_logging_is_off_unless_asked_for(server: Server) -> None:
    assert '"level":"info"' in server.log_text()
    assert '"level":"debug"' not in server.log_text()
    quiet = etcdctl(f"--endpoints={server.target}", "get", "u13")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    loud = etcdctl(f"--endpoints={server.target}", "--debug", "get", "u13")
    assert loud.returncode == 0
    assert server.target in loud.stdout + loud.stderr
    with start_server(extra_flags=["--log-level=debug"]) as asked:
        output_of(f"--endpoints={asked.target}", "put", "u13", "not to be told")
        lines = [line for line in asked.log_text().splitlines() if '"level":"debug"' in line]
        assert any("/etcdserverpb.KV/Put" in line for line in lines)
        assert "not to be told" not in asked.log_text()


def test_U13_log_output_is_selectable(tmp_path: Path) -> None:
    """One file or several, the standard output, the standard error; and how much is told."""
    ready = "ready to serve client requests"
    files = [tmp_path / "one.log", tmp_path / "two.log"]
    outputs = f"--log-outputs={files[0]},{files[1]}"
    with start_server(extra_flags=[outputs]) as server:
        assert all(ready in file.read_text() for file in files)
        assert ready not in server.log_text()
    for flags, stream in ((["--log-outputs=stdout"], 0), (["--log-outputs=stderr"], 1), ([], 1)):
        ports = [free_port(), free_port()]
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        listen = [f"--listen-client-urls={urls[0]}", f"--advertise-client-urls={urls[0]}"]
        process = subprocess.Popen(
            [*server_command(), *listen, f"--listen-peer-urls={urls[1]}", *flags],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=server_environment({"ETCD_DATA_DIR": str(tmp_path / f"{ports[0]}")}),
        )
        try:
            wait_until(lambda port=ports[0]: is_healthy(port), "the member is well")
        finally:
            process.terminate()
            told = process.communicate(timeout=DEADLINE_S)
        assert ready.encode() in told[stream]
        assert ready.encode() not in told[1 - stream]
    with start_server(extra_flags=["--log-level=error"]) as server:
        assert server.log_text() == ""


def stock_of(version: str) -> str:
    return str((require_stock_34() if version == "3.4" else require_stock_35()).etcd)


@pytest.mark.parametrize("written_by", ["ours", "3.4", "3.5"])
def test_U14_a_member_without_its_database_beside_a_snapshot_says_why_it_does_not_start(
    written_by: str,
) -> None:
    kind = "kvorum" if written_by == "ours" else stock_of(written_by)
    with start_server(kind, extra_flags=["--snapshot-count=10"]) as server:
        with Calls(server.target) as calls:
            for number in range(40):
                calls.put(b"%d" % number, b"")
        folder = server.data_dir / "member" / "snap"
        wait_until(lambda: list(folder.glob("*.snap")), "a raft snapshot is made")
        server.terminate()
        (folder / "db").unlink()
        server.command = server_command("kvorum")
        server.start()
        assert server.wait_exit() != 0
        text = server.log_text()
        if under_test_is_stock():
            return  # it panics, and says "file does not exist"
        assert f"{folder}/db" in text
        assert "database file of the backend is missing, but there is a raft snapshot" in text
        assert "restore the member from a backup" in text
        assert not (folder / "db").exists()


@pytest.mark.parametrize("version", ["3.4", "3.5"])
def test_U15_version_2_data_is_recognised_named_and_never_silently_dropped(version: str) -> None:
    """One key is in a raft snapshot by then, the other one in the log behind it."""
    flags = ["--snapshot-count=10", "--enable-v2=true"]
    with start_server(stock_of(version), extra_flags=flags) as server:
        folder = server.data_dir / "member" / "snap"
        put_v2(server, "old/key", "old value")
        with Calls(server.target) as calls:
            for number in range(40):
                calls.put(b"%d" % number, b"")
        wait_until(lambda: list(folder.glob("*.snap")), "a raft snapshot is made")
        put_v2(server, "new", "new value")
        server.terminate()
        before = (folder / "db").read_bytes()

        server.command, server.extra_flags = server_command("kvorum"), []
        server.start()
        assert server.wait_exit() != 0
        text = server.log_text()
        assert "holds version 2 data, which Kvorum does not serve: 2 keys (/new, /old/key)" in text
        assert "nothing was changed" in text
        assert "--v2-deprecation=write-only-skip-check" in text
        assert (folder / "db").read_bytes() == before

        server.extra_flags = ["--v2-deprecation=write-only-skip-check"]
        server.restart()
        (kept,) = folder.glob("v2-data-*.json")
        assert f'"path":"{kept}"' in server.log_text()
        found = json.loads(kept.read_bytes())
        assert found["keys"] == ["/new", "/old/key"]
        children = found["snapshot"]["/1"]["Children"]
        assert children["old"]["Children"]["key"]["Value"] == "old value"
        assert [(r["Path"], r["Val"]) for r in found["requests"]] == [("/1/new", "new value")]
        with Calls(server.target) as calls:
            assert calls.get(b"\0", b"\0", count_only=True).count == 40


def put_v2(server: Server, key: str, value: str) -> None:
    """`etcdctl set` of version 2."""
    connection = http.client.HTTPConnection("127.0.0.1", server.client_port, timeout=10)
    head = {"Content-Type": "application/x-www-form-urlencoded"}
    try:
        connection.request("PUT", f"/v2/keys/{key}", f"value={quote(value)}", head)
        assert connection.getresponse().status == 201
    finally:
        connection.close()


@pytest.mark.parametrize("phase", ["not-yet", "write-only-drop-data", "gone"])
def test_U15_a_phase_of_version_2_that_is_not_kept_to_is_refused(phase: str) -> None:
    if under_test_is_stock():
        pytest.skip("stock etcd ignores it")
    with start_server(extra_flags=[f"--v2-deprecation={phase}"], wait=False) as server:
        assert server.wait_exit() != 0
        assert f"--v2-deprecation={phase} is not supported: " in server.log_text()
