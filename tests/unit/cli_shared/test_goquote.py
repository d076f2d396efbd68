from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.cli.shared.goquote import (
    UnquoteError,
    quote,
    quote_first_byte,
    to_bytes,
    to_text,
    unquote,
)


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (b"", '""'),
        (b"plain", '"plain"'),
        (b'q"\\', r'"q\"\\"'),
        (b"\a\b\f\n\r\t\v", r'"\a\b\f\n\r\t\v"'),
        (b"\x00\x1b", r'"\x00\x1b"'),
        (b"\x7f", r'"\u007f"'),  # Go 1.16; later ones write \x7f
        (b"\xff\xc3", r'"\xff\xc3"'),
        (b"\xed\xa0\x80", r'"\xed\xa0\x80"'),
        ("é日\U0001f600".encode(), '"é日\U0001f600"'),
        ("\u200b\xa0".encode(), r'"\u200b\u00a0"'),
        ("\U000e0001".encode(), r'"\U000e0001"'),
        ("\ufffd".encode(), '"\ufffd"'),
        (b"<&>'", '"<&>\'"'),
    ],
)
def test_bytes_are_quoted_as_go_quotes_them(value: bytes, literal: str) -> None:
    assert quote(value) == literal


@given(st.binary())
def test_what_is_quoted_unquotes_to_the_same_bytes(value: bytes) -> None:
    assert unquote(to_bytes(quote(value))) == value
    assert to_bytes(to_text(value)) == value


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        (rb'"\x41\101\u00e9\U0001f600"', "AAé\U0001f600".encode()),
        (rb'"\xff"', b"\xff"),
        (b'"tab\there"', b"tab\there"),
        (b'"\xff"', "\ufffd".encode()),  # bytes that are no text are replaced
    ],
)
def test_literals_are_read_as_go_reads_them(literal: bytes, value: bytes) -> None:
    assert unquote(literal) == value


@pytest.mark.parametrize(
    "literal",
    [
        b"",
        b'"',
        b"plain",
        b'"a',
        b'"a"b"',
        rb'"\q"',
        rb'"\x4"',
        rb'"\400"',
        rb'"\ud800"',
        rb'"\U00110000"',
        rb"'a'",
        b'"a\nb"',
        b'"\\"',
    ],
)
def test_what_is_no_literal_is_refused(literal: bytes) -> None:
    with pytest.raises(UnquoteError, match="invalid syntax"):
        unquote(literal)


@pytest.mark.parametrize(
    ("text", "quoted"), [("x", "'x'"), ("'", r"'\''"), ('"', "'\"'"), ("é", "'Ã'"), ("\n", r"'\n'")]
)
def test_a_flag_is_named_by_its_first_byte(text: str, quoted: str) -> None:
    assert quote_first_byte(text) == quoted
