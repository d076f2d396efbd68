"""URL lists and `--initial-cluster` maps, read as etcd reads them and refused with its words.

URLs stay strings: member ids are hashes over the text, and a listener needs only host and port.

Source: etcd client/pkg/types (URLs, URLsMap), Go net/url; texts checked against 3.5.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kvorum.errors import ConfigError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):(.*)", re.DOTALL)
_PORT = re.compile(r"(:\d*)?")
_HTTP = ("http", "https")
_UNIX = ("unix", "unixs")
# What Go's net/url lets through in a host, besides letters, digits and bytes above 0x7f.
_HOST_EXTRA = frozenset("-_.~!$&'()*+,;=:[]<>\"%")


class Url(NamedTuple):
    """The parts of a URL that etcd looks at. `address` is host and port as written."""

    scheme: str
    address: str
    path: str
    text: str

    @property
    def host(self) -> str:
        return split_host_port(self.address)[0]

    @property
    def port(self) -> int:
        """The port; 0 when none is written."""
        return int(split_host_port(self.address)[1] or 0)

    @property
    def secure(self) -> bool:
        return self.scheme in {"https", "unixs"}

    @property
    def is_unix(self) -> bool:
        return self.scheme in _UNIX


def split_host_port(address: str) -> tuple[str, str]:
    """`host:port` in its parts; brackets of an IPv6 address are taken off.

    Raises:
        ConfigError: there is no port, or an IPv6 address without brackets.
    """
    if address.startswith("["):
        host, bracket, rest = address[1:].partition("]")
        if bracket and rest.startswith(":") and ":" not in rest[1:]:
            return host, rest[1:]
    elif address.count(":") == 1:
        host, _, port = address.partition(":")
        return host, port
    raise ConfigError(f'"{address}" does not have the form "host:port"')


def join_host_port(host: str, port: int) -> str:
    """The inverse of `split_host_port`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def with_port(text: str, port: int) -> str:
    """The URL with another port: what to advertise for a listener that was bound to port 0."""
    url = split_url(text)
    return text.replace(url.address, join_host_port(url.host, port), 1)


def split_url(text: str) -> Url:
    """Take a URL apart, with the errors of Go's `url.Parse`.

    Raises:
        ConfigError: `parse "…": …`.
    """
    if any(char < " " or char == "\x7f" for char in text):
        raise _parse_error(text, "net/url: invalid control character in URL")
    if text.startswith(":"):
        raise _parse_error(text, "missing protocol scheme")
    match = _SCHEME.fullmatch(text)
    scheme, rest = (match[1].lower(), match[2]) if match else ("", text)
    if not rest.startswith("/"):
        if not scheme and ":" in rest.partition("/")[0]:
            raise _parse_error(text, "first path segment in URL cannot contain colon")
        return Url(scheme, "", rest, text)
    if not rest.startswith("//"):
        return Url(scheme, "", re.split(r"[?#]", rest)[0], text)
    authority, _, _ = rest[2:].partition("#")
    authority = re.split(r"[/?]", authority, maxsplit=1)[0]
    path = re.split(r"[?#]", rest[2 + len(authority) :], maxsplit=1)[0]
    address = authority.rpartition("@")[2]
    _check_host(text, address)
    return Url(scheme, address, path, f"{scheme}:{rest}" if scheme else rest)


def _check_host(text: str, address: str) -> None:
    port = ""
    if address.startswith("["):
        bracket = address.rfind("]")
        if bracket < 0:
            raise _parse_error(text, "missing ']' in host")
        port = address[bracket + 1 :]
    elif ":" in address:
        port = address[address.rindex(":") :]
    if not _PORT.fullmatch(port):
        raise _parse_error(text, f"invalid port {_quote(port)} after host")
    for char in address:
        if char.isascii() and not char.isalnum() and char not in _HOST_EXTRA:
            raise _parse_error(text, f"invalid character {_quote(char)} in host name")


def _parse_error(text: str, reason: str) -> ConfigError:
    return ConfigError(f"parse {_quote(text)}: {reason}")


def _quote(text: str) -> str:
    """A string as Go's %q prints it, for the characters that occur in flags."""
    out = text.replace("\\", "\\\\").replace('"', '\\"')
    out = out.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return '"' + "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in out) + '"'


def parse_url(text: str) -> Url:
    """One URL of a list, checked as etcd checks it.

    Raises:
        ConfigError: with etcd's text.
    """
    text = text.strip()
    url = split_url(text)
    if url.scheme in _UNIX:
        return url
    if url.scheme not in _HTTP:
        raise ConfigError(f"URL scheme must be http, https, unix, or unixs: {text}")
    try:
        split_host_port(url.address)
    except ConfigError:
        raise ConfigError(f'URL address does not have the form "host:port": {text}') from None
    if url.path:
        raise ConfigError(f"URL must not contain a path: {text}")
    return url


def parse_urls(text: str) -> tuple[str, ...]:
    """A comma-separated list of URLs, sorted and without repetitions.

    Raises:
        ConfigError: with etcd's text, about the first bad one.
    """
    return check_urls(text.split(","))


def check_urls(urls: Iterable[str]) -> tuple[str, ...]:
    """Check every URL; the answer is sorted and without repetitions."""
    checked = [parse_url(url).text for url in urls]
    if not checked:
        raise ConfigError("no valid URLs given")
    return tuple(sorted(set(checked)))


def parse_initial_cluster(text: str) -> dict[str, tuple[str, ...]]:
    """Read `--initial-cluster`: `name=url,name=url`; a name may come several times.

    A part without `=` is a name without a URL, which is then refused for its (empty) URL.

    Raises:
        ConfigError: a URL is bad.
    """
    urls: dict[str, list[str]] = {}
    for part in text.split(","):
        if part:
            name, _, url = part.partition("=")
            urls.setdefault(name, []).append(url)
    return {name: tuple(sorted(parse_url(u).text for u in given)) for name, given in urls.items()}


def format_initial_cluster(members: Mapping[str, Iterable[str]]) -> str:
    """The inverse of `parse_initial_cluster`, sorted."""
    return ",".join(sorted(f"{name}={url}" for name, urls in members.items() for url in urls))
