"""Options that ask something of the system: sockets, memory, where connections come from."""

from __future__ import annotations

import asyncio
import resource
import socket
from pathlib import Path
from typing import Any

import pytest

from kvorum.cli.etcd.flags import load
from kvorum.embed import Config, Member
from kvorum.embed.network import local_address, peer_options
from kvorum.errors import ConfigError
from kvorum.peer.http import PeerConnection, PeerHttpError
from kvorum.server.log import Event, Logger
from tests.servers import free_port, start_server

ANY_PORT = ("http://127.0.0.1:0",)


def config_of(data_dir: Path, **more: Any) -> Config:
    defaults = {"listen_client_urls": ANY_PORT, "listen_peer_urls": ANY_PORT}
    return Config(data_dir=data_dir, unsafe_no_fsync=True, **(defaults | more))


async def test_with_reuse_port_others_may_listen_on_the_same_port(tmp_path: Path) -> None:
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    urls = {"listen_client_urls": (client,), "listen_peer_urls": (peer,)}
    both = config_of(tmp_path / "a", socket_reuse_port=True, **urls)
    other = config_of(tmp_path / "b", socket_reuse_port=True, **urls)
    async with Member(both), Member(other) as second:
        assert second.client_urls == (client,)


async def test_without_it_a_port_is_had_once(tmp_path: Path) -> None:
    async with Member(config_of(tmp_path / "a")) as first:
        taken = config_of(tmp_path / "b", listen_client_urls=first.client_urls)
        with pytest.raises(ConfigError, match="bind: address already in use"):
            await Member(taken).start()


def may_lock_memory() -> bool:
    """Whether this process, and so its children, may lock as much as they like."""
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return limit == resource.RLIM_INFINITY or bool(int(effective.split()[1], 16) >> 14 & 1)


def test_memory_is_locked_or_the_start_refused_with_what_to_allow() -> None:
    with start_server(extra_flags=["--memory-mlock"], wait=False) as server:
        if may_lock_memory():
            server.wait_ready()
            status = Path(f"/proc/{server.pid}/status").read_text()
            locked = next(line for line in status.splitlines() if line.startswith("VmLck:"))
            assert int(locked.split()[1]) > 10_000
        else:
            assert server.wait_exit() == 1
            assert "--memory-mlock: the memory cannot be locked: " in server.log_text()


def test_timeouts_between_members_are_five_seconds_at_least_and_that_is_told() -> None:
    seen: list[Event] = []
    flags = ["--raft-read-timeout=1s", "--raft-write-timeout=8s"]
    made = load(flags, {}, Logger(seen.append))
    assert (made.raft_read_timeout_s, made.raft_write_timeout_s) == (5.0, 8.0)
    assert [one.message for one in seen] == ["raft-read-timeout increased to minimum value: 5s"]
    options = peer_options(made, 1, 2)
    assert (options.read_timeout_s, options.write_timeout_s) == (5.0, 8.0)


@pytest.mark.parametrize(
    ("urls", "address"),
    [
        (("http://10.0.0.7:2380",), "10.0.0.7"),
        (("http://127.0.0.1:2380", "http://localhost:2380"), ""),
        (("http://0.0.0.0:1", "http://[2001:db8::1]:1", "http://10.0.0.7:1"), "10.0.0.7"),
        (("http://[::]:1", "http://[2001:db8::1]:1"), "2001:db8::1"),
    ],
)
def test_the_local_address_is_the_first_that_others_can_reach(
    urls: tuple[str, ...], address: str
) -> None:
    """URLs are kept sorted."""
    assert local_address(Config(initial_advertise_peer_urls=urls)) == ""
    gated = Config(initial_advertise_peer_urls=urls, set_member_local_addr=True)
    assert local_address(gated) == address
    assert peer_options(gated, 1, 2).local_address == address


async def test_connections_come_from_the_local_address() -> None:
    seen: list[str] = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[0])
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, family=socket.AF_INET)
    port = server.sockets[0].getsockname()[1]
    connection = PeerConnection(
        f"http://127.0.0.1:{port}", dial_timeout_s=5, io_timeout_s=5, local_address="127.0.0.77"
    )
    with pytest.raises(PeerHttpError):
        await connection.request("GET", "/version")
    server.close()
    assert seen[0] == "127.0.0.77"
