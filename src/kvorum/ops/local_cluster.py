"""A whole cluster on this machine, for tests and for trying things out.

    with LocalCluster(Path("cluster"), size=3) as cluster:
        Client(cluster.endpoints)
        cluster.kill(2)
        cluster.restart(2)

Members are processes. Their folder holds what is needed to go on with them later, or from another
program: `LocalCluster.opened(folder)`.

    <folder>/cluster.json    the members, their ports and flags
    <folder>/m1, m1.log, m1.pid, …
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from kvorum.client import Client
from kvorum.errors import (
    MemberNotFoundError,
    PeerUrlExistsError,
    UnavailableError,
    UnhealthyClusterError,
    WireError,
)
from kvorum.ops.local_member import (
    HOST,
    LocalClusterError,
    LocalMember,
    Starting,
    wait_ready,
)
from kvorum.proto.rpc_pb2 import StatusResponse

SIZES = (1, 3, 5, 7)
FIRST_CLIENT_PORT, PORT_STEP = 2379, (0, 20_000, 30_000, 40_000, 50_000, 51_000, 52_000)
"""Member 1 is at 2379, member 2 at 22379, member 3 at 32379: as in etcd's own examples."""
READY_S_MAX = 60.0
STATUS_S_MAX = 1.0
REPLACE_S_MAX = 30.0
RETRY_S = 0.2
_FILE = "cluster.json"


class LocalCluster:
    """See the module. `with` starts all members and stops them in the end.

    Args:
        folder: of all data; made when it is not there.
        size: how many members.
        client_ports: one per member; empty: 2379, 22379, 32379, …
        peer_ports: likewise; empty: each one above the client port.
        extra_flags: of every member, as `etcd` takes them.

    Raises:
        LocalClusterError: the folder holds a cluster of another size, or the ports do not fit.

    A cluster that is in the folder already keeps its ports; `extra_flags` are taken anew.
    """

    def __init__(
        self,
        folder: Path,
        *,
        size: int = 3,
        client_ports: Sequence[int] = (),
        peer_ports: Sequence[int] = (),
        extra_flags: Sequence[str] = (),
    ) -> None:
        self.folder = folder.absolute()
        self._children: list[Starting] = []
        if (self.folder / _FILE).exists():
            self.members = _read(self.folder)
            if len(self.members) != size:
                raise LocalClusterError(
                    f"{folder} holds a cluster of {len(self.members)} members; "
                    f"start it with --size={len(self.members)}, or use another folder"
                )
            for member in self.members:
                member.extra_flags = tuple(extra_flags)
            return
        self.members = _new_members(self.folder, size, client_ports, peer_ports, tuple(extra_flags))
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write()

    @classmethod
    def opened(cls, folder: Path) -> LocalCluster:
        """The cluster that is in a folder.

        Raises:
            LocalClusterError: there is none.
        """
        members = _read(folder.absolute())
        flags = members[0].extra_flags if members else ()
        return cls(folder, size=len(members), extra_flags=flags)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def endpoints(self) -> list[str]:
        """What a client connects to."""
        return [member.client_url for member in self.members]

    def start(self) -> None:
        """Start all members and wait until they serve.

        Raises:
            LocalClusterError: one runs already; or one does not start, then all are stopped again.
        """
        # Looked at beforehand: what somebody else has started is not ours to stop.
        for number, member in enumerate(self.members, start=1):
            if (pid := member.pid()) is not None:
                raise LocalClusterError(
                    f"the cluster in {self.folder} is running: {member.name} is process {pid} "
                    f"(`kvorum local-cluster stop {number}` stops it). "
                    "For another cluster use another --folder and other --client-ports"
                )
        try:
            for member in self.members:
                self._children.append(member.start())
            wait_ready(self._children, READY_S_MAX)
        except BaseException:
            self.stop()
            raise
        self._write()

    def stop(self) -> None:
        """Stop all members that run, whoever started them.

        The leader goes last: it would try to hand over to a member that is going as well.
        """
        running = [member for member in self.members if member.pid() is not None]
        leading = [
            member
            for member, told in zip(self.members, self.statuses(), strict=True)
            if member in running and told is not None and told.leader == told.header.member_id
        ]
        for group in ([member for member in running if member not in leading], leading):
            for member in group:
                member.signal(signal.SIGTERM)
            for member in group:
                self._reap(member)
        self._children.clear()

    def forget_ended(self) -> None:
        """Take note of children that have ended, so that they do not stay as zombies."""
        self._children = [one for one in self._children if one.process.poll() is None]

    def kill(self, number: int) -> None:
        """`kill -9` of one member; the first is 1.

        Raises:
            LocalClusterError: it does not run, or there is no such member.
        """
        member = self.member(number)
        member.signal(signal.SIGKILL)
        self._reap(member)

    def stop_member(self, number: int) -> None:
        """Stop one member in order."""
        member = self.member(number)
        member.signal(signal.SIGTERM)
        self._reap(member)

    def restart(self, number: int) -> None:
        """Start one member again on its data, and wait until it serves; stop it first if it runs.

        Raises:
            LocalClusterError: it does not start.
        """
        member = self.member(number)
        if member.pid() is not None:
            self.stop_member(number)
        self._start(member)

    def replace(self, number: int) -> list[str]:
        """Replace a member by a new one on the same ports, as if its disk were lost.

        Returns:
            The commands that do the same with etcdctl and etcd.

        Raises:
            LocalClusterError: the others have no majority, or refuse.
        """
        member = self.member(number)
        if member.pid() is not None:
            self.kill(number)
        try:
            told = asyncio.run(self._exchange(member))
        except TimeoutError:
            raise LocalClusterError(
                "the other members have no majority: start them first"
            ) from None
        except WireError as error:
            raise LocalClusterError(f"the cluster refused: {error.message}") from None
        aside = 1
        while (kept := self.folder / f"{member.name}.replaced-{aside}").exists():
            aside += 1
        if member.data_dir.exists():
            shutil.move(member.data_dir, kept)
        member.initial_cluster_state = "existing"
        member.initial_cluster = _initial_cluster(self.members)
        self._write()
        self._start(member)
        return [
            *told,
            f"ETCD_NAME={member.name} ETCD_INITIAL_CLUSTER_STATE=existing "
            f"ETCD_INITIAL_CLUSTER={member.initial_cluster} etcd …",
        ]

    async def _exchange(self, member: LocalMember) -> list[str]:
        others = [one.client_url for one in self.members if one is not member]
        # By the variable: whoever has it set already is refused the flag beside it.
        etcdctl = f"ETCDCTL_ENDPOINTS={','.join(others)} etcdctl"
        async with Client(others) as client, asyncio.timeout(REPLACE_S_MAX):
            listed = await client.cluster.member_list()
            old = [one.ID for one in listed.members if member.peer_url in one.peerURLs]
            commands = []
            for member_id in old:
                await _insist(partial(client.cluster.member_remove, member_id))
                commands.append(f"{etcdctl} member remove {member_id:x}")
            await _insist(partial(client.cluster.member_add, [member.peer_url]))
            commands.append(f"{etcdctl} member add {member.name} --peer-urls={member.peer_url}")
        return commands

    def statuses(self) -> list[StatusResponse | None]:
        """What each member says of itself; None for one that does not answer."""
        return asyncio.run(self._statuses())

    async def _statuses(self) -> list[StatusResponse | None]:
        async with Client(self.endpoints) as client:

            async def ask(url: str) -> StatusResponse | None:
                try:
                    return await client.maintenance.status(url, timeout_s=STATUS_S_MAX)
                except WireError:
                    return None

            return list(await asyncio.gather(*map(ask, self.endpoints)))

    def member(self, number: int) -> LocalMember:
        """A member by its number, from 1 on.

        Raises:
            LocalClusterError: there is no such member.
        """
        if not 1 <= number <= len(self.members):
            raise LocalClusterError(
                f"there is no member {number}: they are 1 to {len(self.members)}"
            )
        return self.members[number - 1]

    def _start(self, member: LocalMember) -> None:
        child = member.start()
        self._children.append(child)
        wait_ready([child], READY_S_MAX)

    def _reap(self, member: LocalMember) -> None:
        """Wait for the end of a process, and take note of it if it is a child of ours."""
        for child in [one for one in self._children if one.member is member]:
            child.process.wait()
            self._children.remove(child)
        member.wait_gone()

    def _write(self) -> None:
        records = [member.record() for member in self.members]
        (self.folder / _FILE).write_text(json.dumps({"members": records}, indent=1) + "\n")


