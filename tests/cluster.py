"""Clusters of real server processes, of any mix of kinds, for tests.

    with start_cluster(["kvorum3.5", "stock3.5", "stock3.5"]) as cluster:
        cluster.wait_healthy()          # done by the start already
        cluster.members[0].kill9()      # a tests.servers.Server: kill9, terminate, restart, …
        cluster.wait_leader()           # index of the member that leads
        cluster.wait_equal_hashes()     # HashKV of all at one revision

Kinds: `kvorum` (presents itself as its newest version), `kvorum3.5` and `kvorum3.4` (with
`--emulated-version`), `stock3.6`, `stock3.5` (3.5.1) and `stock3.4` (3.4.23, Debian's). A test that
names a stock kind is skipped where there is no such binary.

Nothing here sleeps for a fixed time: every wait is for a condition, with a deadline.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import grpc
import pytest

from kvorum.proto.rpc_pb2 import (
    HashKVRequest,
    HashKVResponse,
    MoveLeaderRequest,
    StatusRequest,
    StatusResponse,
)
from tests.network.namespace import why_not
from tests.network.network import Network
from tests.proxy import Proxy
from tests.robustness.calls import Calls
from tests.servers import Server, ServerError, free_port, is_healthy, server_command
from tests.stock import require_stock_34, require_stock_35, require_stock_36

READY_S = 60.0
ELECTION_S = 30.0
CATCH_UP_S = 60.0
POLL_S = 0.02
CALL_S = 5.0
LOG_TAIL_CHARS = 3000

T = TypeVar("T")


def command_of(kind: str) -> tuple[list[str], list[str]]:
    """How to start a member of `kind`, and the flags that make it that kind."""
    if kind == "kvorum":
        return server_command(), []
    if kind.startswith("kvorum"):
        return server_command(), [f"--emulated-version={kind.removeprefix('kvorum')}"]
    if kind == "stock3.6":
        return [str(require_stock_36().etcd)], []
    if kind == "stock3.5":
        return [str(require_stock_35().etcd)], []
    if kind == "stock3.4":
        return [str(require_stock_34().etcd)], []
    raise ValueError(kind)


def is_kvorum(kind: str) -> bool:
    return kind.startswith("kvorum")


def wait_for(what: Callable[[], T | None], deadline_s: float, problem: str) -> T:
    """The first answer of `what` that is not None.

    Raises:
        AssertionError: there was none in time.
    """
    give_up = time.monotonic() + deadline_s
    while True:
        found = what()
        if found is not None:
            return found
        assert time.monotonic() < give_up, f"{problem} (waited {deadline_s} s)"
        time.sleep(POLL_S)


@dataclass(slots=True)
class Cluster:
    """Members by their position; `kinds` says what each is."""

    folder: Path
    kinds: list[str]
    members: list[Server] = field(default_factory=list)
    advertised: list[str] = field(default_factory=list)
    """Peer URL of each member, as the others reach it (a proxy's, where there is one)."""
    paused: set[int] = field(default_factory=set)
    proxy: Proxy | None = None
    """Between the members, if there is one."""
    packets: Network | None = None
    """That the members are in, each on the node of its index, if there is one."""

    # Who is there.

    @property
    def network(self) -> Proxy | Network:
        """What network faults are made with."""
        network = self.packets or self.proxy
        assert network is not None, "a cluster without a network of its own"
        return network

    @property
    def endpoints(self) -> list[str]:
        return [member.client_url for member in self.members]

    @property
    def targets(self) -> list[str]:
        """`host:port` of each member's client port."""
        return [member.target for member in self.members]

    @property
    def initial_cluster(self) -> str:
        return ",".join(
            f"{member.name}={url}"
            for member, url in zip(self.members, self.advertised, strict=True)
        )

    def running(self) -> list[int]:
        """Members whose process lives and is not paused."""
        return [
            index
            for index, member in enumerate(self.members)
            if member.process is not None and member.returncode is None and index not in self.paused
        ]

    def add_server(
        self,
        kind: str,
        *,
        flags: Sequence[str] = (),
        state: str = "new",
        peer_port: int | None = None,
        advertised: str | None = None,
    ) -> int:
        """Make a member that is not started yet; `initial_cluster` has it from now on.

        Returns:
            Its index.
        """
        command, own_flags = command_of(kind)
        index = len(self.members)
        host = "127.0.0.1"
        if self.packets is not None:
            command = [*self.packets.command(index), *command]
            host = self.packets.address(index)
        member = Server(
            command=command,
            name=f"m{index + 1}",
            host=host,
            data_dir=self.folder / f"m{index + 1}",
            log_path=self.folder / f"m{index + 1}.log",
            client_port=free_port(),
            peer_port=peer_port or free_port(),
        )
        self.members.append(member)
        self.advertised.append(advertised or member.peer_url)
        if index == len(self.kinds):
            self.kinds.append(kind)
        member.extra_flags = [
            f"--initial-advertise-peer-urls={self.advertised[index]}",
            f"--initial-cluster-state={state}",
            *own_flags,
            *flags,
        ]
        return index

    def start(self, *indexes: int) -> None:
        """Start members, all at once; does not wait."""
        for index in indexes or range(len(self.members)):
            member = self.members[index]
            if not any(flag.startswith("--initial-cluster=") for flag in member.extra_flags):
                member.extra_flags.append(f"--initial-cluster={self.initial_cluster}")
            member.start()

    # What is done to them.

    def kill(self, index: int) -> None:
        """SIGKILL; also a paused one."""
        self.paused.discard(index)
        self.members[index].kill9()

    def stop(self, index: int) -> int:
        """SIGTERM. Returns the exit code."""
        return self.members[index].terminate()

    def restart(self, index: int, *, wait: bool = True) -> None:
        """Start again on the same data; stops it first where it runs."""
        member = self.members[index]
        member.restart(wait=False)
        if wait:
            self.wait_healthy(index)

    def pause(self, index: int) -> None:
        """SIGSTOP: its connections stay, and nothing moves on them."""
        process = self.members[index].process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        self.paused.add(index)

    def resume(self, index: int) -> None:
        process = self.members[index].process
        assert process is not None
        process.send_signal(signal.SIGCONT)
        self.paused.discard(index)

    def move_leader(self, to: int, deadline_s: float = ELECTION_S) -> None:
        """Make the member `to` lead; returns when a majority knows."""

        def done() -> bool | None:
            leader = self.wait_leader(deadline_s=deadline_s)
            if leader == to:
                return True
            with contextlib.suppress(grpc.RpcError), Calls(self.members[leader].target) as calls:
                target = self.status(to).header.member_id
                calls.move_leader_call(MoveLeaderRequest(targetID=target), timeout=CALL_S)
            return None

        wait_for(done, deadline_s, f"member {to} does not become the leader")

    # What is waited for.

    def wait_healthy(self, *indexes: int, deadline_s: float = READY_S) -> None:
        """Return once /health of each is well: it has applied its log, and there is a leader.

        Raises:
            ServerError: one has exited, or is not well in time; with the end of its log.
        """
        give_up = time.monotonic() + deadline_s
        waiting = list(indexes) or list(range(len(self.members)))
        while waiting:
            for index in waiting:
                member = self.members[index]
                if member.returncode is not None:
                    raise ServerError(f"{self._told(index)} exited with {member.returncode}")
                if time.monotonic() > give_up:
                    raise ServerError(f"{self._told(index)} is not healthy in {deadline_s} s")
            waiting = [i for i in waiting if not self._is_healthy(i)]
            if waiting:
                time.sleep(POLL_S)

    def wait_leader(self, *, other_than: int | None = None, deadline_s: float = ELECTION_S) -> int:
        """Index of the leader that a majority knows."""

        def agreed() -> int | None:
            told = [self._leader_by(index) for index in self.running()]
            for leader in set(told) - {0}:
                index = self._index_of(leader)
                known = told.count(leader) > len(self.members) // 2
                if known and index is not None and index != other_than:
                    return index
            return None

        return wait_for(agreed, deadline_s, "there is no leader")

    def wait_log(self, index: int, text: str, deadline_s: float = READY_S) -> None:
        """Return once the member's log has `text`."""
        member = self.members[index]
        wait_for(
            lambda: True if text in member.log_text() else None,
            deadline_s,
            f"{self._told(index)}: nothing of {text!r}",
        )

    def wait_equal_hashes(
        self, indexes: Iterable[int] = (), deadline_s: float = CATCH_UP_S
    ) -> HashKVResponse:
        """Return once all have the same revision and the same HashKV at it.

        Raises:
            AssertionError: they differ for `deadline_s`.
        """
        chosen = list(indexes) or list(range(len(self.members)))
        told: list[object] = []

        def equal() -> HashKVResponse | None:
            told.clear()
            found: list[HashKVResponse] = []
            for index in chosen:
                answer = self._hash_of(index)
                if answer is None:
                    told.append((index, "no answer"))
                    return None
                found.append(answer)
                told.append((index, answer.header.revision, answer.hash, answer.compact_revision))
            first = found[0]
            same = all(
                (one.hash, one.compact_revision, one.header.revision)
                == (first.hash, first.compact_revision, first.header.revision)
                for one in found
            )
            return first if same else None

        give_up = time.monotonic() + deadline_s
        while (answer := equal()) is None:
            assert time.monotonic() < give_up, f"the members differ: {told}"
            time.sleep(POLL_S)
        return answer

    def status(self, index: int) -> StatusResponse:
        """The member's Maintenance.Status.

        Raises:
            grpc.RpcError
        """
        with Calls(self.members[index].target) as calls:
            answer: StatusResponse = calls.status_call(StatusRequest(), timeout=CALL_S)
            return answer

    def _is_healthy(self, index: int) -> bool:
        member = self.members[index]
        return is_healthy(member.client_port, host=member.host)

    def _hash_of(self, index: int) -> HashKVResponse | None:
        with Calls(self.members[index].target) as calls:
            try:
                answer: HashKVResponse = calls.hash_kv_call(HashKVRequest(), timeout=CALL_S)
            except grpc.RpcError:
                return None
            return answer

    def _leader_by(self, index: int) -> int:
        """Id of the leader, by one member; 0: it knows none."""
        try:
            return int(self.status(index).leader)
        except grpc.RpcError:
            return 0

    def _index_of(self, member_id: int) -> int | None:
        for index in self.running():
            try:
                if self.status(index).header.member_id == member_id:
                    return index
            except grpc.RpcError:
                continue
        return None

    def _told(self, index: int) -> str:
        member = self.members[index]
        tail = member.log_text()[-LOG_TAIL_CHARS:]
        return f"{member.name} ({self.kinds[index]}); end of its log:\n{tail}\n{member.name}"

    def close(self) -> None:
        """End every process."""
        if self.proxy is not None:
            self.proxy.close()
        for index in list(self.paused):
            self.resume(index)
        for member in self.members:
            if member.process is not None and member.process.poll() is None:
                member.process.kill()
        for member in self.members:
            if member.process is not None:
                member.process.wait()
        if self.packets is not None:
            self.packets.close()


@contextlib.contextmanager
def start_cluster(
    kinds: Sequence[str] = ("kvorum", "kvorum", "kvorum"),
    *,
    flags: Sequence[str] = (),
    flags_of: Callable[[int, str], Sequence[str]] = lambda index, kind: (),
    wait: bool = True,
    proxied: bool = False,
    packets: bool = False,
) -> Iterator[Cluster]:
    """A cluster with a member of each of `kinds`, healthy; everything of it is gone in the end.

    Args:
        flags: more flags of every member.
        flags_of: more flags of one member, by its index and kind.
        wait: False returns when the processes are started.
        proxied: the members reach each other through `cluster.proxy`.
        packets: all is in `cluster.packets`; skips the test where there can be no such network.
    """
    if packets and (reason := why_not()) is not None:
        pytest.skip(reason)
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="kvorum-cluster-")), list(kinds))
    try:
        ports = [free_port() for _ in kinds]
        urls: list[str | None] = [None for _ in kinds]
        if proxied:
            cluster.proxy = Proxy(ports)
            urls = [f"http://127.0.0.1:{port}" for port in cluster.proxy.ports]
        if packets:
            cluster.packets = Network(len(kinds))
        for index, (kind, port, url) in enumerate(zip(kinds, ports, urls, strict=True)):
            own = [*flags, *flags_of(index, kind)]
            cluster.add_server(kind, flags=own, peer_port=port, advertised=url)
        cluster.start()
        if wait or proxied:
            cluster.wait_healthy()
            cluster.wait_leader()
        if cluster.proxy is not None:
            for index in range(len(kinds)):
                cluster.proxy.member_ids[cluster.status(index).header.member_id] = index
            cluster.proxy.reset_all()  # those that it did not know yet would pass unhindered
            cluster.wait_leader()
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(cluster.folder, ignore_errors=True)


__all__ = ["Cluster", "command_of", "is_kvorum", "start_cluster", "wait_for"]
