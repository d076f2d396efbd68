"""Figures of gRPC calls: plain counts on an object of each method.

A unary call costs three additions and two looks at the clock, some 0.3 µs in all. What follows from
other counts is not counted: a unary call that was begun has had one message, and one that ended
well has sent one.

Source: names and meaning as go-grpc-prometheus has them inside stock etcd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from kvorum.errors import Code
from kvorum.histogram import Histogram
from kvorum.proto import election_pb2, lock_pb2, rpc_pb2
from kvorum.proto.versions import DEFAULT_SERVER_VERSION, Version
from kvorum.rpc.metrics.families import HANDLING_SECONDS
from kvorum.server.metrics.family import Labelled, Value, Values

CODES: Final = tuple(code.go_name for code in Code)
"""Names of the statuses, by number."""

UNARY, SERVER_STREAM, BIDI_STREAM = "unary", "server_stream", "bidi_stream"
HEALTH_METHODS: Final = {
    "/grpc.health.v1.Health/Check": UNARY,
    "/grpc.health.v1.Health/Watch": SERVER_STREAM,
}
SHOWN_AT_ONCE: Final = frozenset(
    {"grpc.health.v1.Health"}
    | {service.full_name for service in rpc_pb2.DESCRIPTOR.services_by_name.values()}
)
"""Services whose methods are shown before they are used: all but Lock and Election, as in stock."""
METHODS_SINCE: Final = {"/etcdserverpb.KV/RangeStream": Version(3, 7)}
API_VERSIONS_MAX: Final = 32
"""Client API versions counted apart: a client may send any text."""
UNKNOWN_VERSION: Final = "unknown"
NEVER_S: Final = float("inf")
ALWAYS_S: Final = -1.0


class MethodFigures:
    """Counts of one method."""

    __slots__ = (
        "failed",
        "is_unary",
        "labels",
        "notable_s",
        "ok",
        "path",
        "received",
        "received_bytes",
        "seconds",
        "sent",
        "sent_bytes",
        "shown",
        "started",
    )

    def __init__(self, path: str, kind: str, *, extensive: bool, warning_s: float) -> None:
        _, service, method = path.split("/")
        self.path = path
        self.labels = (method, service, kind)
        self.is_unary = kind == UNARY
        self.shown = False
        """Shown even when it was never used."""
        self.started = 0
        self.ok = 0
        self.failed: dict[int, int] = {}
        """Calls that ended with another status than OK."""
        self.received = 0
        self.sent = 0
        """Messages of calls that stream."""
        self.received_bytes = 0
        self.sent_bytes = 0
        self.seconds = Histogram(HANDLING_SECONDS) if extensive else None
        self.notable_s = ALWAYS_S if extensive else warning_s
        """A call that took longer is to be told to `CallFigures.finished`."""

    def ended(self, status: int) -> None:
        if status == 0:
            self.ok += 1
        else:
            self.count_failed(status)

    def count_failed(self, status: int) -> None:
        self.failed[status] = self.failed.get(status, 0) + 1

    @property
    def messages_received(self) -> int:
        return self.started if self.is_unary else self.received

    @property
    def messages_sent(self) -> int:
        return self.ok if self.is_unary else self.sent


class EndedCall(NamedTuple):
    """A unary call, for the one who tells of it."""

    took_s: float
    remote: str
    """The client's address."""
    kind: Any
    """Class of the request."""
    message: bytes
    response: bytes | None
    """None: the call failed."""


