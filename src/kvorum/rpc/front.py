"""The first to see a plain HTTP request: whether it may come in, and where it goes."""

from __future__ import annotations

from typing import Protocol

from kvorum.rpc.access import Access, host_name
from kvorum.rpc.exchange import Exchange, FixedReceiver, HttpService, PlainReceiver
from kvorum.rpc.http import HttpApp, HttpRequest, HttpResponse
from kvorum.rpc.http2.streams import Receiver
from kvorum.server.log import Logger


class PathService(HttpService, Protocol):
    """An `HttpService` for some paths."""

    def covers(self, request: HttpRequest) -> bool:
        """Whether the request is for it."""
        ...


class Front:
    """Routes requests.

    Args:
        app: the plain endpoints: whatever nobody else takes.
        gateway: takes what it covers; None: there is none.
        access: who may come in; None: everybody, and nothing is said of it.
    """

    def __init__(
        self,
        app: HttpApp,
        *,
        gateway: PathService | None = None,
        access: Access | None = None,
        log: Logger,
    ) -> None:
        self._app = app
        self._gateway = gateway
        self._access = access
        self._log = log

    def open(self, request: HttpRequest, exchange: Exchange) -> Receiver:
        """Begin a request; what it returns gets the body."""
        access = self._access
        if access is not None:
            refusal = access.refusal(request)
            if refusal is not None:
                self._log.warn(
                    "rejecting HTTP request to prevent DNS rebinding attacks",
                    host=host_name(request.host),
                )
                return FixedReceiver(refusal, exchange)
            exchange.common = access.headers(request)
            if request.method == "OPTIONS":
                return FixedReceiver(HttpResponse(200, b"", ""), exchange)
        gateway = self._gateway
        if gateway is not None and gateway.covers(request):
            return gateway.open(request, exchange)
        return PlainReceiver(self._app, request, exchange, self._log)

    def takes_websocket(self, request: HttpRequest) -> bool:
        """Whether the request may open a WebSocket, whose messages then are its body."""
        if self._access is not None and self._access.refusal(request) is not None:
            return False
        return self._gateway is not None and self._gateway.covers(request)
