"""Values in lines for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.cli.etcdutl.lines import quoted, readable
from kvorum.cli.shared.goquote import quote, unquote


@given(st.binary(max_size=40))
def test_what_is_quoted_can_be_read_back(value: bytes) -> None:
    assert unquote(quoted(value).encode()) == value


@given(st.text(max_size=40))
def test_text_is_quoted_as_go_quotes_it(text: str) -> None:
    assert quoted(text.encode()) == quote(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b'a"\n\x00', r'"a\"\n\x00"'), (b"\xff\xc3\xa9", r'"\xff\xc3\xa9"'), ("é".encode(), '"é"')],
)
def test_bytes_that_are_no_text_are_escaped_one_by_one(value: bytes, expected: str) -> None:
    assert quoted(value) == expected


def test_a_message_is_one_line_of_json() -> None:
    message = {"key": b"a\xff", "lease": 1 << 62, "ops": [{"put": b"x"}], "on": True}
    assert readable(message) == (
        r'{"key": "a\\xff", "lease": 4611686018427387904, "ops": [{"put": "x"}], "on": true}'
    )
