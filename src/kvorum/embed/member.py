"""A whole member as an object.

    config = Config(data_dir="data", listen_client_urls=("http://127.0.0.1:0",))
    async with Member(config) as member:
        print(member.client_urls)

Opening binds the ports first, then the files, so that a port in use is told before anything is
written; the client port answers when the member has a leader and has published itself.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from typing import Final

from kvorum.cluster.urls import parse_url, with_port
from kvorum.embed.config import Config
from kvorum.embed.config_cluster import founding_cluster
from kvorum.embed.logging import stdlib_logger
from kvorum.rpc.app import client_services
from kvorum.rpc.frames import HEAD_BYTES
from kvorum.rpc.http import client_app, peer_app
from kvorum.rpc.http2.connection import Limits
from kvorum.rpc.http2.pings import KeepAlive
from kvorum.rpc.listener import Listener, bind
from kvorum.server.api import MemberApi
from kvorum.server.log import Logger
from kvorum.server.member import EtcdServer
from kvorum.server.opening import open_member
from kvorum.server.options import ServerOptions

GC_THRESHOLDS: Final = (50_000, 20, 50)
"""Young collections are rare and old ones rarer: what a request makes dies by reference count."""

LEASE_CHECKPOINT_INTERVAL_S: Final = 300.0
"""Source: etcd server/lease (defaultLeaseCheckpointInterval)."""

STREAM_WINDOW_MIN: Final = 4 * 1024 * 1024
"""What a client may send ahead on one stream; a whole message at least."""

SWITCH_INTERVAL_S: Final = 0.001
"""The log's and the committer's threads want the interpreter for short turns; at the default of
5 ms a commit of 10,000 rows beside a busy loop takes 500 to 900 ms, at 1 ms 130 to 190."""

LOCALHOST: Final = "localhost"


class Member:
    """One member. `start` and `stop`, or an `async with` block, run it on the current loop.

    Args:
        config: see `kvorum.embed.config.Config`.
        log: where it tells what happens; None: the standard library's logger `kvorum`.
    """

    def __init__(self, config: Config, log: Logger | None = None) -> None:
        self.config = config
        self.log = log or stdlib_logger()
        self.client_urls: tuple[str, ...] = ()
        """What it listens on, with the ports that were bound."""
        self._server: EtcdServer | None = None
        self._listeners: list[Listener] = []

    async def __aenter__(self) -> Member:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def server(self) -> EtcdServer:
        """The running server.

        Raises:
            RuntimeError: the member has not been started.
        """
        if self._server is None:
            raise RuntimeError("the member is not running: start it first")
        return self._server

    @property
    def id(self) -> int:
        return self.server.member_id

    async def start(self) -> None:
        """Return when clients are served.

        Raises:
            ConfigError: a port or the data directory cannot be used.
            CorruptionError: something in the data directory is damaged.
        """
        config, log = self.config, self.log
        log.info("configuring peer listeners", listen_peer_urls=config.listen_peer_urls)
        peer_sockets, _ = _bind_all(config.listen_peer_urls)
        try:
            log.info("configuring client listeners", listen_client_urls=config.listen_client_urls)
            client_sockets, self.client_urls = _bind_all(config.listen_client_urls)
        except BaseException:
            _close_all(peer_sockets)
            raise
        try:
            await self._start_server(peer_sockets, client_sockets)
        except BaseException:
            await self.stop()
            _close_all([*peer_sockets, *client_sockets])
            raise

    async def _start_server(
        self, peer_sockets: list[socket.socket], client_sockets: list[socket.socket]
    ) -> None:
        config, log = self.config, self.log
        log.info(
            "starting an etcd server",
            etcd_version=str(config.server_version),
            name=config.name,
            data_dir=str(config.data_path),
            wal_dir=str(config.wal_path),
            snapshot_count=config.snapshot_count,
            heartbeat_interval=f"{config.heartbeat_interval_ms}ms",
            election_timeout=f"{config.election_timeout_ms}ms",
            listen_client_urls=list(config.listen_client_urls),
            advertise_client_urls=list(config.advertise_client_urls),
        )
        options = server_options(config, self.client_urls)
        server = self._server = _open_server(options, log)
        api = MemberApi(server)
        peer = Listener(peer_sockets, peer_app(api), None, log=log)
        self._listeners.append(peer)
        await peer.start()
        await server.start()
        services = client_services(api, message_bytes_max=options.message_bytes_max, log=log)
        client = Listener(
            client_sockets,
            client_app(api),
            services,
            limits=Limits(
                concurrent_streams=config.max_concurrent_streams,
                stream_window=max(STREAM_WINDOW_MIN, services.size_max + HEAD_BYTES),
            ),
            keep_alive=KeepAlive(
                min_time_s=config.grpc_keepalive_min_time_s,
                interval_s=config.grpc_keepalive_interval_s,
                timeout_s=config.grpc_keepalive_timeout_s,
            ),
            log=log,
        )
        self._listeners.append(client)
        await client.start()
        log.info("ready to serve client requests")
        for url in self.client_urls:
            log.info(
                "serving client traffic insecurely; this is strongly discouraged!",
                traffic="grpc+http",
                address=parse_url(url).address,
            )

    async def stop(self) -> None:
        """Stop serving, write down what is applied, close the files. A second call does nothing."""
        server, self._server = self._server, None
        if server is None:
            return
        self.log.info("closing etcd server", name=self.config.name)
        server.stopping.set()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            await listener.stop()
        await server.stop()
        self.log.info("closed etcd server", name=self.config.name)

    async def wait_failed(self) -> None:
        """Wait for an error that ends the member (a disk that fails), and raise it."""
        await asyncio.shield(self.server.failed)


def _open_server(options: ServerOptions, log: Logger) -> EtcdServer:
    """Open the data, and keep the interpreter out of the way of requests from then on.

    What is read back stays: looking for garbage in it would double the time of a start. And what a
    request makes dies by its reference count. A host program lives well with both settings.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.disable()
    try:
        opened = open_member(options, log)
        try:
            return EtcdServer(options, opened, log)
        except BaseException:
            opened.close()
            raise
    finally:
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        gc.enable()


