"""gRPC channels of a client: one per endpoint, made when it is first used.

grpc is imported when the first channel is made, not with this module: a program that only prints
its help should not wait for it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from kvorum.client.endpoint import Endpoint, TlsUse
from kvorum.client.errors import ClientClosedError, ConnectionFailedError, DeadlineExceededError
from kvorum.client.methods import Method, RequestT, ResponseT
from kvorum.client.options import KEEPALIVE_TIME_S_MIN, ClientOptions
from kvorum.client.tls import TlsOptions, load_credentials

if TYPE_CHECKING:
    import grpc
    import grpc.aio

DIAL_TIMED_OUT = "connection timed out"


class Channels:
    """The channels of one client. They belong to the event loop they are first used in."""

    __slots__ = ("_calls", "_channels", "_closed", "_credentials", "_options")

    def __init__(self, options: ClientOptions, tls: TlsOptions | None) -> None:
        self._options = options
        self._credentials = None if tls is None else load_credentials(tls)
        self._channels: dict[Endpoint, grpc.aio.Channel] = {}
        self._calls: dict[tuple[Endpoint, str], Any] = {}
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    async def close(self) -> None:
        self._closed = True
        channels = list(self._channels.values())
        self._channels.clear()
        self._calls.clear()
        for channel in channels:
            await channel.close()

    def unary(self, endpoint: Endpoint, method: Method[RequestT, ResponseT]) -> Any:
        """What makes a unary call of `method` on `endpoint`."""
        call = self._calls.get((endpoint, method.path))
        if call is None:
            call = self._get(endpoint).unary_unary(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
            self._calls[endpoint, method.path] = call
        return call

    def stream(self, endpoint: Endpoint, method: Method[RequestT, ResponseT]) -> Any:
        """What opens a two-way stream of `method` on `endpoint`."""
        return self._get(endpoint).stream_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )

    def answers(self, endpoint: Endpoint, method: Method[RequestT, ResponseT]) -> Any:
        """What makes a call of `method`, with one request and many responses, on `endpoint`."""
        return self._get(endpoint).unary_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )

    async def wait_connected(self, endpoint: Endpoint, timeout_s: float | None) -> None:
        """Return when there is a connection, or an error that the next call will report.

        Without this a call to a host that answers nothing would wait for its own deadline, and the
        endpoints after it would never get their turn.

        Raises:
            ConnectionFailedError: neither came within the dial timeout, or within `timeout_s`.
        """
        import grpc  # noqa: PLC0415 - see the module's docstring

        channel = self._get(endpoint)
        state = channel.get_state(try_to_connect=True)
        if state is grpc.ChannelConnectivity.READY:
            return
        waiting = {grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING}
        limit_s, reason = self._options.dial_timeout_s, DIAL_TIMED_OUT
        if timeout_s is not None and timeout_s < limit_s:
            limit_s, reason = timeout_s, DeadlineExceededError.text
        try:
            async with asyncio.timeout(limit_s):
                while state in waiting:
                    await channel.wait_for_state_change(state)
                    state = channel.get_state(try_to_connect=True)
        except TimeoutError:
            raise ConnectionFailedError(reason, endpoint.text) from None

    def _get(self, endpoint: Endpoint) -> grpc.aio.Channel:
        if self._closed:
            raise ClientClosedError
        channel = self._channels.get(endpoint)
        if channel is None:
            if endpoint.problem:
                raise ConnectionFailedError(endpoint.problem, endpoint.text)
            channel = self._make(endpoint)
            self._channels[endpoint] = channel
        return channel

    def _make(self, endpoint: Endpoint) -> grpc.aio.Channel:
        import grpc.aio  # noqa: PLC0415

        arguments = channel_arguments(self._options)
        secure = endpoint.tls is TlsUse.ALWAYS or (
            endpoint.tls is TlsUse.IF_CONFIGURED and self._credentials is not None
        )
        if not secure:
            return grpc.aio.insecure_channel(endpoint.target, options=arguments)
        if self._credentials is None:
            self._credentials = load_credentials(TlsOptions())
        return grpc.aio.secure_channel(endpoint.target, self._credentials, options=arguments)


def channel_arguments(options: ClientOptions) -> list[tuple[str, int]]:
    """Settings of a channel. Retries are ours: grpc's know nothing of other endpoints."""
    keepalive_s = max(options.keepalive_time_s, KEEPALIVE_TIME_S_MIN)
    ping_timeout_ms = max(1, round(options.keepalive_timeout_s * 1000))
    return [
        ("grpc.max_send_message_length", -1),  # checked by us, with etcd's limit and text
        ("grpc.max_receive_message_length", options.receive_bytes_max),
        ("grpc.keepalive_time_ms", round(keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", ping_timeout_ms),
        # gRPC core has a time of its own for its pings, a minute: a member that hangs would be
        # waited for so long, whatever the keepalive says.
        ("grpc.http2.ping_timeout_ms", ping_timeout_ms),
        # And it pings a connection that is silent, as that of a watch, less and less often.
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.enable_retries", 0),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.enable_http_proxy", 0),  # members are dialled directly, as etcd's own client does
        ("grpc.use_local_subchannel_pool", 1),
        # A member that restarts should be found at once: gRPC's own first pause is one second.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]
