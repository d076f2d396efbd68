"""A gRPC client that may break the rules: HTTP/2 frames over a plain socket, by the h2 package.

A proper client library refuses to send what these tests are about. Here a test decides each frame:
a body cut short, a compressed message that no one asked for, a window that never opens.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

DEADLINE_S = 15.0
RECEIVE_BYTES = 65_536
PREFIX = struct.Struct(">BI")  # compressed flag, length of the message


def grpc_frame(message: bytes, *, compressed: bool = False) -> bytes:
    """A message as gRPC puts it into the body: five bytes, then the message."""
    return PREFIX.pack(compressed, len(message)) + message


@dataclass(slots=True)
class Answer:
    """What came back on one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    reset: int | None = None
    ended: bool = False

    @property
    def grpc_status(self) -> int | None:
        value = self.headers.get("grpc-status")
        return None if value is None else int(value)

    @property
    def grpc_message(self) -> str:
        return unquote(self.headers.get("grpc-message", ""))

    @property
    def status(self) -> tuple[int | None, str]:
        """gRPC code and message."""
        return self.grpc_status, self.grpc_message


class RawHttp2:
    """One connection. `closed`: the server has ended it; `goaway`: the error code it gave."""

    def __init__(self, port: int, *, initial_window: int | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=True, header_encoding="utf-8", validate_outbound_headers=False
            )
        )
        if initial_window is not None:
            settings = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: initial_window}
            self.h2.local_settings = h2.settings.Settings(client=True, initial_values=settings)
        # False: what arrives is never acknowledged, so the server's window closes.
        self.acknowledge_data = True
        self.answers: dict[int, Answer] = {}
        self.closed = False
        self.goaway: int | None = None
        self.h2.initiate_connection()
        self.flush()

    def __enter__(self) -> RawHttp2:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.socket.close()

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def open(self, path: str, *, headers: dict[str, str] | None = None) -> int:
        """Send the headers of a gRPC call; returns its stream."""
        stream = self.h2.get_next_available_stream_id()
        merged = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "127.0.0.1",
            "content-type": "application/grpc",
            "te": "trailers",
            **(headers or {}),
        }
        self.h2.send_headers(stream, list(merged.items()))
        self.answers[stream] = Answer()
        self.flush()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send body bytes, as far as the server's flow control lets us, waiting for it."""
        while data:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room == 0:
                if not self.pump() or self.answers[stream].ended:
                    return
                continue
            self.h2.send_data(stream, data[:room])
            data = data[room:]
            self.flush()
        if end and not self.answers[stream].ended:
            self.h2.end_stream(stream)
            self.flush()

    def call(self, path: str, body: bytes, *, headers: dict[str, str] | None = None) -> Answer:
        """One unary call, `body` as it stands."""
        stream = self.open(path, headers=headers)
        self.send(stream, body, end=True)
        return self.finish(stream)

    def finish(self, stream: int, deadline_s: float = DEADLINE_S) -> Answer:
        """The whole answer on `stream`, once it has ended or the connection has."""
        answer = self.answers[stream]
        self.pump_until(lambda: answer.ended, deadline_s)
        return answer

    def pump_until(self, done: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
        """Read until `done()` or until the server closes. AssertionError at the deadline."""
        give_up = time.monotonic() + deadline_s
        while not done() and self.pump():
            assert time.monotonic() < give_up, f"nothing came in {deadline_s} s: {self.answers}"

    def pump(self) -> bool:
        """Read once and handle it; False when the server has closed the connection."""
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
            return False
        for event in self.h2.receive_data(data):
            self._handle(event)
        try:
            self.flush()
        except ConnectionError:
            self.closed = True
        return not self.closed

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = int(event.error_code or 0)
            return
        answer = self.answers.get(getattr(event, "stream_id", 0) or 0, Answer())
        if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            answer.headers.update({str(k): str(v) for k, v in event.headers or []})
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data or b""
            if self.acknowledge_data and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            answer.reset, answer.ended = int(event.error_code or 0), True
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