async def _insist(change: Callable[[], Awaitable[object]]) -> None:
    """Ask for a change again while the cluster elects a leader, or gets to know its members.

    Repeating it is safe: the second time it is refused, as done already.
    """
    repeated = False
    while True:
        try:
            await change()
            return
        except (UnavailableError, UnhealthyClusterError):
            repeated = True
            await asyncio.sleep(RETRY_S)
        except (PeerUrlExistsError, MemberNotFoundError):
            if not repeated:
                raise
            return


def _new_members(
    folder: Path,
    size: int,
    client_ports: Sequence[int],
    peer_ports: Sequence[int],
    extra_flags: tuple[str, ...],
) -> list[LocalMember]:
    if size not in SIZES:
        known = ", ".join(map(str, SIZES))
        raise LocalClusterError(f"a cluster of {size} members: the size must be one of {known}")
    clients = list(client_ports) or [FIRST_CLIENT_PORT + step for step in PORT_STEP[:size]]
    peers = list(peer_ports) or [port + 1 for port in clients]
    if len(clients) != size or len(peers) != size or len({*clients, *peers}) != 2 * size:
        raise LocalClusterError(f"{size} members need {size} different ports for each purpose")
    for port in (*clients, *peers):
        _check_free(port)
    members = [
        LocalMember(folder, f"m{number}", client, peer, extra_flags=extra_flags)
        for number, (client, peer) in enumerate(zip(clients, peers, strict=True), start=1)
    ]
    for member in members:
        member.initial_cluster = _initial_cluster(members)
    return members


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise LocalClusterError(
                f"port {port} of {HOST} cannot be had ({error}); choose others"
            ) from None


def _initial_cluster(members: Sequence[LocalMember]) -> str:
    return ",".join(f"{member.name}={member.peer_url}" for member in members)


def _read(folder: Path) -> list[LocalMember]:
    try:
        stored = json.loads((folder / _FILE).read_text())
        return [LocalMember.from_record(folder, record) for record in stored["members"]]
    except FileNotFoundError:
        raise LocalClusterError(f"{folder} holds no cluster; start one first") from None
    except (ValueError, KeyError, TypeError) as error:
        raise LocalClusterError(f"{folder / _FILE} cannot be read: {error}") from None