def server_options(config: Config, client_urls: tuple[str, ...]) -> ServerOptions:
    """The server's options, from the configuration and the ports that were bound."""
    advertised = config.advertise_client_urls
    if any(parse_url(url).port == 0 for url in advertised):
        advertised = client_urls
    checkpoint_s = LEASE_CHECKPOINT_INTERVAL_S if config.lease_checkpoint else None
    return ServerOptions(
        name=config.name,
        data_dir=config.data_path,
        wal_dir=config.wal_path,
        founding=lambda: founding_cluster(config),
        client_urls=advertised,
        heartbeat_interval_s=config.heartbeat_interval_ms / 1000,
        election_ticks=config.election_ticks,
        initial_election_tick_advance=config.initial_election_tick_advance,
        pre_vote=config.pre_vote,
        snapshot_count=config.snapshot_count,
        snapshot_catchup_entries=config.snapshot_catchup_entries,
        max_snapshots=config.max_snapshots,
        max_wals=config.max_wals,
        fsync=not config.unsafe_no_fsync,
        quota_bytes=config.quota_bytes or 0,
        batch_interval_s=config.backend_batch_interval_s,
        batch_limit=config.backend_batch_limit,
        compaction_batch_limit=config.compaction_batch_limit,
        compaction_sleep_s=config.compaction_sleep_interval_s,
        max_txn_ops=config.max_txn_ops,
        max_request_bytes=config.max_request_bytes,
        watch_progress_interval_s=config.watch_progress_notify_interval_s,
        lease_checkpoint_interval_s=checkpoint_s,
        lease_checkpoint_persist=config.lease_checkpoint_persist,
        version=config.server_version,
    )


def _bind_all(urls: tuple[str, ...]) -> tuple[list[socket.socket], tuple[str, ...]]:
    """A listening socket for each URL, and the URLs with their real ports."""
    sockets: list[socket.socket] = []
    bound: list[str] = []
    try:
        for text in urls:
            url = parse_url(text)
            host = "127.0.0.1" if url.host == LOCALHOST else url.host
            listener = bind(host, url.port)
            sockets.append(listener)
            bound.append(with_port(text, listener.getsockname()[1]))
    except BaseException:
        _close_all(sockets)
        raise
    return sockets, tuple(bound)


def _close_all(sockets: list[socket.socket]) -> None:
    for listener in sockets:
        listener.close()


__all__ = ["Config", "Member", "server_options"]
