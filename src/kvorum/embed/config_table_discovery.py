"""Flags of how the members of a new cluster find each other, and of how a lost one is rescued.

Source: shared facts, flags.md section 1.
"""

from __future__ import annotations

from typing import Any

from kvorum.embed.config_flag import Flag, Kind, Section


def _row(name: str, kind: Kind, default: str, text: str, **more: Any) -> Flag:
    field = name.replace("-", "_") + ("_s" if kind is Kind.FLAG_DURATION else "")
    section = Section.UNSAFE if name == "force-new-cluster" else Section.CLUSTERING
    return Flag(
        name=name, kind=kind, default=default, section=section, field=field, help=text, **more
    )


_S, _D = Kind.STRING, Kind.FLAG_DURATION

DISCOVERY: tuple[Flag, ...] = (
    _row("discovery-srv", _S, "", "Domain whose DNS SRV records name the founding members."),
    _row("discovery-srv-name", _S, "", "Suffix of the service's name in those records."),
    _row(
        "discovery-endpoints",
        Kind.ENDPOINTS,
        "",
        "Comma-separated endpoints of the etcd by which founding members find each other.",
    ),
    _row("discovery-token", _S, "", "Which of the clusters that meet there this is."),
    _row("discovery-dial-timeout", _D, "2s", "Time for a connection to the discovery service."),
    _row("discovery-request-timeout", _D, "5s", "Time for a request to it."),
    _row("discovery-keepalive-time", _D, "2s", "Quiet time after which it is pinged."),
    _row("discovery-keepalive-timeout", _D, "6s", "Time in which it must answer."),
    _row(
        "discovery-insecure-transport",
        Kind.BOOL,
        "true",
        "Speak to endpoints without a scheme without TLS, unless TLS files are named.",
    ),
    _row("discovery-cert", _S, "", "Certificate to show to the discovery service."),
    _row("discovery-key", _S, "", "Key of that certificate."),
    _row("discovery-cacert", _S, "", "CA that its certificate is checked with."),
    _row("discovery-user", _S, "", "'name', or 'name:password', of a user of it."),
    _row("discovery-password", _S, "", "Password of that user, if not given with the name."),
    _row(
        "force-new-cluster",
        Kind.BOOL,
        "false",
        "Make a member that has data a cluster of one, when all others are lost for good.",
    ),
)
