"""Calls to members: endpoint, deadline, token and retries put together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvorum.client.channels import Channels
from kvorum.client.deadline import Deadline
from kvorum.client.endpoint import Endpoint, EndpointRing
from kvorum.client.errors import (
    ClientClosedError,
    ConnectionLostError,
    DeadlineExceededError,
    TransportError,
)
from kvorum.client.methods import AUTHENTICATE, Method, RequestT, ResponseT
from kvorum.client.options import ClientOptions
from kvorum.client.retry import Backoff, Retry
from kvorum.client.status import wire_error
from kvorum.client.stream import Stream, cancelled_by_close
from kvorum.client.tls import TlsOptions
from kvorum.client.token import REQUIRE_LEADER, Metadata, TokenSource
from kvorum.errors import Code, StatusError, WireError
from kvorum.proto.rpc_pb2 import AuthenticateRequest, AuthenticateResponse


@dataclass(frozen=True, slots=True)
class Failure:
    """A unary call that failed, or an attempt that a member refused."""

    path: str
    endpoint: str
    error: WireError


class Transport:
    """What the parts of a client (keys, watches, leases, ...) make their calls with."""

    __slots__ = ("_always", "_channels", "_on_failure", "_token", "options", "ring")

    def __init__(
        self,
        ring: EndpointRing,
        options: ClientOptions,
        *,
        tls: TlsOptions | None = None,
        user: str | None = None,
        password: str | None = None,
        on_failure: Callable[[Failure], None] | None = None,
    ) -> None:
        self.ring = ring
        self.options = options
        self._channels = Channels(options, tls)
        self._token = TokenSource(user, password, self._authenticate)
        self._on_failure = on_failure
        self._always = REQUIRE_LEADER if options.require_leader else ()

    @property
    def closed(self) -> bool:
        return self._channels.closed

    async def close(self) -> None:
        """End every connection. Calls under way raise ClientClosedError."""
        await self._channels.close()

    async def unary(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout_s: float | None,
        endpoint: str | None = None,
    ) -> ResponseT:
        """Make a call and return its response.

        Args:
            method: the call.
            request: its message.
            timeout_s: for everything together, retries included. None: no limit.
            endpoint: this one and no other.

        Raises:
            WireError: one of `kvorum.errors` or of `kvorum.client.errors`.
        """
        ring = self.ring if endpoint is None else EndpointRing([endpoint])
        self._check_size(method, request, ring.current)
        deadline = Deadline(timeout_s)
        retry: Retry | None = None
        patience_s = self.options.read_attempt_s
        while True:
            target = ring.next()
            attempt_s = patience_s if method.is_read and len(ring) > 1 else None
            try:
                return await self._attempt(target, method, request, deadline, attempt_s)
            except WireError as error:
                patience_s *= 2
                if retry is None:
                    retry = self.retry(ring, deadline, is_read=method.is_read)
                raised = await retry.after(target, error)
                if not isinstance(error, TransportError) or raised is not None:
                    self._tell(method, target, raised or error)
            if raised is not None:
                raise raised

    def retry(self, ring: EndpointRing, deadline: Deadline, *, is_read: bool) -> Retry:
        """What decides whether and when a request is made again."""
        return Retry(self.options, ring, self._token, deadline, is_read=is_read)

    async def _attempt(
        self,
        endpoint: Endpoint,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        deadline: Deadline,
        attempt_s: float | None,
    ) -> ResponseT:
        """Make a call on one endpoint. At `attempt_s`, if it is before the deadline, it is lost."""
        import grpc.aio  # noqa: PLC0415 - see kvorum.client.channels

        await self._channels.wait_connected(endpoint, deadline.left_s())
        metadata = () if method is AUTHENTICATE else await self._token.metadata()
        call = self._channels.unary(endpoint, method)
        left_s = deadline.left_s()
        is_cut = attempt_s is not None and (left_s is None or attempt_s < left_s)
        try:
            response: ResponseT = await call(
                request,
                timeout=attempt_s if is_cut else left_s,
                metadata=(*metadata, *self._always),
            )
        except grpc.aio.AioRpcError as failure:
            error = wire_error(failure, endpoint.text)
            if is_cut and isinstance(error, DeadlineExceededError):
                error = ConnectionLostError(f"no answer within {attempt_s:g} s", endpoint.text)
            raise error from None
        except grpc.aio.UsageError:
            raise ClientClosedError from None
        except asyncio.CancelledError:
            if cancelled_by_close():
                raise ClientClosedError from None
            raise
        return response

    def _check_size(
        self, method: Method[RequestT, ResponseT], request: RequestT, endpoint: Endpoint
    ) -> None:
        size_bytes = request.ByteSize()
        if size_bytes > self.options.send_bytes_max:
            # Source: grpc-go, the text of its own send limit.
            error = StatusError(
                Code.RESOURCE_EXHAUSTED,
                "trying to send message larger than max "
                f"({size_bytes} vs. {self.options.send_bytes_max})",
            )
            self._tell(method, endpoint, error)
            raise error

    def _tell(
        self, method: Method[RequestT, ResponseT], endpoint: Endpoint, error: WireError
    ) -> None:
        if self._on_failure is not None:
            self._on_failure(Failure(method.path, endpoint.text, error))

    async def authenticate(self) -> None:
        """Fetch the token now, if there is a user. Calls do it by themselves when it is needed.

        Raises:
            AuthFailedError: wrong user or password.
        """
        await self._token.metadata()

    async def _authenticate(self, request: AuthenticateRequest) -> AuthenticateResponse:
        return await self.unary(AUTHENTICATE, request, timeout_s=self.options.dial_timeout_s)

    async def open_stream(
        self, method: Method[RequestT, ResponseT], metadata: Metadata = ()
    ) -> Stream[RequestT, ResponseT]:
        """Open a two-way stream on the endpoint in use.

        Raises:
            WireError: no connection (the next endpoint is in use from now on), or no token.
        """
        endpoint = self.ring.current
        try:
            await self._channels.wait_connected(endpoint, None)
            token = await self._token.metadata()
        except TransportError:
            self.ring.failed(endpoint)
            raise
        call = self._channels.stream(endpoint, method)
        return Stream(endpoint, call(metadata=(*token, *metadata)))

    def use_endpoints(self, texts: Sequence[str]) -> None:
        """Make calls to these from now on. Calls and streams under way go on where they are.

        So channels of other endpoints stay as well: without calls they cost next to nothing.
        """
        self.ring.replace(texts)

    async def ask(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout_s: float | None,
        endpoint: str | None = None,
    ) -> tuple[Stream[RequestT, ResponseT], ResponseT | None]:
        """Make a call of one request and many responses, and wait for the first one.

        Until there is one, the call may be made again; it must be a read.

        Args:
            method: the call.
            request: its message.
            timeout_s: for all of the call. None: as long as it takes; only for finding a member is
                there a limit then, that of every request.
            endpoint: this one and no other.

        Raises:
            WireError: there is no response. What comes later is for `Stream.next` to tell.
        """
        ring = self.ring if endpoint is None else EndpointRing([endpoint])
        deadline = Deadline(timeout_s)
        patience = deadline if timeout_s is not None else Deadline(self.options.timeout_s)
        retry = self.retry(ring, patience, is_read=True)
        while True:
            target = ring.current
            try:
                return await self._ask_at(target, method, request, deadline)
            except WireError as error:
                raised = await retry.after(target, error)
            if raised is not None:
                raise raised

    async def _ask_at(
        self,
        endpoint: Endpoint,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        deadline: Deadline,
    ) -> tuple[Stream[RequestT, ResponseT], ResponseT | None]:
        await self._channels.wait_connected(endpoint, deadline.left_s())
        token = await self._token.metadata()
        call = self._channels.answers(endpoint, method)
        stream = Stream[RequestT, ResponseT](
            endpoint, call(request, timeout=deadline.left_s(), metadata=token)
        )
        try:
            return stream, await stream.next()
        except BaseException:
            stream.cancel()
            raise

    def stream_failed(self, endpoint: Endpoint, error: WireError) -> None:
        """A stream ended with `error`: choose endpoint and token for the next one by it."""
        self.ring.failed(endpoint)
        self._token.is_stale(error)

    def backoff(self) -> Backoff:
        """Pauses between attempts to open a stream."""
        return Backoff(self.options, self.ring)
