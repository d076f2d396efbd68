"""The client: endpoints on one side, keys, watches, leases and the rest on the other.

async with Client(["10.0.0.1:2379", "10.0.0.2:2379"]) as client:
    await client.kv.put(b"greeting", b"hello")
    response = await client.kv.get(b"greeting")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

from kvorum.client.cluster import Cluster
from kvorum.client.endpoint import EndpointRing
from kvorum.client.kv import KV
from kvorum.client.lease import Leases
from kvorum.client.maintenance import Maintenance
from kvorum.client.options import ClientOptions, WatchLimits
from kvorum.client.tls import TlsOptions
from kvorum.client.transport import Failure, Transport
from kvorum.client.watch_stream import WatchStream
from kvorum.client.watcher import Watcher
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

    Nothing is connected until the first call.
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
        self._transport = Transport(
            EndpointRing(endpoints),
            options or ClientOptions(),
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End everything: watches and kept leases end with ClientClosedError, calls too."""
        for stream in self._watches.values():
            await stream.close()
        await self.leases.close()
        await self._transport.close()

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The endpoints as they were given."""
        return tuple(endpoint.text for endpoint in self._transport.ring.endpoints)

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
