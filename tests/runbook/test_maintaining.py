"""Rows M1 and M2 of the mission: compaction by hand and by itself, and the storage quota."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tests.robustness.calls import Calls, status_of
from tests.runbook.commands import CLIENTS, DEADLINE_S, etcdctl, output_of, wait_until
from tests.servers import Server, server_environment, start_server, under_test_is_stock
from tests.stock import require_stock_35

QUOTA_BYTES = 2 << 20
VALUE = b"x" * (64 << 10)
PUTS_MAX = 500  # the size is looked at when a batch has been written: more fits than the quota says
RESOURCE_EXHAUSTED = 8
STOCK_CLIENTS = {name: client for name, client in CLIENTS.items() if name != "ours"}
NO_SPACE = "etcdserver: mvcc: database space exceeded"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with start_server() as started:
        yield started


@pytest.fixture(scope="module")
def full_server() -> Iterator[Server]:
    """A member whose database has reached its quota."""
    with start_server(extra_flags=[f"--quota-backend-bytes={QUOTA_BYTES}"]) as started:
        fill(started)
        yield started


def fill(server: Server) -> None:
    """Put values until one is refused for want of space."""
    refused = (0, "")
    with Calls(server.target) as calls:
        for number in range(PUTS_MAX):
            try:
                calls.put(b"big/%d" % number, VALUE)
            except grpc.RpcError as error:
                refused = status_of(error)
                break
    assert refused == (RESOURCE_EXHAUSTED, NO_SPACE)


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_M1_compaction_by_hand_takes_old_revisions_away(
    server: Server, client: tuple[str, ...]
) -> None:
    at = f"--endpoints={server.target}"
    with Calls(server.target) as calls:
        calls.put(b"m1", b"old")
        revision = calls.put(b"m1", b"new").header.revision
        calls.put(b"m1/other", b"")
    assert output_of(at, "get", "m1", f"--rev={revision - 1}", client=client) == "m1\nold\n"
    compacted = output_of(at, "compact", str(revision), client=client)
    assert compacted == f"compacted revision {revision}\n"
    assert output_of(at, "get", "m1", client=client) == "m1\nnew\n"
    assert output_of(at, "get", "m1", f"--rev={revision}", client=client) == "m1\nnew\n"
    old = etcdctl(at, "get", "m1", f"--rev={revision - 1}", client=client)
    assert old.returncode == 1
    assert "Error: etcdserver: mvcc: required revision has been compacted" in old.stderr
    again = etcdctl(at, "compact", str(revision), client=client)
    assert again.returncode == 1
    assert "Error: etcdserver: mvcc: required revision has been compacted" in again.stderr


def test_M1_a_physical_compaction_returns_when_the_old_revisions_are_gone(server: Server) -> None:
    at = f"--endpoints={server.target}"
    with Calls(server.target) as calls:
        for number in range(200):
            revision = calls.put(b"m1/physical", b"%d" % number).header.revision
    assert output_of(at, "compact", "--physical", str(revision)) == (
        f"compacted revision {revision}\n"
    )
    assert output_of(at, "get", "m1/physical") == "m1/physical\n199\n"


def test_M2_a_full_member_refuses_writes_and_raises_the_alarm(full_server: Server) -> None:
    at = f"--endpoints={full_server.target}"
    small = etcdctl(at, "put", "small", "1")
    assert small.returncode == 1
    assert small.stderr.endswith(f"Error: {NO_SPACE}\n")
    granted = etcdctl(at, "lease", "grant", "100")
    assert granted.returncode == 1
    assert NO_SPACE in granted.stderr
    status = output_of(at, "endpoint", "status", "-w", "fields")
    assert re.search(r'"Errors" : \[memberID:\d+ alarm:NOSPACE ?\]', status), status


def test_M2_a_full_member_still_reads_and_deletes(full_server: Server) -> None:
    at = f"--endpoints={full_server.target}"
    assert output_of(at, "get", "big/0") == f"big/0\n{VALUE.decode()}\n"
    assert output_of(at, "del", "big/1") == "1\n"
    assert output_of(at, "get", "big/1") == ""


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_M2_endpoint_health_tells_of_the_alarm(
    full_server: Server, client: tuple[str, ...]
) -> None:
    done = etcdctl(f"--endpoints={full_server.target}", "endpoint", "health", client=client)
    told = done.stdout + done.stderr
    if client == CLIENTS.get("stock 3.4"):
        assert f"{full_server.target} is healthy" in told  # 3.4 asks for no alarms
        return
    assert done.returncode == 1
    assert f"{full_server.target} is unhealthy: failed to commit proposal: " in told
    assert "Active Alarm(s): NOSPACE" in told


def compacted_up_to(server: Server, revision: int) -> bool:
    """Whether the revision before `revision` cannot be read any more."""
    at = f"--endpoints={server.target}"
    done = etcdctl(at, "get", "auto", f"--rev={revision - 1}")
    return "required revision has been compacted" in done.stderr


@pytest.mark.parametrize("given", ["flag", "variable", "file"])
def test_M1_history_is_compacted_by_time(given: str, tmp_path: Any) -> None:
    name, period = "auto-compaction-retention", "1s"
    flags: list[str] = []
    env: dict[str, str] = {}
    if given == "flag":
        flags = [f"--{name}={period}"]
    elif given == "variable":
        env = {"ETCD_AUTO_COMPACTION_RETENTION": period}
    with start_server(extra_flags=flags, env=env, wait=given != "file") as server:
        if given == "file":  # the other flags do not count then
            server.stop()
            keys = [flag.removeprefix("--").split("=", 1) for flag in server.flags()]
            lines = [f"{key}: {json.dumps(value)}" for key, value in keys]
            lines += [f'{name}: "{period}"', "auto-compaction-mode: periodic"]
            file = tmp_path / "etcd.conf.yml"
            file.write_text("\n".join(lines))
            server.command += [f"--config-file={file}"]
            server.restart()
        with Calls(server.target) as calls:
            for number in range(3):
                revision = calls.put(b"auto", b"%d" % number).header.revision
        wait_until(lambda: compacted_up_to(server, revision), "history is compacted")
        at = f"--endpoints={server.target}"
        assert output_of(at, "get", "auto") == "auto\n2\n"
        wait_until(
            lambda: (
                f'"completed auto periodic compaction","revision":{revision},' in server.log_text()
            ),
            "the log tells of it",
        )
        logged = server.log_text()
        assert f'"starting auto periodic compaction","revision":{revision},' in logged
        assert '"compact-period":"1s"' in logged


@pytest.mark.parametrize(
    ("mode", "retention"),
    [
        ("periodic", "24"),
        ("periodic", "24h"),
        ("periodic", "10m"),
        ("periodic", "1h30m"),
        ("revision", "1000"),
        ("periodic", "0"),
    ],
)
def test_M1_a_retention_is_a_string(mode: str, retention: str) -> None:
    flags = [f"--auto-compaction-mode={mode}", f"--auto-compaction-retention={retention}"]
    with start_server(extra_flags=flags) as server, Calls(server.target) as calls:
        first = calls.put(b"auto", b"1").header.revision
        calls.put(b"auto", b"2")
        at = f"--endpoints={server.target}"
        assert output_of(at, "get", "auto", f"--rev={first}") == "auto\n1\n"


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--auto-compaction-mode=daily"], 'unknown auto-compaction-mode \\"daily\\"'),
        (
            ["--auto-compaction-retention=1x"],
            'error parsing CompactionRetention: time: unknown unit \\"x\\" in duration \\"1x\\"',
        ),
        (
            ["--auto-compaction-retention=1.5"],
            'error parsing CompactionRetention: time: missing unit in duration \\"1.5\\"',
        ),
        (
            ["--auto-compaction-mode=revision", "--auto-compaction-retention=many"],
            'error parsing CompactionRetention: time: invalid duration \\"many\\"',
        ),
    ],
)
def test_M1_a_wrong_retention_is_told(flags: list[str], text: str) -> None:
    with start_server(extra_flags=flags, wait=False) as server:
        assert server.wait_exit() == 1
        assert text in server.log_text()


def status_fields(server: Server) -> dict[str, Any]:
    raw = output_of(f"--endpoints={server.target}", "endpoint", "status", "-w", "json")
    status: dict[str, Any] = json.loads(raw)[0]["Status"]
    return status


def defragment_offline(server: Server) -> None:
    """`etcdutl defrag` on the stopped member's directory."""
    etcdutl = [sys.executable, "-m", "kvorum.cli.etcdutl"]
    if under_test_is_stock():
        etcdutl = [str(require_stock_35().etcdutl)]
    subprocess.run(
        [*etcdutl, "defrag", f"--data-dir={server.data_dir}"],
        env=server_environment(),
        timeout=DEADLINE_S,
        check=True,
        capture_output=True,
    )


