"""What the founding members of a cluster must agree on before it is founded, or restored.

Source: etcd server/config (VerifyBootstrap); texts checked against 3.5.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kvorum.cluster.urls import format_initial_cluster, parse_url
from kvorum.errors import ConfigError

Resolve = Callable[[str, int], str]
"""`host:port` as an address; raises OSError for a name that is not known."""

Founders = Mapping[str, tuple[str, ...]]
"""A parsed `--initial-cluster`: peer URLs by name."""


def check_named(named: Founders, name: str) -> None:
    """Refuse a `--name` that is not in `--initial-cluster`."""
    if name not in named:
        raise ConfigError(
            f'couldn\'t find local name "{name}" in the initial cluster configuration'
        )


def check_distinct(named: Founders) -> None:
    """Refuse a peer URL that two members have."""
    urls = [url for given in named.values() for url in given]
    if len(set(urls)) != len(urls):
        raise ConfigError(f"initial cluster {format_initial_cluster(named)} has duplicate url")


def check_advertised(
    named: Founders, name: str, advertised: tuple[str, ...], resolve: Resolve
) -> None:
    """Refuse a member that is not known to others by the URLs that it tells them itself."""
    theirs = named[name]
    reason = difference(advertised, theirs, resolve)
    if not reason:
        return
    told = ",".join(advertised)
    if unknown := [url for url in theirs if url not in advertised]:
        missing = format_initial_cluster({name: unknown})
        raise ConfigError(
            f"--initial-cluster has {missing} but missing from "
            f"--initial-advertise-peer-urls={told} ({reason})"
        )
    own = format_initial_cluster({name: advertised})
    if unnamed := [url for url in advertised if url not in theirs]:
        raise ConfigError(
            f"--initial-advertise-peer-urls has {','.join(unnamed)} but missing from "
            f"--initial-cluster={own}"
        )
    raise ConfigError(f"failed to resolve {told} to match --initial-cluster={own} ({reason})")


def difference(ours: tuple[str, ...], theirs: tuple[str, ...], resolve: Resolve) -> str:
    """Why two URL lists do not stand for the same addresses; empty when they do."""
    if len(ours) != len(theirs):
        return f"len({_list(ours)}) != len({_list(theirs)})"
    if ours == theirs:
        return ""
    try:
        pairs = zip(_resolved(ours, resolve), _resolved(theirs, resolve), strict=True)
    except OSError as error:
        return str(error)
    for (a, a_text), (b, b_text) in pairs:
        if a != b:
            return f'"{a}"(resolved from "{a_text}") != "{b}"(resolved from "{b_text}")'
    return ""


def _resolved(urls: Iterable[str], resolve: Resolve) -> list[tuple[str, str]]:
    """Each URL with its host resolved, sorted, beside its text. `localhost` stays as it is."""
    found = []
    for text in urls:
        url = parse_url(text)
        if url.is_unix or url.host == "localhost":
            found.append((text, text))
        else:
            found.append((f"{url.scheme}://{resolve(url.host, url.port)}", text))
    return sorted(found)


def _list(urls: Iterable[str]) -> str:
    return "[" + " ".join(f'"{url}"' for url in urls) + "]"
