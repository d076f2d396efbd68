"""Members found by DNS: SRV records that name them.

    _etcd-server-ssl._tcp.example.com.  SRV 0 0 2380 infra0.example.com.     peers, with TLS
    _etcd-server._tcp.example.com.      SRV 0 0 2380 infra0.example.com.     peers, without
    _etcd-client-ssl._tcp…, _etcd-client._tcp…                               the same for clients

The name servers are the system's (/etc/resolv.conf), or the one that the environment variable
`KVORUM_DNS_SERVER` names as `address:port`.

Source: etcd client/pkg/srv; RFC 2782.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from kvorum.errors import ConfigError

if TYPE_CHECKING:
    from dns.resolver import Resolver

SERVER_VARIABLE = "KVORUM_DNS_SERVER"
LOOKUP_S_MAX = 10.0


class LookupFailedError(ConfigError):
    """A name could not be looked up, or there are no records of that name."""


class Target(NamedTuple):
    """One record: a host (without the dot at its end) and a port."""

    host: str
    port: int


Lookup = Callable[[str], list[Target]]
"""Records of a name, best first; raises LookupFailedError."""


def service_name(service: str, suffix: str) -> str:
    """`--discovery-srv-name` goes behind the service."""
    return f"{service}-{suffix}" if suffix else service


def lookup(service: str, domain: str) -> list[Target]:
    """The SRV records `_service._tcp.domain`, best first.

    Raises:
        LookupFailedError: there are none, or nobody could be asked.
    """
    import dns.exception  # noqa: PLC0415 - needed only by those who look something up
    import dns.resolver  # noqa: PLC0415

    name = f"_{service}._tcp.{domain.rstrip('.')}."
    resolver = _resolver()
    try:
        answer = resolver.resolve(name, "SRV", lifetime=LOOKUP_S_MAX)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        asked = f"{resolver.nameservers[0]}:{resolver.port}" if resolver.nameservers else "nobody"
        raise LookupFailedError(f"lookup {name[:-1]} on {asked}: no such host") from None
    except dns.exception.DNSException as error:
        raise LookupFailedError(f"lookup {name[:-1]}: {error}") from None
    records = sorted(answer, key=lambda one: (one.priority, -one.weight, str(one.target)))
    return [Target(str(one.target).rstrip("."), one.port) for one in records]


def _resolver() -> Resolver:
    import dns.exception  # noqa: PLC0415
    import dns.resolver  # noqa: PLC0415

    given = os.environ.get(SERVER_VARIABLE, "")
    if not given:
        try:
            return dns.resolver.Resolver()
        except dns.exception.DNSException as error:
            raise LookupFailedError(f"no name server to ask: {error}") from None
    address, separator, port = given.rpartition(":")
    if not (separator and port.isdigit()):
        raise LookupFailedError(f"{SERVER_VARIABLE}={given}: must be address:port")
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [address.strip("[]")]
    resolver.port = int(port)
    return resolver


def client_endpoints(domain: str, suffix: str = "") -> list[str]:
    """URLs for clients that `domain` names: those with TLS first.

    Raises:
        LookupFailedError: it names none.
    """
    found: list[str] = []
    problems: list[str] = []
    for service, scheme in (("etcd-client-ssl", "https"), ("etcd-client", "http")):
        try:
            targets = lookup(service_name(service, suffix), domain)
        except LookupFailedError as error:
            problems.append(str(error))
            continue
        found += [url_of(scheme, target) for target in targets]
    if not found:
        raise LookupFailedError(f"dns lookup errors: {' and '.join(problems)}")
    return found


def url_of(scheme: str, target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{scheme}://{host}:{target.port}"
