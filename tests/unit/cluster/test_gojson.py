from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.cluster import gojson
from kvorum.errors import DecodeError


def test_characters_that_html_knows_are_escaped_as_go_does() -> None:
    assert gojson.dumps({"a": "<b> & \u2028"}) == b'{"a":"\\u003cb\\u003e \\u0026 \\u2028"}'


def test_other_characters_stay_as_they_are() -> None:
    assert gojson.dumps("käse/ \n") == '"käse/ \\n"'.encode()


def test_half_a_surrogate_pair_becomes_the_replacement_character() -> None:
    assert gojson.dumps("\udc80") == b'"\\ufffd"'


def test_the_largest_id_stays_exact() -> None:
    assert gojson.loads_object(b'{"id":18446744073709551615}', "x") == {"id": 2**64 - 1}


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers()))
def test_what_is_written_reads_back(value: dict[str, int]) -> None:
    assert json.loads(gojson.dumps(value)) == value


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_refused_with_the_name_of_the_record(data: bytes) -> None:
    with pytest.raises(DecodeError, match="member record"):
        gojson.loads_object(data, "member record")
