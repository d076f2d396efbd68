"""A whole member as an object: its life, failed starts, failing disks, stops under load."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kvorum.client import Client, ClientOptions
from kvorum.embed import Config, Member
from kvorum.errors import ConfigError, CorruptionError, KvorumError, WireError
from kvorum.storage import Backend
from tests.servers import free_port

ANY_PORT = ("http://127.0.0.1:0",)
DEADLINE_S = 20.0
WRITERS = 8


def config_of(data_dir: Path, **more: Any) -> Config:
    defaults = {"listen_client_urls": ANY_PORT, "listen_peer_urls": ANY_PORT}
    return Config(data_dir=data_dir, **(defaults | more))


async def put_and_get(member: Member, key: bytes = b"a") -> bytes:
    async with Client(member.client_urls) as client:
        await client.kv.put(key, b"1")
        return bytes((await client.kv.get(key)).kvs[0].value)


def is_free(port: int) -> bool:
    """Whether one can listen there; connections that have ended do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def open_files_below(folder: Path) -> list[str]:
    """Files of `folder` that this process has open."""
    found = []
    for entry in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{entry}")
        except OSError:
            continue
        if target.startswith(f"{folder}/"):
            found.append(target)
    return found


async def test_a_member_serves_on_a_port_of_its_choice(tmp_path: Path) -> None:
    async with Member(config_of(tmp_path)) as member:
        (url,) = member.client_urls
        assert url.startswith("http://127.0.0.1:")
        assert not url.endswith(":0")
        assert await put_and_get(member) == b"1"


async def test_the_ports_that_were_bound_are_advertised(tmp_path: Path) -> None:
    async with Member(config_of(tmp_path)) as member, Client(member.client_urls) as client:
        (listed,) = (await client.cluster.member_list()).members
        assert tuple(listed.clientURLs) == member.client_urls
        assert member.id == listed.ID


async def test_data_is_there_for_the_next_member_on_the_directory(tmp_path: Path) -> None:
    """Two members in one program, one after the other."""
    async with Member(config_of(tmp_path)) as first, Client(first.client_urls) as client:
        written = await client.kv.put(b"a", b"1")
        first_id = first.id
    async with Member(config_of(tmp_path)) as second, Client(second.client_urls) as client:
        assert second.id == first_id
        (kv,) = (await client.kv.get(b"a")).kvs
        assert (kv.value, kv.mod_revision) == (b"1", written.header.revision)
        assert (await client.kv.put(b"b", b"2")).header.revision == written.header.revision + 1


async def test_two_members_run_side_by_side_in_one_program(tmp_path: Path) -> None:
    async with (
        Member(config_of(tmp_path / "one")) as one,
        Member(config_of(tmp_path / "other")) as other,
        Client(other.client_urls) as client,
    ):
        await put_and_get(one, b"only-here")
        assert (await client.kv.get(b"only-here")).count == 0


async def test_a_stopped_member_leaves_nothing_open(tmp_path: Path) -> None:
    member = Member(config_of(tmp_path))
    async with member:
        assert open_files_below(tmp_path)
        ports = [int(url.rpartition(":")[2]) for url in member.client_urls]
    assert open_files_below(tmp_path) == []
    assert all(map(is_free, ports))


async def test_stop_can_be_called_again_and_before_a_start(tmp_path: Path) -> None:
    member = Member(config_of(tmp_path))
    await member.stop()
    await member.start()
    await put_and_get(member)
    await member.stop()
    await member.stop()
    assert open_files_below(tmp_path) == []


async def test_a_member_that_does_not_run_has_no_id(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not running"):
        _ = Member(config_of(tmp_path)).id


async def test_a_stopped_member_can_be_started_again(tmp_path: Path) -> None:
    member = Member(config_of(tmp_path))
    for _ in range(2):
        async with member:
            assert await put_and_get(member) == b"1"


@pytest.fixture
def taken_port() -> Any:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


async def test_a_client_port_in_use_leaves_nothing_behind(tmp_path: Path, taken_port: int) -> None:
    """Nothing has been written either: the ports come first."""
    peer_port = free_port()
    config = config_of(
        tmp_path / "data",
        listen_client_urls=(f"http://127.0.0.1:{taken_port}",),
        listen_peer_urls=(f"http://127.0.0.1:{peer_port}",),
    )
    with pytest.raises(ConfigError, match="address already in use"):
        await Member(config).start()
    assert is_free(peer_port)
    assert not (tmp_path / "data").exists()


async def test_a_directory_in_use_is_refused_and_the_ports_are_free_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It waits for ten seconds, on the loop: the one before may be on its way out.
    monkeypatch.setitem(Backend.open.__func__.__kwdefaults__, "lock_wait_s", 0.05)  # type: ignore[attr-defined]
    client_port, peer_port = free_port(), free_port()
    ports = {
        "listen_client_urls": (f"http://127.0.0.1:{client_port}",),
        "listen_peer_urls": (f"http://127.0.0.1:{peer_port}",),
    }
    async with Member(config_of(tmp_path)) as running:
        before = sorted(open_files_below(tmp_path))
        with pytest.raises(ConfigError):
            await Member(config_of(tmp_path, **ports)).start()
        assert is_free(client_port)
        assert is_free(peer_port)
        assert sorted(open_files_below(tmp_path)) == before
        assert await put_and_get(running) == b"1"
    async with Member(config_of(tmp_path, **ports)) as member:
        assert await put_and_get(member) == b"1"


async def test_a_damaged_log_leaves_nothing_open(tmp_path: Path) -> None:
    async with Member(config_of(tmp_path)) as member:
        for number in range(20):
            await put_and_get(member, b"%d" % number)
    (segment,) = (tmp_path / "member" / "wal").glob("*.wal")
    data = bytearray(segment.read_bytes())
    data[200] ^= 0xFF
    segment.write_bytes(data)
    failing = Member(config_of(tmp_path))
    with pytest.raises(CorruptionError):
        await failing.start()
    assert open_files_below(tmp_path) == []
    await failing.stop()


async def test_a_start_that_is_cancelled_leaves_nothing_open(tmp_path: Path) -> None:
    starting = asyncio.ensure_future(Member(config_of(tmp_path)).start())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert open_files_below(tmp_path) == []
    async with Member(config_of(tmp_path)) as member:
        assert await put_and_get(member) == b"1"


async def test_a_start_under_way_ends_when_the_member_is_stopped(tmp_path: Path) -> None:
    member = Member(config_of(tmp_path))
    starting = asyncio.ensure_future(member.start())
    while member._server is None:
        assert not starting.done()
        await asyncio.sleep(0)
    await asyncio.wait_for(member.stop(), DEADLINE_S)
    with pytest.raises(WireError):
        await asyncio.wait_for(starting, DEADLINE_S)
    assert open_files_below(tmp_path) == []


def break_log(member: Member) -> None:
    """From now on writes to the log fail: its descriptor is replaced by one that only reads."""
    wal = member.server._disk._wal
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, wal._fd)
    os.close(null)


