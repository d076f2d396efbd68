"""Our etcdctl and stock's on clusters of three, ours and stock's: all four say the same.

Members are named by the order of their ids, which is the order in which they are listed; what must
differ between two clusters (ids, ports, log positions, times, hashes of different leases) is
replaced by a name.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import grpc
import pytest

from kvorum.proto.rpc_pb2 import MemberAddRequest
from tests.cluster import ELECTION_S, Cluster, start_cluster, wait_for
from tests.interop.etcdctl_steps import FORMATS
from tests.robustness.calls import Calls
from tests.servers import server_environment
from tests.stock import require_stock_35

pytestmark = pytest.mark.slow

KINDS = ("stock3.5", "kvorum3.5")
OURS = (sys.executable, "-m", "kvorum.cli.etcdctl")
COMMAND_S = 60.0
MEMBERS_COUNT = 3
ADD_S = 30.0

ALL_UP = (
    *(f"member list -w {form}" for form in FORMATS if form != "protobuf"),
    "member list -w json --hex",
    *(f"endpoint status -w {form}" for form in FORMATS),
    *(f"endpoint {what} --cluster" for what in ("status", "hashkv")),
    "endpoint hashkv -w json",
    "endpoint health --cluster",
    "--endpoints={e2} endpoint status --cluster -w table",
    "member promote {m1}",
    "member promote 1234",
    "member remove 1234",
    "member update 1234 --peer-urls=http://127.0.0.1:9999",
    "member update {m1} --peer-urls={p2}",
    "member add x --peer-urls={p1}",
    "member add x --peer-urls={p1} --learner",
    "move-leader --endpoints={e2} {m3}",
    "move-leader --endpoints={e1} 1234",
    "move-leader --endpoints={e1} {m1}",
)

LEARNER = (
    "--endpoints={e4} get k",
    "--endpoints={e4} get k --consistency=s",
    "--endpoints={e4} put k v",
    "--endpoints={e4} member list",
    "--endpoints={e4} lease list",
    "--endpoints={e4} lease timetolive 1",
    "--endpoints={e4} lease grant 10",
    "--endpoints={e4} lease keep-alive 1",
    "--endpoints={e4} endpoint health",
    "--endpoints={e4} endpoint hashkv",
    "--endpoints={e4} alarm list",
    "--endpoints={e4} compaction 1",
    "--endpoints={e4} defrag",
    "--endpoints={e4} move-leader {m1}",
    "member list",
    "endpoint status --cluster -w table",
    "--endpoints={e1} member add y --peer-urls=http://127.0.0.1:9998 --learner",
)

QUICK = (
    "--endpoints={e4} get k --consistency=s",
    "--endpoints={e4} put k v",
    "--endpoints={e4} lease list",
    "endpoint status --cluster -w table",
    "member list -w json --hex",
    "--endpoints={e1} member add y --peer-urls=http://127.0.0.1:9998 --learner",
    "member promote {m1}",
    "move-leader --endpoints={e2} {m3}",
)

_SHORT = "--command-timeout=3s"
ONE_DOWN = (
    f"endpoint health {_SHORT}",
    f"endpoint health --cluster {_SHORT} -w json",
    f"endpoint status --cluster {_SHORT}",
    f"endpoint status {_SHORT} -w json",
    f"endpoint hashkv --cluster {_SHORT}",
    "defrag --command-timeout=8s",
    "member list",
    "get k",
    "lease list",
    "alarm list",
    "--endpoints={e3},{e1} put k v",
    f"--endpoints={{e3}} put k v {_SHORT} --dial-timeout=500ms",
    f"--endpoints={{e3}} get k {_SHORT}",
    f"--endpoints={{e3}} member list {_SHORT}",
    f"move-leader --endpoints={{e3}},{{e1}} {{m2}} {_SHORT}",
    "member add new --peer-urls=http://127.0.0.1:9999",
    "member add new --peer-urls=http://127.0.0.1:9999 --learner",
    "member remove {m2}",
)

NO_LEADER = (
    "--endpoints={e2} endpoint status -w json",
    f"endpoint status {_SHORT}",
    "--endpoints={e2} get k --consistency=s",
    "--endpoints={e2} move-leader {m1}",
    "--endpoints={e2} member add new --peer-urls=http://127.0.0.1:9999",
    "--endpoints={e2} lease keep-alive 1",
    "--endpoints={e2} lease keep-alive 1 --once",
)

_SAME = tuple(
    (re.compile(pattern, re.MULTILINE), replacement)
    for pattern, replacement in (
        (r'("member_id":"?|"MemberID" : )<id\d>', r"\1<member>"),
        (r'"revision":\d+', '"revision":<revision>'),
        (r'"raft_?[Tt]erm":\d+', '"raft_term":<term>'),
        (r'"RaftTerm" ?: ?\d+', '"RaftTerm" : <term>'),
        (r'"(raftIndex|raftAppliedIndex|dbSize|dbSizeInUse)":\d+', r'"\1":<n>'),
        (r'"(RaftIndex|RaftAppliedIndex|DBSize|DBSizeInUse|Revision)" : \d+', r'"\1" : <n>'),
        (r"\d[\d.]* [kM]?B\b", "<size>"),
        (r"(<size>, \w+, \w+), \d+, \d+, \d+,", r"\1, <n>,"),
        (r"(\| *(?:true|false) \|)(?: *\d+ \|){3}", r"\1 <n> |"),
        (r"3\.5\.\d+", "<version>"),
        (r'(took = |"took":"|"Took" : )[\d.]+(ns|µs|ms|s)', r"\1<took>"),
        (r'"ts":"?[^",]+"?', '"ts":<time>'),
        (r'"target":"[^"]*/', '"target":"'),
        (r'"attempt":\d+', '"attempt":<n>'),
        (r", \d{8,10}$", ", <hash>"),
        (r'"hash":\d+', '"hash":<hash>'),
        (r"[ -]{2,}", " "),
    )
)


@dataclass(slots=True)
class Named:
    """A cluster whose members have the names 1, 2, 3 in the order of their ids; 1 leads."""

    cluster: Cluster
    order: list[int] = field(default_factory=list)
    """Index in `cluster.members` of each."""
    ids: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.look()
        self.cluster.move_leader(self.order[0])

    def look(self) -> None:
        """Learn the ids of the members that have none here yet; those come last."""
        new = [index for index in range(len(self.cluster.members)) if index not in self.order]
        found = sorted((self.cluster.status(index).header.member_id, index) for index in new)
        self.ids += [member_id for member_id, _ in found]
        self.order += [index for _, index in found]

    def filled(self, line: str) -> list[str]:
        names: dict[str, str] = {}
        for rank, (index, member_id) in enumerate(zip(self.order, self.ids, strict=True), 1):
            names[f"e{rank}"] = self.cluster.targets[index]
            names[f"p{rank}"] = self.cluster.advertised[index]
            names[f"m{rank}"] = f"{member_id:x}"
        names["e"] = ",".join(self.cluster.targets[index] for index in self.order[:MEMBERS_COUNT])
        text = line if "--endpoints" in line else f"--endpoints={{e}} {line}"
        return shlex.split(text.format_map(names))

    def normal(self, output: bytes) -> list[str]:
        text = output.decode()
        for rank, (index, member_id) in enumerate(zip(self.order, self.ids, strict=True), 1):
            member = self.cluster.members[index]
            text = text.replace(member.target, f"<e{rank}>")
            text = text.replace(self.cluster.advertised[index], f"<p{rank}>")
            for written in (f"{member_id:x}", str(member_id)):
                text = text.replace(written, f"<id{rank}>")
            text = re.sub(rf"\b{member.name}\b", f"<name{rank}>", text)
        cluster_id = self.cluster.status(self.order[1]).header.cluster_id
        text = text.replace(f"{cluster_id:x}", "<c>").replace(str(cluster_id), "<c>")
        for pattern, replacement in _SAME:
            text = pattern.sub(replacement, text)
        return text.splitlines()

    def run(self, client: Sequence[str], line: str) -> tuple[int, list[str], list[str]]:
        """Exit code, standard output and standard error; repeated lines of the log once."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
        environment |= {"PYTHONPATH": server_environment()["PYTHONPATH"]}
        done = subprocess.run(
            [*client, *self.filled(line)],
            capture_output=True,
            env=environment,
            check=False,
            timeout=COMMAND_S,
        )
        out, err = self.normal(done.stdout), self.normal(done.stderr)
        if "health" in line or len(self.order) > MEMBERS_COUNT:
            out, err = _in_order(out), _in_order(err)
        return done.returncode, out, list(dict.fromkeys(err))


