"""The ports of a member: what is bound, and what answers on each.

peer      other members
client    gRPC and plain HTTP; gRPC alone when there are ports for HTTP
http      plain HTTP for clients (`--listen-client-http-urls`)
metrics   probes and metrics (`--listen-metrics-urls`)
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Final, Protocol

from kvorum.cluster.urls import parse_url, with_port
from kvorum.embed.config import Config
from kvorum.embed.tracing import open_tracing
from kvorum.rpc.access import Access
from kvorum.rpc.app import ServerPort, client_services
from kvorum.rpc.endpoints.app import Endpoints
from kvorum.rpc.frames import HEAD_BYTES
from kvorum.rpc.gateway.gateway import Gateway
from kvorum.rpc.http2.connection import Limits
from kvorum.rpc.http2.pings import KeepAlive
from kvorum.rpc.listener import Listener, bind
from kvorum.rpc.metrics.calls import CallFigures
from kvorum.rpc.metrics.slow_calls import SlowCalls
from kvorum.server.log import Level, Logger
from kvorum.server.ports import ProbePort

UNHEARD_MS_MAX: Final = 5_000
"""A connection from another member, on which that acknowledges nothing for so long, breaks. It has
given the connection up after as much silence (`PeerOptions.read_timeout_s`) while the network was
cut; without this, messages would wait on it until TCP tries again, long after the network is whole.
Accepted sockets have it from the one that listens."""
STREAM_WINDOW_MIN: Final = 4 * 1024 * 1024
"""What a client may send ahead on one stream; a whole message at least."""
LOCALHOST: Final = "localhost"
METRICS_EXTENSIVE: Final = "extensive"


class MemberPort(ServerPort, ProbePort, Protocol):
    """Everything that the ports ask of a member."""


class Sockets:
    """Bound sockets of each kind, and their URLs with the ports that were bound."""

    def __init__(self, config: Config, log: Logger) -> None:
        """Bind them.

        Raises:
            ConfigError: an address cannot be had; nothing stays bound.
        """
        self._all: list[socket.socket] = []
        self._reuse_port = config.socket_reuse_port
        try:
            log.info("configuring peer listeners", listen_peer_urls=config.listen_peer_urls)
            self.peer, self.peer_urls = self._bind(config.listen_peer_urls)
            for listener in self.peer:
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD_MS_MAX)
            log.info("configuring client listeners", listen_client_urls=config.listen_client_urls)
            self.client, self.client_urls = self._bind(config.listen_client_urls)
            self.http, self.http_urls = self._bind(config.listen_client_http_urls)
            self.metrics, self.metrics_urls = self._bind(config.listen_metrics_urls)
        except BaseException:
            self.close()
            raise

    def _bind(self, urls: Iterable[str]) -> tuple[list[socket.socket], tuple[str, ...]]:
        sockets: list[socket.socket] = []
        bound: list[str] = []
        for text in urls:
            url = parse_url(text)
            host = "127.0.0.1" if url.host == LOCALHOST else url.host
            listener = bind(host, url.port, reuse_port=self._reuse_port)
            self._all.append(listener)
            sockets.append(listener)
            bound.append(with_port(text, listener.getsockname()[1]))
        return sockets, tuple(bound)

    def close(self) -> None:
        for listener in self._all:
            listener.close()


class Serving:
    """What answers on a member's ports for clients and for metrics.

    Attributes:
        metrics: listens on the metrics ports; started before the member is ready.
        client: the listeners for clients.
    """

    def __init__(
        self, config: Config, sockets: Sockets, api: MemberPort, size_max: int, log: Logger
    ) -> None:
        self._log = log
        self._sockets = sockets
        calls = CallFigures(
            extensive=config.metrics == METRICS_EXTENSIVE,
            warning_s=config.warning_unary_request_duration_s,
            slow=SlowCalls(log, config.warning_unary_request_duration_s),
            version=config.server_version,
        )
        calls.tell_all(log.level <= Level.DEBUG)
        self._tracing = open_tracing(config, log)
        self.services = client_services(
            api,
            message_bytes_max=size_max,
            log=log,
            figures=calls,
            version=config.server_version,
            tracer=self._tracing.tracer if self._tracing is not None else None,
        )
        self._endpoints = Endpoints(
            api,
            log,
            calls.values,
            version=config.server_version,
            pprof=config.enable_pprof,
            on_log_level=lambda level: calls.tell_all(level <= Level.DEBUG),
        )
        self.metrics = Listener(sockets.metrics, self._endpoints.metrics, None, log=log)
        self.client = self._client_listeners(config)

    def _client_listeners(self, config: Config) -> list[Listener]:
        app, log, sockets = self._endpoints.client, self._log, self._sockets
        gateway = Gateway(self.services, config.server_version)
        enabled = gateway if config.enable_grpc_gateway else None
        access = Access(config.cors, config.host_whitelist)
        apart = bool(sockets.http)
        keep_alive = KeepAlive(
            min_time_s=config.grpc_keepalive_min_time_s,
            interval_s=config.grpc_keepalive_interval_s,
            timeout_s=config.grpc_keepalive_timeout_s,
        )
        limits = Limits(
            concurrent_streams=config.max_concurrent_streams,
            stream_window=max(STREAM_WINDOW_MIN, self.services.size_max + HEAD_BYTES),
        )
        found = [
            Listener(
                sockets.client,
                None if apart else app,
                self.services,
                gateway=enabled,
                access=access,
                limits=limits,
                keep_alive=keep_alive,
                log=log,
            )
        ]
        if apart:
            http = Listener(sockets.http, app, None, gateway=enabled, access=access, log=log)
            found.append(http)
        return found

    async def start_metrics(self) -> None:
        """Serve probes and metrics: also while the member is not ready, which they tell."""
        self._endpoints.pauses.start()
        await self.metrics.start()
        for url in self._sockets.metrics_urls:
            self._log.info("serving metrics", address=url)

    async def start_clients(self) -> None:
        for listener in self.client:
            await listener.start()
        self._log.info("ready to serve client requests")
        apart = bool(self._sockets.http)
        for traffic, urls in (
            ("grpc" if apart else "grpc+http", self._sockets.client_urls),
            ("http", self._sockets.http_urls),
        ):
            for url in urls:
                self._log.info(
                    "serving client traffic insecurely; this is strongly discouraged!",
                    traffic=traffic,
                    address=parse_url(url).address,
                )

    async def stop(self) -> None:
        """Stop serving; requests under way are let end for a while."""
        self._endpoints.pauses.stop()
        for listener in (*self.client, self.metrics):
            await listener.stop()
        if self._tracing is not None:
            await self._tracing.close()
