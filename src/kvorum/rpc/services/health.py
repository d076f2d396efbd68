"""grpc.health.v1.Health: whether the member, as a gRPC server, wants to be called.

It has one service, with the empty name, as stock has. Balancers that watch it take the member out
while it defragments, if the feature gate StopGRPCServiceOnDefrag is on.

Source: gRPC's health checking protocol; observed on stock 3.5.1 (an unknown service).
"""

from __future__ import annotations

from collections.abc import Callable

from kvorum.errors import Code, StatusError
from kvorum.proto.health_pb2 import HealthCheckRequest, HealthCheckResponse
from kvorum.rpc.frames import frame
from kvorum.rpc.grpc import Call, StreamMethods, UnaryMethods
from kvorum.server.ports import ServingPort

SERVICE = ""


def _status(server: ServingPort, service: str) -> bytes:
    status = HealthCheckResponse.SERVICE_UNKNOWN
    if service == SERVICE:
        serving = server.is_serving()
        status = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
    return HealthCheckResponse(status=status).SerializeToString()


class Watching:
    """One Watch call: the status, and again whenever it is another."""

    __slots__ = ("_call", "_end", "_server", "_service", "_told")

    def __init__(self, server: ServingPort, call: Call) -> None:
        self._server = server
        self._call = call
        self._service = SERVICE
        self._told = b""
        self._end: Callable[[], None] | None = None

    def message(self, request: HealthCheckRequest) -> None:
        if self._end is not None:
            raise StatusError(Code.INTERNAL, "a second request in a call that takes one")
        self._service = request.service
        self._end = self._server.on_serving_changed(self._tell)
        self._tell()

    def _tell(self) -> None:
        status = _status(self._server, self._service)
        if status != self._told:
            self._told = status
            self._call.send(frame(status))

    def half_closed(self) -> None:
        """The client has nothing more to ask, but goes on listening."""

    def closed(self) -> None:
        if self._end is not None:
            self._end()


def methods(server: ServingPort) -> UnaryMethods:
    """The service's methods by path."""

    def check(request: HealthCheckRequest, _: bytes) -> bytes:
        if request.service != SERVICE:
            raise StatusError(Code.NOT_FOUND, "unknown service")
        return _status(server, request.service)

    return {"/grpc.health.v1.Health/Check": (HealthCheckRequest, check)}


def streams(server: ServingPort) -> StreamMethods:
    """The service's streaming methods by path."""
    return {"/grpc.health.v1.Health/Watch": (HealthCheckRequest, lambda c: Watching(server, c))}