def _in_order(lines: list[str]) -> list[str]:
    """Endpoints are asked at once: who answers first is told first. And where a new member stands
    among the others depends on its id."""
    return sorted("".join(sorted(re.split(r"[][{}]+,?", line))) for line in lines)


@pytest.fixture
def clusters() -> Iterator[list[Named]]:
    with ExitStack() as stack:
        started = [
            stack.enter_context(start_cluster([kind] * MEMBERS_COUNT, wait=False)) for kind in KINDS
        ]
        for cluster in started:
            cluster.wait_healthy()
            cluster.wait_leader()
        yield [Named(cluster) for cluster in started]


def compare(clusters: Sequence[Named], lines: Sequence[str]) -> None:
    clients = ((str(require_stock_35().etcdctl),), OURS)
    different = []
    with ThreadPoolExecutor(4) as pool:
        for line in lines:
            pairs = [(named, client) for named in clusters for client in clients]
            outcomes = list(pool.map(lambda pair, line=line: pair[0].run(pair[1], line), pairs))
            if any(outcome != outcomes[0] for outcome in outcomes):
                told = ("stock on stock", "ours on stock", "stock on ours", "ours on ours")
                different.append(line)
                different += [f"  {who}: {it}" for who, it in zip(told, outcomes, strict=True)]
    assert not different, "\n".join(different)


