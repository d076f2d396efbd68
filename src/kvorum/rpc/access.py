"""Who may use plain HTTP on the client port: `--host-whitelist` and `--cors`.

Source: etcd server/embed/serve.go (order of the checks); texts: stock etcd 3.5.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kvorum.rpc.exchange import HeaderList
from kvorum.rpc.http import TEXT, HttpRequest, HttpResponse

ALL: Final = "*"
NOSNIFF: Final = ("x-content-type-options", "nosniff")

_METHODS: Final = ("access-control-allow-methods", "POST, GET, OPTIONS, PUT, DELETE")
_HEADERS: Final = ("access-control-allow-headers", "accept, content-type, authorization")
_REFUSAL: Final = """
etcd received your request, but the Host header was unrecognized.

To fix this, choose one of the following options:
- Enable TLS, then any HTTPS request will be allowed.
- Add the hostname you want to use to the whitelist in settings.
  - e.g. etcd --host-whitelist "%s"

This requirement has been added to help prevent "DNS Rebinding" attacks (CVE-2018-5702).

"""


class Access:
    """What is allowed. Both lists: empty, or with `*` in it, allows all.

    Args:
        origins: of pages that may read the answers (CORS).
        hosts: names that a request may have come to, without port.
        secure: the port has TLS, so that names are proven and `hosts` does not matter.
    """

    def __init__(
        self, origins: Iterable[str] = (), hosts: Iterable[str] = (), *, secure: bool = False
    ) -> None:
        self._origins = frozenset(origins)
        self._hosts = frozenset(hosts)
        self._all_origins = not self._origins or ALL in self._origins
        self._all_hosts = secure or not self._hosts or ALL in self._hosts

    def refusal(self, request: HttpRequest) -> HttpResponse | None:
        """The answer to a request that came to a name that is not ours; None: it did not."""
        if self._all_hosts:
            return None
        host = host_name(request.host)
        if host in self._hosts:
            return None
        shown = host.replace("\\", "\\\\").replace('"', '\\"')
        return HttpResponse(421, (_REFUSAL % shown).encode("latin-1"), TEXT, (NOSNIFF,))

    def headers(self, request: HttpRequest) -> HeaderList:
        """Headers of every answer to this request."""
        if self._all_origins:
            return (_METHODS, ("access-control-allow-origin", ALL), _HEADERS)
        origin = request.header(b"origin")
        if origin in self._origins:
            return (_METHODS, ("access-control-allow-origin", origin), _HEADERS)
        return ()


def host_name(host: str) -> str:
    """A `Host` header without its port, and an IPv6 address without its brackets."""
    name, colon, _ = host.rpartition(":")
    if not colon:
        return host
    if name.startswith("[") and name.endswith("]"):
        return name[1:-1]
    return host if ":" in name else name