async def test_wait_failed_tells_of_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    """The put that met it is not acknowledged, and nothing after it is."""
    async with Member(config_of(tmp_path)) as member:
        options = ClientOptions(timeout_s=1.0)
        async with Client(member.client_urls, options=options) as client:
            await client.kv.put(b"before", b"1")
            break_log(member)
            failed = asyncio.ensure_future(member.wait_failed())
            with pytest.raises(WireError):
                await client.kv.put(b"lost", b"1")
            with pytest.raises(KvorumError):
                await asyncio.wait_for(failed, DEADLINE_S)
            with pytest.raises(WireError, match="server stopped"):
                await client.kv.put(b"after", b"1")
    async with Member(config_of(tmp_path)) as member, Client(member.client_urls) as client:
        assert (await client.kv.get(b"before")).count == 1
        assert (await client.kv.get(b"after")).count == 0


async def test_a_log_that_fails_during_the_start_fails_the_start(
    tmp_path: Path,
) -> None:
    """The disk breaks between opening the log and the first entry of this start."""
    async with Member(config_of(tmp_path)):
        pass
    member = Member(config_of(tmp_path))
    starting = asyncio.ensure_future(member.start())
    while member._server is None:
        assert not starting.done()
        await asyncio.sleep(0)
    break_log(member)
    with pytest.raises(KvorumError):
        await asyncio.wait_for(starting, DEADLINE_S)
    assert open_files_below(tmp_path) == []


class Load:
    """Writers that put until the member is gone, and note how each put ended."""

    def __init__(self, member: Member) -> None:
        self.urls = member.client_urls
        self.acknowledged: dict[bytes, int] = {}
        self.errors: list[WireError] = []
        self.under_way = asyncio.Event()

    async def write(self, number: int) -> None:
        async with Client(self.urls, options=ClientOptions(timeout_s=2.0)) as client:
            count = 0
            while not self.errors:
                key = b"%d/%d" % (number, count)
                count += 1
                try:
                    self.acknowledged[key] = (await client.kv.put(key, b"")).header.revision
                except WireError as error:
                    self.errors.append(error)
                if len(self.acknowledged) >= 20 * WRITERS:
                    self.under_way.set()


async def test_a_stop_under_load_answers_or_fails_every_request(tmp_path: Path) -> None:
    """And what was acknowledged is there at the next start, at its revision."""
    member = Member(config_of(tmp_path))
    await member.start()
    load = Load(member)
    writers = [asyncio.ensure_future(load.write(number)) for number in range(WRITERS)]
    async with asyncio.timeout(DEADLINE_S):
        await load.under_way.wait()
        await member.stop()
        await asyncio.gather(*writers)
    assert load.errors
    assert open_files_below(tmp_path) == []
    async with Member(config_of(tmp_path)) as again, Client(again.client_urls) as client:
        found = await client.kv.get(b"0", range_end=b"\xff")
    there = {kv.key: kv.mod_revision for kv in found.kvs}
    assert {key: there.get(key) for key in load.acknowledged} == load.acknowledged


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Member]:
    member = Member(config_of(tmp_path))
    await member.start()
    yield member
    await member.stop()


async def test_a_stop_ends_watches(watched: Member) -> None:
    options = ClientOptions(timeout_s=2.0)
    async with Client(watched.client_urls, options=options) as client:
        await client.kv.put(b"a", b"1")
        async with client.watch(b"a", start_revision=1) as watcher:
            response = await asyncio.wait_for(anext(aiter(watcher)), DEADLINE_S)
            assert response.events[0].kv.value == b"1"
            await asyncio.wait_for(watched.stop(), DEADLINE_S)
    assert all(is_free(int(url.rpartition(":")[2])) for url in watched.client_urls)
