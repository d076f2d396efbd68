"""The peer port answers as stock's does: every endpoint, every check, status, text and headers.

A Kvorum member and a stock member are one cluster, so what they are asked about is the same.
"""

from __future__ import annotations

import http.client
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from kvorum.peer.buffer import block_of
from kvorum.proto.raftpb import Message
from tests.cluster import Cluster, start_cluster, wait_for
from tests.interop.peer_rows import (
    SENDER,
    SHARED,
    SINCE_35,
    STREAM_KINDS,
    Row,
    heartbeat,
)
from tests.servers import Server
from tests.stock import require_stock_34, require_stock_35

ANSWER_S = 10.0
CHANGE_S = 30.0
STOCK, OURS = 0, 1
COMPARED_HEADERS = (
    "content-type",
    "allow",
    "x-etcd-cluster-id",
    "x-server-version",
    "x-content-type-options",
    "transfer-encoding",
)
NOBODY = 0x1234

Answer = tuple[int, bytes, dict[str, str]]


@dataclass(slots=True)
class Pair:
    """The two members, and the ids that rows speak of."""

    cluster: Cluster
    version: str
    ids: tuple[str, str]
    cluster_id: str
    gone: str

    def words(self, asked: int) -> dict[str, Any]:
        return {
            "cluster": self.cluster_id,
            "self": self.ids[asked],
            "other": self.ids[1 - asked],
            "gone": self.gone,
            "version": f"{self.version}.0",
            "other_decimal": int(self.ids[1 - asked], 16),
            "self_decimal": int(self.ids[asked], 16),
        }


