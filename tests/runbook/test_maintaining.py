"""Rows M1 and M2 of the mission: manual compaction, and the storage quota's alarm."""

from __future__ import annotations

import re
from collections.abc import Iterator

import grpc
import pytest

from tests.robustness.calls import Calls, status_of
from tests.runbook.commands import CLIENTS, etcdctl, output_of
from tests.servers import Server, start_server

QUOTA_BYTES = 2 << 20
VALUE = b"x" * (64 << 10)
PUTS_MAX = 500  # the size is looked at when a batch has been written: more fits than the quota says
RESOURCE_EXHAUSTED = 8
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
