"""RangeStream of a whole member, as the client library uses it."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest

from kvorum.client import Client
from kvorum.embed import Config, Member
from kvorum.errors import Code, CompactedError, FutureRevisionError, StatusError
from kvorum.proto.rpc_pb2 import RangeRequest, RangeResponse
from kvorum.proto.versions import Version
from kvorum.rpc.metrics.calls import CallFigures
from tests.servers import Server, start_server

ANY_PORT = ("http://127.0.0.1:0",)
ALL = RangeRequest(key=b"\0", range_end=b"\0")
MIB = 1 << 20


def config_of(data_dir: Path, version: str = "3.7") -> Config:
    return Config(
        data_dir=data_dir,
        listen_client_urls=ANY_PORT,
        listen_peer_urls=ANY_PORT,
        unsafe_no_fsync=True,
        emulated_version=version,
    )


async def test_a_stream_gives_what_a_range_gives_with_the_header_at_the_end(tmp_path: Path) -> None:
    async with Member(config_of(tmp_path)) as member, Client(member.client_urls) as client:
        for number in range(50):
            await client.kv.put(b"k%02d" % number, b"v")
        pieces = [piece async for piece in client.kv.range_stream(ALL)]
        whole = RangeResponse()
        for piece in pieces:
            whole.MergeFrom(piece)
        assert whole == await client.kv.range(ALL)
        assert [piece.HasField("header") for piece in pieces] == [False, False, True]


async def test_a_compaction_ends_a_stream_under_way(tmp_path: Path) -> None:
    async with Member(config_of(tmp_path)) as member, Client(member.client_urls) as client:
        value = b"v" * MIB
        for number in range(40):
            await client.kv.put(b"k%02d" % number, value)
        async with aclosing(client.kv.range_stream(ALL)) as stream:
            await anext(stream)
            put = await client.kv.put(b"x", b"")
            await client.kv.compact(put.header.revision)
            with pytest.raises(CompactedError):
                async for _ in stream:
                    pass


async def test_a_revision_of_the_future_is_refused(tmp_path: Path) -> None:
    async with Member(config_of(tmp_path)) as member, Client(member.client_urls) as client:
        with pytest.raises(FutureRevisionError):
            await anext(client.kv.range_stream(RangeRequest(key=b"k", revision=9)))


async def test_a_member_of_an_older_version_does_not_know_it(tmp_path: Path) -> None:
    async with Member(config_of(tmp_path, "3.6")) as member, Client(member.client_urls) as client:
        with pytest.raises(StatusError) as caught:
            await anext(client.kv.range_stream(ALL))
    assert caught.value.status == Code.UNIMPLEMENTED
    assert caught.value.message == "unknown method RangeStream for service etcdserverpb.KV"


def test_its_figures_are_shown_by_the_versions_that_have_it() -> None:
    labels = ("RangeStream", "etcdserverpb.KV", "server_stream")
    for version, shown in ((Version(3, 6), False), (Version(3, 7), True)):
        started = CallFigures(version=version).values()["grpc_server_started_total"]
        assert isinstance(started, dict)
        assert (labels in started) is shown


def own_memory_bytes(server: Server) -> int:
    """What the process has in memory besides the pages of its files."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


@pytest.mark.slow
async def test_the_memory_of_a_member_stays_flat_however_much_is_streamed() -> None:
    with start_server(extra_flags=["--emulated-version=3.7", "--unsafe-no-fsync"]) as server:
        async with Client([server.target]) as client:
            for number in range(120):
                await client.kv.put(b"k%03d" % number, bytes([number]) * MIB)
            before = peak = own_memory_bytes(server)
            received = 0
            async for piece in client.kv.range_stream(ALL):
                received += sum(len(kv.value) for kv in piece.kvs)
                peak = max(peak, own_memory_bytes(server))
            assert received == 120 * MIB
            assert peak - before < 40 * MIB