@pytest.fixture(scope="module", params=["3.5", "3.4"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    version = request.param
    with start_cluster([f"stock{version}", f"kvorum{version}"]) as cluster:
        gone = remove_a_learner(cluster, version)
        status = [cluster.status(index) for index in (STOCK, OURS)]
        ids = f"{status[STOCK].header.member_id:x}", f"{status[OURS].header.member_id:x}"
        cluster_id = f"{status[STOCK].header.cluster_id:x}"
        found = Pair(cluster, version, ids, cluster_id, gone)
        wait_for(lambda: knows_removed(found), CHANGE_S, "the removal is not known")
        yield found
        assert [member.returncode for member in cluster.members] == [None, None]
        cluster.wait_equal_hashes()


def remove_a_learner(cluster: Cluster, version: str) -> str:
    """Add a member that never starts, and remove it again. Returns its id."""
    folder = require_stock_35() if version == "3.5" else require_stock_34()

    def etcdctl(*args: str) -> str | None:
        done = subprocess.run(
            [str(folder.etcdctl), f"--endpoints={cluster.members[STOCK].client_url}", *args],
            env={"ETCDCTL_API": "3", "PATH": "/bin"},
            capture_output=True,
            text=True,
            timeout=CHANGE_S,
            check=False,
        )
        return done.stdout if done.returncode == 0 else None

    added = wait_for(  # refused until the members have been connected for 5 s
        lambda: etcdctl("member", "add", "gone", "--learner", "--peer-urls=http://127.0.0.1:1"),
        CHANGE_S,
        "the learner was not added",
    )
    gone = added.split()[1]
    assert etcdctl("member", "remove", gone) is not None
    assert etcdctl("put", "a", "b") is not None
    return gone


def knows_removed(pair: Pair) -> bool | None:
    row = Row(path="/raft/stream/message/{gone}", headers=SENDER)
    told = [ask(pair.cluster.members[index], pair.words(index), row)[0] for index in (0, 1)]
    return True if told == [410, 410] else None


def ask(member: Server, words: dict[str, Any], row: Row, kind: str = "") -> Answer:
    """Send a row's request; the version of the member is left out of what it answers."""
    words = {**words, "kind": kind}
    body = row.body if row.message is None else body_of(row, words)
    connection = http.client.HTTPConnection("127.0.0.1", member.peer_port, timeout=ANSWER_S)
    try:
        headers = {name: value.format(**words) for name, value in row.headers.items()}
        connection.request(row.method, row.path.format(**words), body or None, headers)
        response = connection.getresponse()
        text = b"" if row.endless else response.read()
        told = {name.lower(): value for name, value in response.getheaders()}
        compared = {name: told[name] for name in COMPARED_HEADERS if name in told}
        if "x-server-version" in compared:
            compared["x-server-version"] = _minor(compared["x-server-version"])
        return response.status, re.sub(rb'r":"(\d\.\d)\.\d+"', rb'r":"\1"', text), compared
    finally:
        connection.close()


def body_of(row: Row, words: dict[str, Any]) -> bytes:
    message = row.message
    assert message is not None
    from_ = {1: int(words["other"], 16), 2: int(words["gone"], 16), 3: NOBODY}[message.from_]
    to = {1: int(words["self"], 16), 3: NOBODY}[message.to]
    sent = Message(message.type, to, from_, message.term, snapshot=message.snapshot)
    data = sent.encode(legacy_snapshot_field=True)
    return block_of(data) if row.framed else data


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def rows_of(rows: list[Row]) -> list[tuple[Row, str]]:
    return [
        (row, kind) for row in rows for kind in (STREAM_KINDS if "{kind}" in row.path else ("",))
    ]


def differences(pair: Pair, rows: list[Row]) -> list[str]:
    found = []
    for row, kind in rows_of(rows):
        ours = ask(pair.cluster.members[OURS], pair.words(OURS), row, kind)
        try:
            stock = ask(pair.cluster.members[STOCK], pair.words(STOCK), row, kind)
        except http.client.RemoteDisconnected:
            # Where 3.4.23 would log an error of these, its handler breaks down.
            assert pair.version == "3.4", row
            assert row.path == "/members/hashkv", row
            assert ours[0] == 400, row
            continue
        if stock != ours:
            found.append(f"{row.method} {row.path} {kind} {row.headers}: {stock} != {ours}")
    return found


def test_every_endpoint_and_check_answers_as_stock_does(pair: Pair) -> None:
    rows = [row for row in SHARED if not row.to_leader]
    if pair.version == "3.5":
        rows += SINCE_35
    assert not differences(pair, rows)


def test_a_removed_sender_is_told_so_by_403(pair: Pair) -> None:
    """Only the status: the body that stock 3.5.1 sends is shorter than it says."""
    row = Row(method="POST", path="/raft", headers=SENDER, message=heartbeat(from_=2))
    member = pair.cluster.members[OURS]
    status, text, _ = ask(member, pair.words(OURS), row)
    assert (status, text) == (403, b'{"message":"cannot process message from removed member"}')
    with pytest.raises(http.client.IncompleteRead):
        ask(pair.cluster.members[STOCK], pair.words(STOCK), row)


def test_a_sender_with_no_version_that_can_be_read_is_refused(pair: Pair) -> None:
    """Stock's handler ends the connection there."""
    headers = {**SENDER, "X-Server-Version": "nonsense"}
    row = Row(method="POST", path="/raft", headers=headers, message=heartbeat())
    status, text, _ = ask(pair.cluster.members[OURS], pair.words(OURS), row)
    assert (status, text) == (412, b"incompatible version\n")


def test_a_follower_refuses_to_renew_a_lease_as_stock_does(pair: Pair) -> None:
    (row,) = [row for row in SHARED if row.path == "/leases" and row.to_leader]
    told = {}
    for asked in (STOCK, OURS):
        pair.cluster.move_leader(1 - asked)
        told[asked] = ask(pair.cluster.members[asked], pair.words(asked), row)
    assert told[STOCK] == told[OURS]
    assert told[OURS][:2] == (400, b"not a primary lessor\n")


@pytest.mark.parametrize("version", ["3.5", "3.4"])
def test_what_only_a_leader_can_answer_is_answered_as_stock_does(version: str) -> None:
    found = []
    with (
        start_cluster([f"stock{version}"]) as stock,
        start_cluster([f"kvorum{version}"]) as ours,
    ):
        for row in SHARED:
            if not row.to_leader:
                continue
            told = []
            for cluster in (stock, ours):
                own = cluster.status(0).header.member_id
                words = {"self_decimal": own}
                status, text, headers = ask(cluster.members[0], words, row)
                headers.pop("x-etcd-cluster-id", None)
                told.append((status, text, headers))
            if told[0] != told[1]:
                found.append(f"{row.method} {row.path}: {told[0]} != {told[1]}")
    assert not found
