"""etcdserverpb.Watch: requests of a client go to the hub's stream, its responses go back.

Nothing waits here: a response is framed and given to the HTTP/2 stream, which keeps at most
`Limits.stream_buffer_bytes` for a client that reads slowly. Above that the hub is told, and the
stream's watchers fall behind, to be caught up from history when the client reads again.
"""

from __future__ import annotations

from kvorum.proto.rpc_pb2 import WatchRequest
from kvorum.rpc.grpc import Call, StreamMethods
from kvorum.server.ports import WatchPort


class Watching:
    """One Watch call: the handler of its messages, and the sink of its responses."""

    __slots__ = ("_call", "_stream")

    def __init__(self, server: WatchPort, call: Call) -> None:
        self._call = call
        self._stream = server.new_watch_stream(self)
        call.on_writable(self._stream.writable)
        call.start()

    def send(self, message: bytes) -> bool:
        return self._call.send(b"\0" + len(message).to_bytes(4, "big") + message)

    def message(self, request: WatchRequest) -> None:
        self._stream.handle(request)

    def half_closed(self) -> None:
        """The client has no more to ask, but goes on listening."""

    def closed(self) -> None:
        self._stream.close()


def streams(server: WatchPort) -> StreamMethods:
    """The service's methods by path."""
    return {"/etcdserverpb.Watch/Watch": (WatchRequest, lambda call: Watching(server, call))}
