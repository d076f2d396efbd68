"""Traces by OpenTelemetry (`--enable-distributed-tracing`): a span for each gRPC call.

Spans go to a collector by OTLP over gRPC, in batches, from a thread of their own; when they come
faster than the collector takes them, spans are dropped. Like etcd's, a member tells of calls whose
caller is traced and sampled (header `traceparent`), and of so many in a million of the others as
`--distributed-tracing-sampling-rate` says. The packages needed are those of the extra
`kvorum[tracing]`; they are imported here and only when they are used.

Source: etcd server/embed/config_tracing.go; names and attributes: otelgrpc.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kvorum.embed.config_check import SAMPLING_RATE_MAX
from kvorum.errors import Code, ConfigError

if TYPE_CHECKING:
    from kvorum.embed.config import Config
    from kvorum.rpc.http2.hpack import Headers
    from kvorum.server.log import Logger

EXPORT_TIMEOUT_S: Final = 5
CLOSE_TIMEOUT_S: Final = 3.0
"""How long the end of a member waits for its last spans."""

_FAULTS: Final = frozenset(
    {
        Code.UNKNOWN,
        Code.DEADLINE_EXCEEDED,
        Code.UNIMPLEMENTED,
        Code.INTERNAL,
        Code.UNAVAILABLE,
        Code.DATA_LOSS,
    }
)
"""Statuses that make a span of a server a failed one."""
_PROPAGATED: Final = (b"traceparent", b"tracestate", b"baggage")


class Tracing:
    """An open way to a collector.

    Attributes:
        tracer: what calls are told to.
    """

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self.tracer = OtelTracer(provider.get_tracer("kvorum"))

    async def close(self) -> None:
        """Send what is left, if it can be sent in time."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            if not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

        # A thread of its own: those of the loop's executor are waited for at the program's end.
        threading.Thread(target=shut_down, name="kvorum-tracing", daemon=True).start()
        try:
            await asyncio.wait_for(done.wait(), CLOSE_TIMEOUT_S)
        except TimeoutError:
            return


class OtelTracer:
    """See `kvorum.rpc.tracing.Tracer`."""

    def __init__(self, tracer: Any) -> None:
        from opentelemetry.baggage.propagation import W3CBaggagePropagator  # noqa: PLC0415
        from opentelemetry.propagators.composite import CompositePropagator  # noqa: PLC0415
        from opentelemetry.trace import SpanKind  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        self._tracer = tracer
        self._kind = SpanKind.SERVER
        self._propagator = CompositePropagator(
            [TraceContextTextMapPropagator(), W3CBaggagePropagator()]
        )
        self._common: dict[str, Mapping[str, str]] = {}

    def start(self, path: str, headers: Headers, remote: str) -> OtelSpan:
        context = None
        carrier = {
            key.decode(): value.decode("latin-1") for key, value in headers if key in _PROPAGATED
        }
        if carrier:
            context = self._propagator.extract(carrier)
        attributes = self._common.get(path) or self._attributes(path)
        span = self._tracer.start_span(
            path[1:], context=context, kind=self._kind, attributes=attributes
        )
        if remote and span.is_recording():
            host, _, port = remote.rpartition(":")
            span.set_attribute("net.sock.peer.addr", host.strip("[]"))
            span.set_attribute("net.sock.peer.port", int(port))
        return OtelSpan(span)

    def _attributes(self, path: str) -> Mapping[str, str]:
        _, service, method = path.split("/")
        found = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
        self._common[path] = found
        return found


class OtelSpan:
    """See `kvorum.rpc.tracing.Span`."""

    __slots__ = ("_span",)

    def __init__(self, span: Any) -> None:
        self._span = span

    def end(self, status: int, message: str = "") -> None:
        from opentelemetry.trace import StatusCode  # noqa: PLC0415

        span = self._span
        if span.is_recording():
            span.set_attribute("rpc.grpc.status_code", int(status))
            if status in _FAULTS:
                span.set_status(StatusCode.ERROR, message)
        span.end()


def open_tracing(config: Config, log: Logger) -> Tracing | None:
    """What the configuration asks for; None: no tracing.

    Raises:
        ConfigError: the packages for it are not installed.
    """
    if not config.enable_distributed_tracing:
        return None
    try:
        provider = _provider(config)
    except ImportError as error:
        raise ConfigError(
            "--enable-distributed-tracing needs the packages of OpenTelemetry: "
            f"pip install 'kvorum[tracing]' ({error})"
        ) from error
    log.info(
        "distributed tracing setup enabled",
        address=config.distributed_tracing_address,
        service_name=config.distributed_tracing_service_name,
        service_instance_id=config.distributed_tracing_instance_id,
        sampling_rate=config.distributed_tracing_sampling_rate,
    )
    return Tracing(provider)


def _provider(config: Config) -> Any:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import (  # noqa: PLC0415
        ALWAYS_OFF,
        ParentBased,
        TraceIdRatioBased,
    )

    attributes = {"service.name": config.distributed_tracing_service_name}
    if config.distributed_tracing_instance_id:
        attributes["service.instance.id"] = config.distributed_tracing_instance_id
    rate = config.distributed_tracing_sampling_rate / SAMPLING_RATE_MAX
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(rate) if rate else ALWAYS_OFF),
        resource=Resource(attributes),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(
        endpoint=config.distributed_tracing_address, insecure=True, timeout=EXPORT_TIMEOUT_S
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
