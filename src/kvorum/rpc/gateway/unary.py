"""A request to a unary method: the whole body, one call, the whole answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Error as ProtobufError

from kvorum.errors import Code, DeadlineError, StatusError, WireError
from kvorum.rpc.calls import UnaryMethod
from kvorum.rpc.exchange import Exchange
from kvorum.rpc.frames import too_large
from kvorum.rpc.gateway.body import Body, read_body
from kvorum.rpc.gateway.encode import to_json
from kvorum.rpc.gateway.metadata import timeout_s, to_metadata
from kvorum.rpc.http import HttpRequest
from kvorum.rpc.metadata import Metadata

if TYPE_CHECKING:
    from kvorum.rpc.gateway.gateway import Gateway
    from kvorum.rpc.gateway.routes import Route


class UnaryRequest:
    """See the module; a `Receiver`."""

    __slots__ = (
        "_body",
        "_exchange",
        "_future",
        "_gateway",
        "_over",
        "_request",
        "_route",
        "_timer",
    )

    def __init__(
        self, gateway: Gateway, route: Route, request: HttpRequest, exchange: Exchange
    ) -> None:
        self._gateway = gateway
        self._route = route
        self._request = request
        self._exchange = exchange
        self._body = Body(gateway.budget, exchange)
        self._timer: asyncio.TimerHandle | None = None
        self._future: asyncio.Future[bytes] | None = None
        """The answer to come. Cancelled when nobody waits for it: some methods wait for long."""
        self._over = False
        """Answered, or nobody waits any more."""

    def data(self, chunk: bytes, ended: bool) -> None:
        if self._over:
            return
        try:
            self._body.add(chunk)
            if ended:
                self._call(self._body.take())
        except Exception as error:
            self._fail(self._gateway.services.as_wire_error(error))

    def cancelled(self) -> None:
        self._end()

    def _call(self, body: bytes) -> None:
        gateway, route = self._gateway, self._route
        services = gateway.services
        metadata = Metadata(to_metadata(self._request.headers))
        wait_s = timeout_s(self._request.header(b"grpc-timeout"))
        message = read_body(route.request, body.decode("utf-8", "surrogateescape"), gateway.dialect)
        found = services.unary(route.grpc_path)
        if found is None:
            raise services.unknown(route.grpc_path)
        services.check_leader(metadata)
        self._exchange.take_time()
        response = _called(*found, message, services.size_max)
        if type(response) is bytes:
            self._respond(response)
            return
        future: asyncio.Future[bytes] = asyncio.ensure_future(response)  # type: ignore[arg-type]
        self._future = future
        future.add_done_callback(self._resolved)
        if wait_s is not None:
            self._timer = future.get_loop().call_later(wait_s, self._expired)

    def _resolved(self, future: asyncio.Future[bytes]) -> None:
        self._future = None
        error = None if future.cancelled() else future.exception()
        if self._over:
            return
        if future.cancelled():
            self._fail(StatusError(Code.CANCELLED, "etcdserver: request canceled"))
        elif error is not None:
            self._fail(self._gateway.services.as_wire_error(error))
        else:
            self._respond(future.result())

    def _expired(self) -> None:
        self._fail(DeadlineError())

    def _respond(self, response: bytes) -> None:
        body = to_json(self._route.response.FromString(response))
        self._end()
        self._exchange.respond(self._gateway.dialect.good(body))

    def _fail(self, error: WireError) -> None:
        if not self._over:
            self._end()
            self._exchange.respond(self._gateway.dialect.failure(error))

    def _end(self) -> None:
        self._over = True
        self._body.drop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        future, self._future = self._future, None
        if future is not None:
            future.cancel()


def _called(
    kind: Any, method: UnaryMethod, message: Any, size_max: int
) -> bytes | Awaitable[bytes]:
    """What the method answers, called as gRPC calls it: with a message that was on the wire."""
    request, raw = through_wire(kind, message, size_max)
    return method(request, raw)


def through_wire(kind: Any, message: Any, size_max: int) -> tuple[Any, bytes]:
    """A message as it would come by gRPC, and its bytes.

    What gRPC would refuse is refused: the log is to hold nothing that nobody can read back.

    Raises:
        StatusError: it is too large, or nested too deeply.
    """
    try:
        raw: bytes = message.SerializeToString()
        if len(raw) > size_max:
            raise too_large(len(raw), size_max)
        return kind.FromString(raw), raw
    except (ProtobufError, RecursionError):
        raise StatusError(Code.INVALID_ARGUMENT, "exceeded max depth") from None
