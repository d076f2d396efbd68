"""The client: endpoints on one side, keys, watches, leases and the rest on the other.

async with Client(["10.0.0.1:2379", "10.0.0.2:2379"]) as client:
    await client.kv.put(b"greeting", b"hello")
    response = await client.kv.get(b"greeting")
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Self

from kvorum.client.cluster import Cluster
from kvorum.client.endpoint import EndpointRing
from kvorum.client.kv import KV
from kvorum.client.lease import Leases
from kvorum.client.maintenance import Maintenance
from kvorum.client.options import ClientOptions, WatchLimits
from kvorum.client.session import TTL_S, Session
from kvorum.client.tls import TlsOptions
from kvorum.client.transport import Failure, Transport
from kvorum.client.watch_stream import WatchStream
from kvorum.client.watcher import Watcher
from kvorum.errors import WireError
from kvorum.proto.rpc_pb2 import WatchCreateRequest

DEFAULT_ENDPOINTS = ("127.0.0.1:2379",)


class Client:
    """A client of one cluster. Use it in one event loop; close it, or use it in `async with`.

    Args:
        endpoints: addresses of members; see `kvorum.client.endpoint` for how they are written.
        user, password: whom to be, when the cluster has authentication enabled.
        tls: files for TLS; needed only for own certificates.
        options: timeouts and limits.
        watch_limits: bounds of what is held for slow consumers of watches.
        on_failure: told of every unary call that failed and of every attempt that a member refused.

    Raises:
        ConfigError: no endpoint, or a TLS file that cannot be used.

    Nothing is connected until the first call. `options.auto_sync_interval_s` takes effect with
    `async with`.
    """

    def __init__(
        self,
        endpoints: Sequence[str] = DEFAULT_ENDPOINTS,
        *,
        user: str | None = None,
        password: str | None = None,
        tls: TlsOptions | None = None,
        options: ClientOptions | None = None,
        watch_limits: WatchLimits | None = None,
        on_failure: Callable[[Failure], None] | None = None,
    ) -> None:
        options = options or ClientOptions()
        self._transport = Transport(
            EndpointRing(endpoints, spread=options.spread),
            options,
            tls=tls,
            user=user,
            password=password,
            on_failure=on_failure,
        )
        self._watch_limits = watch_limits or WatchLimits()
        self._watches: dict[bool, WatchStream] = {}
        self.kv = KV(self._transport)
        self.leases = Leases(self._transport)
        self.cluster = Cluster(self._transport)
        self.maintenance = Maintenance(self._transport)
        self._sync_interval_s = options.auto_sync_interval_s
        self._syncing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._sync_interval_s is not None:
            self._syncing = asyncio.create_task(self._sync_often(), name="kvorum-sync")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End everything: watches and kept leases end with ClientClosedError, calls too."""
        if self._syncing is not None:
            self._syncing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._syncing
        for stream in self._watches.values():
            await stream.close()
        await self.leases.close()
        await self._transport.close()

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The endpoints as they were given, or found by `cluster.sync`."""
        return tuple(endpoint.text for endpoint in self._transport.ring.endpoints)

    async def _sync_often(self) -> None:
        assert self._sync_interval_s is not None
        while True:
            await asyncio.sleep(self._sync_interval_s)
            with contextlib.suppress(WireError):  # the endpoints that are known will do
                await self.cluster.sync()

    def session(self, *, ttl_s: int = TTL_S) -> Session:
        """A lease of `ttl_s` seconds that is kept alive, for locks and elections; see Session."""
        return Session(self, ttl_s)

    async def authenticate(self) -> None:
        """Fetch the token of the user now rather than with the first call.

        Raises:
            AuthFailedError: wrong user or password.
        """
        await self._transport.authenticate()

    def watch(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        start_revision: int = 0,
        prev_kv: bool = False,
        progress_notify: bool = False,
        filters: Sequence[WatchCreateRequest.FilterType] = (),
        fragment: bool = False,
        require_leader: bool = False,
    ) -> Watcher:
        """Watch a key, or the keys in `[key, range_end)`; see Watcher.

        Args:
            key: first key.
            range_end: first key no longer watched; empty: `key` alone.
            start_revision: first revision to be told of; 0: from now on.
            prev_kv: have each event carry what the key was before.
            progress_notify: be told every ten minutes how far the member is, when nothing happens.
            filters: kinds of events to leave out.
            fragment: let the member send very large responses in parts. (They are put together.)
            require_leader: fail with NoLeaderError rather than wait when the cluster has no leader.
        """
        request = WatchCreateRequest(
            key=key,
            range_end=range_end,
            start_revision=start_revision,
            prev_kv=prev_kv,
            progress_notify=progress_notify,
            filters=filters,
            fragment=fragment,
        )
        stream = self._watches.get(require_leader)
        if stream is None:
            stream = WatchStream(self._transport, self._watch_limits, require_leader=require_leader)
            self._watches[require_leader] = stream
        return stream.watch(request)
