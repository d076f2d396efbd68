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
import stat
import sys
from functools import partial
from pathlib import Path
from typing import Final

from kvorum.cluster.urls import parse_url
from kvorum.embed.config import Config
from kvorum.embed.config_check import V2_KEEP_ASIDE
from kvorum.embed.config_cluster import founding_cluster
from kvorum.embed.config_gates import features
from kvorum.embed.joining import Founding, find_founding
from kvorum.embed.logging import stdlib_logger
from kvorum.embed.memory import lock_memory
from kvorum.embed.network import PeerNetwork
from kvorum.embed.serving import Serving, Sockets
from kvorum.peer.metrics import peer_values
from kvorum.peer.service import PeerService
from kvorum.rpc.http import nothing_here
from kvorum.rpc.listener import Listener
from kvorum.server.api import MemberApi
from kvorum.server.log import Logger
from kvorum.server.member import EtcdServer
from kvorum.server.opening import DIRECTORY_MODE, open_member
from kvorum.server.options import ServerOptions
from kvorum.server.peer_api import PeerApi
from kvorum.server.quota import log_quota

GC_THRESHOLDS: Final = (50_000, 20, 50)
"""Young collections are rare and old ones rarer: what a request makes dies by reference count."""

LEASE_CHECKPOINT_INTERVAL_S: Final = 300.0
"""Source: etcd server/lease (defaultLeaseCheckpointInterval)."""

MIB: Final = 1 << 20

SWITCH_INTERVAL_S: Final = 0.001
"""The log's and the committer's threads want the interpreter for short turns; at the default of
5 ms a commit of 10,000 rows beside a busy loop takes 500 to 900 ms, at 1 ms 130 to 190."""


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
        self.http_urls: tuple[str, ...] = ()
        self.metrics_urls: tuple[str, ...] = ()
        self._server: EtcdServer | None = None
        self._peer: Listener | None = None
        self._serving: Serving | None = None

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
        if config.memory_mlock:
            lock_memory()
        sockets = Sockets(config, log)
        self.client_urls = sockets.client_urls
        self.http_urls, self.metrics_urls = sockets.http_urls, sockets.metrics_urls
        try:
            await self._start_server(sockets)
        except BaseException:
            await self.stop()
            sockets.close()
            raise

    async def _start_server(self, sockets: Sockets) -> None:
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
            quota_backend_bytes=config.quota_backend_bytes,
            auto_compaction_mode=config.auto_compaction_mode,
            auto_compaction_retention=config.auto_compaction_retention,
            listen_client_urls=list(config.listen_client_urls),
            advertise_client_urls=list(config.advertise_client_urls),
        )
        warn_of_permissions(config.data_path, log)
        founding = await find_founding(config, log)
        options = server_options(config, self.client_urls, founding)
        log_quota(log, config.quota_backend_bytes, config.quota_bytes)
        server, network = _open_server(config, options, log)
        self._server = server
        api = MemberApi(server)
        service = PeerService(network.transport, server.inbox, PeerApi(server, api), log)
        server.counters.sources.append(partial(peer_values, network.transport, service.figures))
        peer = self._peer = Listener(sockets.peer, nothing_here, None, gateway=service, log=log)
        serving = self._serving = Serving(config, sockets, api, options.message_bytes_max, log)
        server.leadership.on_leader_lost = serving.services.finish_leaderless
        await peer.start()
        await serving.start_metrics()
        await server.start()
        await serving.start_clients()

    async def stop(self) -> None:
        """Stop serving, write down what is applied, close the files. A second call does nothing."""
        server, self._server = self._server, None
        if server is None:
            return
        self.log.info("closing etcd server", name=self.config.name)
        await server.leave()
        if self._serving is not None:
            await self._serving.stop()  # first: requests under way end with the others' help
        server.stopping.set()
        server.transport.stop()
        if self._peer is not None:
            await self._peer.stop()
        await server.stop()
        self.log.info("closed etcd server", name=self.config.name)

    async def wait_failed(self) -> None:
        """Wait for an error that ends the member (a disk that fails), and raise it."""
        await asyncio.shield(self.server.failed)


def warn_of_permissions(directory: Path, log: Logger) -> None:
    """Tell that a data directory is open to others; what we make ourselves is not."""
    try:
        mode = directory.stat().st_mode
    except OSError:
        return  # there is none yet, or opening it says what is wrong
    if stat.S_IMODE(mode) != DIRECTORY_MODE:
        log.warn(
            "check file permission",
            error=f'directory "{directory}" exist, but the permission is "{stat.filemode(mode)}". '
            'The recommended permission is "-rwx------" to prevent possible unprivileged access '
            "to the data",
        )


def _open_server(
    config: Config, options: ServerOptions, log: Logger
) -> tuple[EtcdServer, PeerNetwork]:
    """Open the data, and keep the interpreter out of the way of requests from then on.

    What is read back stays: looking for garbage in it would double the time of a start. And what a
    request makes dies by its reference count. A host program lives well with both settings.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.disable()
    try:
        opened = open_member(options, log)
        try:
            network = PeerNetwork(config, opened.member_id, opened.cluster.id, log)
            return EtcdServer(options, opened, log, network), network
        except BaseException:
            opened.close()
            raise
    finally:
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        gc.enable()


def server_options(
    config: Config, client_urls: tuple[str, ...], founding: Founding | None = None
) -> ServerOptions:
    """The server's options, from the configuration and the ports that were bound.

    Args:
        config: checked.
        client_urls: what the client port listens on.
        founding: what a member without data starts from; None: what the flags say, unasked.
    """
    advertised = config.advertise_client_urls
    if any(parse_url(url).port == 0 for url in advertised):
        advertised = client_urls
    checkpoint_s = LEASE_CHECKPOINT_INTERVAL_S if config.lease_checkpoint else None
    return ServerOptions(
        name=config.name,
        data_dir=config.data_path,
        wal_dir=config.wal_path,
        founding=founding or (lambda: founding_cluster(config)),
        joins=config.initial_cluster_state == "existing",
        force_new_cluster=config.force_new_cluster,
        client_urls=advertised,
        heartbeat_interval_s=config.heartbeat_interval_ms / 1000,
        election_ticks=config.election_ticks,
        initial_election_tick_advance=config.initial_election_tick_advance,
        pre_vote=config.pre_vote,
        strict_reconfig_check=config.strict_reconfig_check,
        max_learners=config.max_learners,
        initial_corrupt_check=config.initial_corrupt_check,
        corrupt_check_s=config.corrupt_check_time_s,
        compact_hash_check=config.compact_hash_check,
        compact_hash_check_s=config.compact_hash_check_time_s,
        downgrade_check_s=config.downgrade_check_time_s,
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
        retention=config.retention,
        stops_serving_on_defrag=config.stop_grpc_service_on_defrag,
        defrag_at_start_bytes=config.bootstrap_defrag_threshold_mb * MIB,
        max_txn_ops=config.max_txn_ops,
        max_request_bytes=config.max_request_bytes,
        watch_progress_interval_s=config.watch_progress_notify_interval_s,
        lease_checkpoint_interval_s=checkpoint_s,
        lease_checkpoint_persist=config.lease_checkpoint_persist,
        version=config.server_version,
        warning_apply_s=config.warning_apply_duration_s,
        features=features(config),
        skip_v2_check=config.v2_deprecation == V2_KEEP_ASIDE,
    )


__all__ = ["Config", "Member", "server_options"]