def test_a_cluster_with_a_learner_is_shown_and_refuses_alike(clusters: list[Named]) -> None:
    add_learners(clusters)
    compare(clusters, QUICK)


@pytest.mark.soak
def test_a_cluster_is_shown_and_refuses_alike_in_every_way(clusters: list[Named]) -> None:
    compare(clusters, ALL_UP)
    add_learners(clusters)
    compare(clusters, LEARNER)


def add_learners(clusters: Sequence[Named]) -> None:
    """A fourth member for each, the last in its order."""
    for named, kind in zip(clusters, KINDS, strict=True):
        cluster = named.cluster
        index = cluster.add_server(kind, state="existing")
        request = MemberAddRequest(peerURLs=[cluster.advertised[index]], isLearner=True)
        wait_for(lambda named=named, request=request: _add(named, request), ADD_S, "not added")
        cluster.start(index)
        cluster.wait_healthy(index)
        named.look()


def _add(named: Named, request: MemberAddRequest) -> bool | None:
    """Members that have just met each other are not called healthy yet."""
    with Calls(named.cluster.targets[named.order[0]]) as calls:
        try:
            calls.member_add_call(request, timeout=10)
        except grpc.RpcError:
            return None
        return True


def _leaderless(named: Named) -> bool | None:
    return None if named.cluster.status(named.order[1]).leader else True


@pytest.mark.soak
def test_a_cluster_with_members_down_is_told_of_alike(clusters: list[Named]) -> None:
    for named in clusters:
        named.cluster.kill(named.order[2])
    compare(clusters, ONE_DOWN)
    for named in clusters:
        named.cluster.kill(named.order[0])
    for named in clusters:
        wait_for(lambda named=named: _leaderless(named), ELECTION_S, "there still is a leader")
    compare(clusters, NO_LEADER)