@pytest.mark.parametrize("client", STOCK_CLIENTS.values(), ids=STOCK_CLIENTS)
def test_M2_from_full_to_recovered(client: tuple[str, ...]) -> None:
    """The story of the maintenance guide, with the member stopped for its defragmentation."""
    with start_server(extra_flags=[f"--quota-backend-bytes={QUOTA_BYTES}"]) as server:
        at = f"--endpoints={server.target}"

        def run(*arguments: str) -> str:
            return output_of(at, *arguments, client=client)

        def is_refused() -> bool:
            done = etcdctl(at, "put", "new", "value", client=client)
            return done.returncode == 1 and f"Error: {NO_SPACE}" in done.stderr

        fill(server)
        alarm = run("alarm", "list")
        assert re.fullmatch(r"memberID:\d+ alarm:NOSPACE \n", alarm)
        assert is_refused()
        full = status_fields(server)
        assert full["dbSize"] >= QUOTA_BYTES
        # Deleting goes on; it does not make the file smaller, and nor does compaction.
        assert int(run("del", "--prefix", "big/")) > 10
        revision = status_fields(server)["header"]["revision"]
        assert run("compaction", str(revision), "--physical") == f"compacted revision {revision}\n"
        assert status_fields(server)["dbSize"] >= QUOTA_BYTES
        assert is_refused()
        # Taken back too early, the alarm is raised again by the next write.
        assert run("alarm", "disarm") == alarm
        assert run("alarm", "list") == ""
        assert is_refused()
        assert run("alarm", "list") == alarm
        wait_until(
            lambda: status_fields(server)["dbSizeInUse"] < QUOTA_BYTES // 2, "pages are free"
        )
        assert status_fields(server)["dbSize"] >= QUOTA_BYTES
        server.stop()
        defragment_offline(server)
        server.restart(wait=False)
        wait_until(lambda: etcdctl(at, "get", "new").returncode == 0, "the member is back")
        assert status_fields(server)["dbSize"] < QUOTA_BYTES // 2
        # The alarm has outlived the restart, and is for an operator to take back.
        assert run("alarm", "list") == alarm
        assert is_refused()
        assert run("alarm", "disarm") == alarm
        assert run("alarm", "list") == ""
        assert run("put", "new", "value") == "OK\n"
        assert run("get", "new") == "new\nvalue\n"
        assert "errors" not in status_fields(server) or not status_fields(server)["errors"]


def test_M2_a_negative_quota_is_none() -> None:
    with start_server(extra_flags=["--quota-backend-bytes=-1"]) as server:
        with Calls(server.target) as calls:
            for number in range(8):
                calls.put(b"big/%d" % number, VALUE)
        assert '"msg":"disabled backend quota"' in server.log_text()
