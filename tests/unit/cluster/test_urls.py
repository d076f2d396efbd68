"""URL lists: texts as stock 3.5.1 printed them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.cluster.urls import (
    format_initial_cluster,
    join_host_port,
    parse_initial_cluster,
    parse_url,
    parse_urls,
    split_host_port,
    split_url,
    with_port,
)
from kvorum.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("foo", "URL scheme must be http, https, unix, or unixs: foo"),
        ("", "URL scheme must be http, https, unix, or unixs: "),
        ("http://127.0.0.1:1,,", "URL scheme must be http, https, unix, or unixs: "),
        ("ftp://h:1", "URL scheme must be http, https, unix, or unixs: ftp://h:1"),
        ("localhost:2379", "URL scheme must be http, https, unix, or unixs: localhost:2379"),
        (
            "127.0.0.1:2379",
            'parse "127.0.0.1:2379": first path segment in URL cannot contain colon',
        ),
        (":2379", 'parse ":2379": missing protocol scheme'),
        ("http://foo", 'URL address does not have the form "host:port": http://foo'),
        ("https:///", 'URL address does not have the form "host:port": https:///'),
        ("http://::1:2379", 'URL address does not have the form "host:port": http://::1:2379'),
        ("http://foo:1/a", "URL must not contain a path: http://foo:1/a"),
        ("http://foo:1/", "URL must not contain a path: http://foo:1/"),
        ("http://h:x", 'parse "http://h:x": invalid port ":x" after host'),
        ("http://[::1", "parse \"http://[::1\": missing ']' in host"),
        ("http://a b", 'parse "http://a b": invalid character " " in host name'),
        ("http://a\x01:1", 'parse "http://a\\x01:1": net/url: invalid control character in URL'),
    ],
)
def test_a_bad_url_is_refused_in_stocks_words(text: str, refusal: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_urls(text)
    assert str(caught.value) == refusal


def test_a_list_comes_out_sorted_trimmed_and_without_repetitions() -> None:
    assert parse_urls("http://b:2 , http://a:1,http://b:2") == ("http://a:1", "http://b:2")


def test_the_scheme_may_be_written_in_capitals() -> None:
    assert parse_url("HTTP://h:1").text == "http://h:1"


@pytest.mark.parametrize(
    ("text", "host", "port", "secure"),
    [
        ("http://[::1]:2379", "::1", 2379, False),
        ("https://example.com:0", "example.com", 0, True),
        ("http://user:secret@h:80?x=1#y", "h", 80, False),
        ("http://:2379", "", 2379, False),
        ("http://h:", "h", 0, False),
    ],
)
def test_host_and_port_are_found(text: str, host: str, port: int, secure: bool) -> None:
    url = parse_url(text)
    assert (url.host, url.port, url.secure) == (host, port, secure)


def test_a_unix_url_is_known_as_one() -> None:
    assert parse_url("unix://run/kvorum.sock").is_unix


def test_the_port_of_a_url_can_be_replaced() -> None:
    assert with_port("http://127.0.0.1:0", 4711) == "http://127.0.0.1:4711"
    assert with_port("http://[::1]:0", 4711) == "http://[::1]:4711"


@given(st.text(max_size=40))
def test_any_text_is_either_a_url_or_a_configuration_error(text: str) -> None:
    try:
        url = parse_url(text)
    except ConfigError:
        return
    assert url.scheme in {"http", "https", "unix", "unixs"}


@given(host=st.sampled_from(["h", "127.0.0.1", "::1", "fe80::1%eth0"]), port=st.integers(0, 65535))
def test_host_and_port_survive_being_joined(host: str, port: int) -> None:
    assert split_host_port(join_host_port(host, port)) == (host, str(port))


@pytest.mark.parametrize("address", ["h", "a:b:1", "[::1]", "[::1]x", "[::1]:1:2", ""])
def test_an_address_without_a_port_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="host:port"):
        split_host_port(address)


def test_a_relative_url_has_no_scheme() -> None:
    assert split_url("/a/b").scheme == ""


def test_an_initial_cluster_is_read_by_name() -> None:
    named = parse_initial_cluster("b=http://b:1,a=http://a:2,,a=http://a:1")
    assert named == {"b": ("http://b:1",), "a": ("http://a:1", "http://a:2")}
    assert format_initial_cluster(named) == "a=http://a:1,a=http://a:2,b=http://b:1"


@pytest.mark.parametrize(
    ("text", "refusal"), [("foo", ": "), ("default=foo", ": foo"), ("a==x", ": =x")]
)
def test_a_member_without_a_usable_url_is_refused(text: str, refusal: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_initial_cluster(text)
    assert f"URL scheme must be http, https, unix, or unixs{refusal}" in str(caught.value)
