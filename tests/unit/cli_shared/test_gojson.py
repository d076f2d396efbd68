from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.cli.shared.gojson import encode, encode_string
from kvorum.proto.kv_pb2 import Event, KeyValue
from kvorum.proto.rpc_pb2 import (
    PutResponse,
    RangeResponse,
    ResponseHeader,
    ResponseOp,
    TxnResponse,
)


def test_fields_come_in_the_order_of_their_declaration_without_zeros() -> None:
    kv = KeyValue(lease=7, value=b"\xff", version=3, mod_revision=2, create_revision=1, key=b"k")
    response = RangeResponse(kvs=[kv], header=ResponseHeader(revision=9), count=1, more=True)
    assert encode(response) == (
        '{"header":{"revision":9},"kvs":[{"key":"aw==","create_revision":1,"mod_revision":2,'
        '"version":3,"value":"/w==","lease":7}],"more":true,"count":1}'
    )


def test_an_empty_message_that_is_there_is_written() -> None:
    assert encode(PutResponse(header=ResponseHeader())) == '{"header":{}}'
    assert encode(PutResponse()) == "{}"


def test_the_one_of_several_stands_in_a_field_of_its_own() -> None:
    response = TxnResponse(succeeded=True, responses=[ResponseOp(response_put=PutResponse())])
    assert encode(response) == ('{"succeeded":true,"responses":[{"Response":{"response_put":{}}}]}')


def test_enums_are_numbers() -> None:
    assert encode(Event(type=Event.DELETE)) == '{"type":1}'


def test_what_html_would_take_for_markup_is_escaped() -> None:
    assert encode_string("<a&b>\u2028") == r'"\u003ca\u0026b\u003e\u2028"'
    assert encode_string('"\\\n\r\t\b\x1f') == r'"\"\\\n\r\t\u0008\u001f"'
    assert encode_string("\x7fé") == '"\x7fé"'
    assert encode_string("\udcff") == '"\\ufffd"'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (-1, "-1"),
        ([], "[]"),
        ({}, "{}"),
        ([{"a": None}, b"\x00"], '[{"a":null},"AA=="]'),
    ],
)
def test_plain_values(value: object, text: str) -> None:
    assert encode(value) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_string_reads_back_as_itself(text: str) -> None:
    assert json.loads(encode_string(text)) == text
