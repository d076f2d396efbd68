"""The section `discovery-config` of the configuration file, as the flags that it stands for.

    discovery-config:
      token: …
      client: {endpoints: […], dial-timeout: …, secure: {cert: …}, auth: {username: …}}

Source: shared facts, flags.md section 1 (3.6, read from its source).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kvorum.errors import ConfigError

_FLAGS: Mapping[str, Any] = {
    "token": "discovery-token",
    "client": {
        "endpoints": "discovery-endpoints",
        "dial-timeout": "discovery-dial-timeout",
        "request-timeout": "discovery-request-timeout",
        "keepalive-time": "discovery-keepalive-time",
        "keepalive-timeout": "discovery-keepalive-timeout",
        "secure": {
            "cert": "discovery-cert",
            "key": "discovery-key",
            "cacert": "discovery-cacert",
            "insecure-transport": "discovery-insecure-transport",
            "insecure-skip-verify": "discovery-insecure-skip-tls-verify",
        },
        "auth": {"username": "discovery-user", "password": "discovery-password"},
    },
}

Refuse = Callable[[Any, str], ConfigError]


def discovery_section(value: Any, refuse: Refuse) -> Iterator[tuple[str, Any]]:
    """Flags and their values, as the file has them. Keys that nothing is known of are passed over.

    Args:
        value: what stands under `discovery-config`.
        refuse: the error for a value of a wrong kind, and where it stands.
    """
    yield from _walk(value, _FLAGS, "discovery-config", refuse)


def _walk(
    value: Any, flags: Mapping[str, Any], where: str, refuse: Refuse
) -> Iterator[tuple[str, Any]]:
    if value is None:
        return
    if not isinstance(value, dict):
        raise refuse(value, f"struct field configYAML.{where} of type v3discovery.DiscoveryConfig")
    for key, item in value.items():
        known = flags.get(str(key).lower())
        if isinstance(known, Mapping):
            yield from _walk(item, known, f"{where}.{key}", refuse)
        elif known is not None and item is not None:
            yield known, item
