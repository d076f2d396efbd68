"""Endpoints: how a user writes the address of a member, and what is dialled for it.

    127.0.0.1:2379            TLS if the client has TLS settings, else none
    http://127.0.0.1:2379     never TLS
    https://127.0.0.1:2379    always TLS
    unix:///run/etcd.sock     a Unix socket; `unixs://` with TLS

An address that can never be dialled is no error when it is read: other endpoints may be well, so it
is one endpoint that always fails, with the reason in `problem`.

Source: etcd client/v3/internal/endpoint, Interpret; texts: Go net.SplitHostPort.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from time import monotonic
from urllib.parse import urlsplit

from kvorum.errors import ConfigError


class TlsUse(Enum):
    """Whether an endpoint is spoken to with TLS."""

    NEVER = "never"
    IF_CONFIGURED = "if configured"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a member. `address` is host:port or a path; `target` is gRPC's name for it."""

    text: str
    address: str
    target: str
    tls: TlsUse
    problem: str = ""


_WEB_SCHEMES = {"http": TlsUse.NEVER, "https": TlsUse.ALWAYS}
_SOCKET_SCHEMES = {"unix": TlsUse.IF_CONFIGURED, "unixs": TlsUse.ALWAYS}


def parse_endpoint(text: str) -> Endpoint:
    """Read one endpoint as a user writes it."""
    scheme, separator, rest = text.partition("://")
    if separator and scheme in _WEB_SCHEMES:
        host = urlsplit(text).netloc
        return _network(text, host, _WEB_SCHEMES[scheme])
    for name, tls in _SOCKET_SCHEMES.items():
        if text.startswith(f"{name}:"):
            path = rest if separator else text.removeprefix(f"{name}:")
            return Endpoint(text, path, f"unix:{path}", tls)
    return _network(text, text, TlsUse.IF_CONFIGURED)


def _network(text: str, address: str, tls: TlsUse) -> Endpoint:
    return Endpoint(text, address, address, tls, _address_problem(address))


def _address_problem(address: str) -> str:
    """Why `address` is no host:port, in Go's words; empty when it is one."""
    if not address:
        return "missing address"
    host, separator, port = address.rpartition(":")
    if address.startswith("["):
        if "]" not in address:
            return f"address {address}: missing ']' in address"
        if not host.endswith("]"):
            return f"address {address}: missing port in address"
    elif not separator:
        return f"address {address}: missing port in address"
    elif ":" in host:
        return f"address {address}: too many colons in address"
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        return f"address tcp/{port}: unknown port"
    return ""


FAILED_S = 3.0
"""How long an endpoint that failed gets no turn while others work."""


class EndpointRing:
    """The endpoints of a client, which of them streams use, and whose turn it is.

    Streams stay with one endpoint until it fails; then the next one in order takes its place. A
    failure counts only for the endpoint that is in use: of a hundred requests that fail together,
    the first moves on and the others find that already done.

    Requests take turns, unless `spread` is off: then they stay with the streams' endpoint. One that
    failed is left out for `FAILED_S`, or until all others have failed too.
    """

    __slots__ = ("_failed_s", "_index", "_spread", "_turn", "endpoints")

    def __init__(self, texts: Sequence[str], *, spread: bool = False) -> None:
        if not texts:
            raise ConfigError("etcdclient: no available endpoints")
        self.endpoints = tuple(map(parse_endpoint, texts))
        self._spread = spread
        self._index = 0
        self._turn = -1
        self._failed_s: dict[Endpoint, float] = {}
        """When each endpoint failed (time.monotonic)."""

    def __len__(self) -> int:
        return len(self.endpoints)

    @property
    def current(self) -> Endpoint:
        """The endpoint of streams."""
        return self.endpoints[self._index]

    def next(self) -> Endpoint:
        """The endpoint of the next request."""
        endpoints = self.endpoints
        if not self._spread:
            return endpoints[self._index]
        for _ in endpoints:
            self._turn = (self._turn + 1) % len(endpoints)
            endpoint = endpoints[self._turn]
            if not self._failed_s or not self._has_failed(endpoint):
                return endpoint
        return self.current

    def failed(self, endpoint: Endpoint) -> None:
        """Go on to the next endpoint, if `endpoint` is the one in use; others get its turns."""
        self._failed_s[endpoint] = monotonic()
        if self.current == endpoint:
            self._index = (self._index + 1) % len(self.endpoints)

    def replace(self, texts: Sequence[str]) -> None:
        """Use other endpoints from now on; the one in use stays, if it is among them."""
        current = self.current
        self.endpoints = tuple(map(parse_endpoint, texts))
        self._index = self.endpoints.index(current) if current in self.endpoints else 0
        self._failed_s = {e: at for e, at in self._failed_s.items() if e in self.endpoints}

    def _has_failed(self, endpoint: Endpoint) -> bool:
        failed_s = self._failed_s.get(endpoint)
        if failed_s is None:
            return False
        if monotonic() - failed_s < FAILED_S:
            return True
        del self._failed_s[endpoint]
        return False
