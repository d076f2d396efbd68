"""Names of hosts to addresses, for comparing URLs that name one place differently."""

from __future__ import annotations

import socket

from kvorum.cluster.urls import join_host_port


def resolve(host: str, port: int) -> str:
    """`host:port` as an address; of several, one of IPv4, as Go chooses.

    Raises:
        OSError: the name is not known.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    best = min(found, key=lambda one: one[0] != socket.AF_INET)
    return join_host_port(str(best[4][0]), port)
