"""Traces, as a collector of OpenTelemetry gets them from a member."""

from __future__ import annotations

import asyncio
import builtins
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kvorum.client import Client
from kvorum.embed import Config, Member
from kvorum.embed.tracing import OtelTracer
from kvorum.errors import Code, ConfigError
from kvorum.proto.rpc_pb2 import PutRequest, PutResponse
from tests.servers import free_port

ANY_PORT = ("http://127.0.0.1:0",)
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
DEADLINE_S = 20.0
EVERY_CALL = 1_000_000
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Collector:
    """A server that keeps what it is sent."""

    address: str = ""
    spans: list[Span] = field(default_factory=list)
    resource: dict[str, Any] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def export(self, request: ExportTraceServiceRequest, _: Any) -> ExportTraceServiceResponse:
        with self.changed:
            for part in request.resource_spans:
                self.resource = values(part.resource.attributes)
                for scope in part.scope_spans:
                    self.spans += scope.spans
            self.changed.notify_all()
        return ExportTraceServiceResponse()

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


def values(attributes: Any) -> dict[str, Any]:
    def value(one: KeyValue) -> Any:
        return getattr(one.value, one.value.WhichOneof("value") or "string_value")

    return {one.key: value(one) for one in attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    handler = grpc.unary_unary_rpc_method_handler(
        found.export,
        request_deserializer=ExportTraceServiceRequest.FromString,
        response_serializer=ExportTraceServiceResponse.SerializeToString,
    )
    service, method = EXPORT[1:].split("/")
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    found.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield found
    server.stop(None).wait(DEADLINE_S)


def config_of(data_dir: Path, address: str, **more: Any) -> Config:
    return Config(
        data_dir=data_dir,
        listen_client_urls=ANY_PORT,
        listen_peer_urls=ANY_PORT,
        unsafe_no_fsync=True,
        enable_distributed_tracing=True,
        distributed_tracing_address=address,
        **more,
    )


async def put(member: Member, headers: Mapping[str, str], key: bytes = b"k") -> None:
    target = member.client_urls[0].removeprefix("http://")
    async with grpc.aio.insecure_channel(target) as channel:
        call = channel.unary_unary(
            "/etcdserverpb.KV/Put",
            request_serializer=PutRequest.SerializeToString,
            response_deserializer=PutResponse.FromString,
        )
        await call(PutRequest(key=key), metadata=tuple(headers.items()))


async def test_a_call_makes_a_span_with_the_names_that_stocks_has(
    tmp_path: Path, collector: Collector
) -> None:
    config = config_of(
        tmp_path,
        collector.address,
        distributed_tracing_sampling_rate=EVERY_CALL,
        distributed_tracing_service_name="cluster-a",
        distributed_tracing_instance_id="m1",
    )
    async with Member(config) as member:
        await put(member, {})
    (span,) = collector.named("etcdserverpb.KV/Put")
    attributes = values(span.attributes)
    assert attributes.pop("net.sock.peer.addr") == "127.0.0.1"
    assert attributes.pop("net.sock.peer.port") > 0
    assert attributes == {
        "rpc.system": "grpc",
        "rpc.service": "etcdserverpb.KV",
        "rpc.method": "Put",
        "rpc.grpc.status_code": 0,
    }
    assert span.kind == Span.SPAN_KIND_SERVER
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < DEADLINE_S * 1e9
    assert collector.resource == {"service.name": "cluster-a", "service.instance.id": "m1"}


async def test_only_calls_of_traced_callers_are_told_by_default(
    tmp_path: Path, collector: Collector
) -> None:
    async with Member(config_of(tmp_path, collector.address)) as member:
        await put(member, {})
        await put(member, {"traceparent": PARENT})
        await put(member, {"traceparent": PARENT[:-1] + "0"})
    (span,) = collector.named("etcdserverpb.KV/Put")
    assert span.trace_id.hex() == PARENT.split("-")[1]
    assert span.parent_span_id.hex() == PARENT.split("-")[2]


async def test_refusals_have_their_status(tmp_path: Path, collector: Collector) -> None:
    config = config_of(tmp_path, collector.address, distributed_tracing_sampling_rate=EVERY_CALL)
    async with Member(config) as member:
        with pytest.raises(grpc.aio.AioRpcError):
            await put(member, {}, key=b"")
    (refused,) = collector.named("etcdserverpb.KV/Put")
    assert values(refused.attributes)["rpc.grpc.status_code"] == Code.INVALID_ARGUMENT
    assert refused.status.code == Status.STATUS_CODE_UNSET


@pytest.mark.parametrize(
    ("status", "failed"), [(0, False), (3, False), (5, False), (2, True), (13, True), (14, True)]
)
def test_a_fault_of_the_server_makes_a_failed_span(status: int, failed: bool) -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    OtelTracer(provider.get_tracer("test")).start("/a.B/C", (), "[::1]:7").end(status, "why")
    (span,) = kept.get_finished_spans()
    assert span.status.is_ok is not failed
    assert span.status.description == ("why" if failed else None)
    assert span.attributes is not None
    assert span.attributes["net.sock.peer.addr"] == "::1"


async def test_calls_that_stream_and_calls_of_the_gateway_are_told_too(
    tmp_path: Path, collector: Collector
) -> None:
    config = config_of(tmp_path, collector.address, distributed_tracing_sampling_rate=EVERY_CALL)
    async with Member(config) as member:
        async with Client(member.client_urls) as client:
            async for _ in client.maintenance.snapshot():
                pass
        host, _, port = member.client_urls[0].removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Content-Length: 14\r\n\r\n" + b'{"key":"Zm9v"}'
        )
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
        writer.close()
    assert collector.named("etcdserverpb.Maintenance/Snapshot")
    assert collector.named("etcdserverpb.KV/Range")


async def test_a_collector_that_is_not_there_harms_nobody(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    config = config_of(tmp_path, address, distributed_tracing_sampling_rate=EVERY_CALL)
    member = Member(config)
    await member.start()
    async with Client(member.client_urls) as client:
        for _ in range(20):
            await client.kv.put(b"k", b"v")
    async with asyncio.timeout(DEADLINE_S):
        await member.stop()


@pytest.mark.parametrize(
    ("rate", "reason"),
    [
        (-1, "tracing sampling rate must be positive"),
        (1_000_001, "tracing sampling rate must be less than 1000000"),
    ],
)
def test_a_rate_that_cannot_be_is_refused_in_stocks_words(rate: int, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(enable_distributed_tracing=True, distributed_tracing_sampling_rate=rate)
    assert str(caught.value) == f"distributed tracing configurition is not valid: ({reason})"
    assert Config(distributed_tracing_sampling_rate=rate)


async def test_without_its_packages_it_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'kvorum\[tracing\]'"):
        await Member(config_of(tmp_path, "127.0.0.1:1")).start()
