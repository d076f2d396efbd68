"""Where requests of the gateway go."""

from __future__ import annotations

import posixpath
from typing import Final
from urllib.parse import unquote

from kvorum.proto.versions import Version
from kvorum.rpc.exchange import Exchange, FixedReceiver
from kvorum.rpc.gateway.body import BODY_BYTES_PER_MESSAGE_BYTE, Budget
from kvorum.rpc.gateway.dialect import Dialect
from kvorum.rpc.gateway.routes import prefixes, routes
from kvorum.rpc.gateway.stream import StreamRequest
from kvorum.rpc.gateway.unary import UnaryRequest
from kvorum.rpc.grpc import GrpcApp
from kvorum.rpc.http import HttpRequest, HttpResponse
from kvorum.rpc.http2.streams import Receiver

_POST: Final = "POST"


class Gateway:
    """The JSON gateway; a `front.PathService`.

    Args:
        services: the methods.
        version: what the member presents; it decides on paths and words.
    """

    def __init__(self, services: GrpcApp, version: Version) -> None:
        self.services = services
        self.dialect = Dialect(version)
        self.budget = Budget(BODY_BYTES_PER_MESSAGE_BYTE * services.size_max)
        self._prefixes = prefixes(version)
        self._routes = routes(version)

    def covers(self, request: HttpRequest) -> bool:
        path = _clean(_path(request))
        return any(path.startswith(f"{prefix}/") for prefix in self._prefixes) or (
            path == self._prefixes[0]
        )

    def open(self, request: HttpRequest, exchange: Exchange) -> Receiver:
        path = _path(request)
        clean = _clean(path)
        if clean == self._prefixes[0]:
            clean += "/"
        if clean != path:
            return FixedReceiver(_moved(clean, request), exchange)
        prefix = next(prefix for prefix in self._prefixes if path.startswith(f"{prefix}/"))
        route = self._routes.get(path.removeprefix(prefix))
        if route is None:
            return FixedReceiver(self.dialect.not_found(), exchange)
        if request.method != _POST:
            return FixedReceiver(self.dialect.method_not_allowed(), exchange)
        if route.client_streams or route.server_streams:
            return StreamRequest(self, route, request, exchange)
        return UnaryRequest(self, route, request, exchange)


def _path(request: HttpRequest) -> str:
    return unquote(request.target.partition("?")[0])


def _clean(path: str) -> str:
    """A path without empty, `.` and `..` parts."""
    if "//" not in path and "/." not in path:
        return path
    clean = posixpath.normpath(path)
    return f"{clean.removeprefix('/') if clean.startswith('//') else clean}" + (
        "/" if path.endswith("/") and clean != "/" else ""
    )


def _moved(path: str, request: HttpRequest) -> HttpResponse:
    query = request.target.partition("?")[2]
    return HttpResponse(301, b"", "", extra=(("location", f"{path}?{query}" if query else path),))