class CallFigures:
    """Figures of all methods.

    Args:
        extensive: time every call (`--metrics=extensive`).
        warning_s: unary calls that take longer are told to `slow`.
        slow: called with the method's path and the call.
        version: presented; methods that came later are not shown unless used.
    """

    def __init__(
        self,
        *,
        extensive: bool = False,
        warning_s: float = NEVER_S,
        slow: Callable[[str, EndedCall], None] | None = None,
        version: Version = DEFAULT_SERVER_VERSION,
    ) -> None:
        self._extensive = extensive
        self._warning_s = self._told_s = warning_s if slow is not None else NEVER_S
        self._slow = slow
        self._methods: dict[str, MethodFigures] = {}
        self.unary_versions: dict[bytes, int] = {}
        self.stream_versions: dict[bytes, int] = {}
        """Calls by the API version that the client gave."""
        for path in known_methods():
            if path.split("/")[1] in SHOWN_AT_ONCE and METHODS_SINCE.get(path, version) <= version:
                self.method(path).shown = True

    def method(self, path: str) -> MethodFigures:
        """The figures of a method; made when first asked for."""
        figures = self._methods.get(path)
        if figures is None:
            kind = known_methods().get(path, UNARY)
            figures = self._methods[path] = MethodFigures(
                path, kind, extensive=self._extensive, warning_s=self._told_s
            )
        return figures

    def tell_all(self, wanted: bool) -> None:
        """Tell `slow` of every unary call from now on, or again of those that take long."""
        self._told_s = ALWAYS_S if wanted and self._slow is not None else self._warning_s
        if not self._extensive:
            for figures in self._methods.values():
                figures.notable_s = self._told_s

    def finished(self, figures: MethodFigures, took_s: float, call: EndedCall | None) -> None:
        """A call took longer than `notable_s`. `call` is None of one that streams."""
        if figures.seconds is not None:
            figures.seconds.observe(took_s)
        if took_s > self._told_s and call is not None and self._slow is not None:
            self._slow(figures.path, call)

    @staticmethod
    def count_version(counts: dict[bytes, int], version: bytes) -> None:
        """Count a call whose client named its API version."""
        if version in counts or len(counts) < API_VERSIONS_MAX:
            counts[version] = counts.get(version, 0) + 1

    # For the metrics.

    def values(self) -> Values:
        methods = [one for one in self._methods.values() if one.shown or one.started]
        values: dict[str, Value | Labelled] = {
            "grpc_server_started_total": {one.labels: one.started for one in methods},
            "grpc_server_msg_received_total": {
                one.labels: one.messages_received for one in methods
            },
            "grpc_server_msg_sent_total": {one.labels: one.messages_sent for one in methods},
            "grpc_server_handled_total": _handled(methods),
            "grpc_server_handling_seconds": {
                one.labels: one.seconds for one in methods if one.seconds is not None
            },
            "etcd_network_client_grpc_received_bytes_total": sum(
                one.received_bytes for one in methods
            ),
            "etcd_network_client_grpc_sent_bytes_total": sum(one.sent_bytes for one in methods),
            "etcd_server_client_requests_total": self._by_version(methods),
        }
        return values

    def _by_version(self, methods: Iterable[MethodFigures]) -> Labelled:
        started = {True: 0, False: 0}
        for one in methods:
            started[one.is_unary] += one.started
        rows: dict[tuple[str, ...], int] = {}
        for is_unary, kind, versions in (
            (True, "unary", self.unary_versions),
            (False, "stream", self.stream_versions),
        ):
            for version, count in versions.items():
                text = version.decode(errors="replace")
                rows[text, kind] = rows.get((text, kind), 0) + count
            unknown = started[is_unary] - sum(versions.values())
            if unknown > 0:
                rows[UNKNOWN_VERSION, kind] = rows.get((UNKNOWN_VERSION, kind), 0) + unknown
        return rows


def _handled(methods: Iterable[MethodFigures]) -> Labelled:
    rows: dict[tuple[str, ...], int] = {}
    for one in methods:
        for status, code in enumerate(CODES):
            rows[code, *one.labels] = one.failed.get(status, 0)
        rows[CODES[0], *one.labels] = one.ok
    return rows


@cache
def known_methods() -> Mapping[str, str]:
    """Type of every method that etcd has, by path."""
    found = dict(HEALTH_METHODS)
    for file in (rpc_pb2.DESCRIPTOR, lock_pb2.DESCRIPTOR, election_pb2.DESCRIPTOR):
        for service in file.services_by_name.values():
            for method in service.methods:
                streams = BIDI_STREAM if method.client_streaming else SERVER_STREAM
                kind = streams if method.server_streaming else UNARY
                found[f"/{service.full_name}/{method.name}"] = kind
    return found
