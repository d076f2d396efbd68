"""JSON of the gateway, both ways. Texts of refusals are what stock etcd 3.5.1 answered."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from kvorum.proto import auth_pb2 as auth
from kvorum.proto import kv_pb2 as kv
from kvorum.proto import rpc_pb2 as rpc
from kvorum.rpc.gateway.base64 import from_base64
from kvorum.rpc.gateway.decode import JsonError, parse_first, read_message
from kvorum.rpc.gateway.encode import string_to_json, to_json

INT64 = st.integers(-(2**63), 2**63 - 1)
UINT64 = st.integers(0, 2**64 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def read(kind: Any, text: str, **options: bool) -> Any:
    return read_message(kind, parse_first(text), **options)


def refusal(kind: Any, text: str, **options: bool) -> str:
    with pytest.raises(JsonError) as caught:
        read(kind, text, **options)
    return str(caught.value)


# Writing.


def test_fields_with_default_values_are_left_out() -> None:
    assert to_json(rpc.RangeResponse()) == b"{}"
    response = rpc.RangeResponse(header=rpc.ResponseHeader(), kvs=[kv.KeyValue()])
    assert to_json(response) == b'{"header":{},"kvs":[{}]}'


def test_every_kind_of_field_is_written_as_stock_does() -> None:
    response = rpc.StatusResponse(
        header=rpc.ResponseHeader(cluster_id=2**64 - 1, revision=-1),
        version="3.5.1",
        dbSize=20480,
        errors=["a", ""],
        isLearner=True,
    )
    assert to_json(response) == (
        b'{"header":{"cluster_id":"18446744073709551615","revision":"-1"},"version":"3.5.1",'
        b'"dbSize":"20480","errors":["a",""],"isLearner":true}'
    )
    alarm = rpc.AlarmResponse(alarms=[rpc.AlarmMember(memberID=1, alarm=rpc.NOSPACE)])
    assert to_json(alarm) == b'{"alarms":[{"memberID":"1","alarm":"NOSPACE"}]}'
    event = kv.Event(type=kv.Event.DELETE, kv=kv.KeyValue(key=b"\xff\x00"))
    assert to_json(event) == b'{"type":"DELETE","kv":{"key":"/wA="}}'
    assert to_json(rpc.HashResponse(hash=2**32 - 1)) == b'{"hash":4294967295}'


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", '"plain"'),
        ("<&>", '"\\u003c\\u0026\\u003e"'),
        ("\u2028\u2029\u00e9", '"\\u2028\\u2029\u00e9"'),
        ("\b\f\n\r\t\x01\x7f", '"\\u0008\\u000c\\n\\r\\t\\u0001\x7f"'),
        ("\\b\\\\f\\", '"\\\\b\\\\\\\\f\\\\"'),
        ('"', '"\\""'),
    ],
)
def test_strings_are_escaped_as_go_does(text: str, written: str) -> None:
    assert string_to_json(text).decode() == written


@given(TEXT)
def test_a_string_that_was_written_reads_as_itself(text: str) -> None:
    assert json.loads(string_to_json(text)) == text


# Reading.


def test_both_styles_of_names_are_taken_and_the_camel_one_wins() -> None:
    assert read(rpc.RangeRequest, '{"range_end":"YQ=="}').range_end == b"a"
    assert read(rpc.RangeRequest, '{"rangeEnd":"YQ=="}').range_end == b"a"
    both = read(rpc.RangeRequest, '{"rangeEnd":"Yg==","range_end":"YQ=="}')
    assert both.range_end == b"b"
    assert read(rpc.RangeRequest, '{"rangeEnd":null,"range_end":"YQ=="}').range_end == b""


@pytest.mark.parametrize(
    "text", ["", "  ", "null", "{}", '{"KEY":"YQ==","x":[{}]}', '{"key":null}']
)
def test_what_says_nothing_is_an_empty_message(text: str) -> None:
    assert read(rpc.RangeRequest, text) == rpc.RangeRequest()


def test_only_the_first_value_counts() -> None:
    assert read(rpc.RangeRequest, ' {"limit":1} {"limit":2').limit == 1


def test_numbers_may_be_strings_and_enums_names_or_numbers() -> None:
    request = read(
        rpc.RangeRequest,
        '{"limit":"-5","revision":7,"sort_order":"DESCEND","sort_target":2,"min_mod_revision":"null"}',
    )
    assert (request.limit, request.revision, request.min_mod_revision) == (-5, 7, 0)
    assert (request.sort_order, request.sort_target) == (2, 2)
    assert read(rpc.RangeRequest, '{"sort_order":9}').sort_order == 9


def test_bytes_may_be_a_list_of_numbers() -> None:
    assert read(rpc.RangeRequest, '{"key":[0,255,null]}').key == b"\0\xff\0"


def test_the_last_field_of_a_oneof_wins() -> None:
    op = read(rpc.RequestOp, '{"request_put":{"key":"YQ=="},"request_range":{"key":"Yg=="}}')
    assert op == rpc.RequestOp(request_put=rpc.PutRequest(key=b"a"))


def test_a_oneof_set_to_its_default_is_set() -> None:
    compare = read(rpc.Compare, '{"version":"0"}')
    assert compare.WhichOneof("target_union") == "version"


def test_half_a_surrogate_pair_is_replaced() -> None:
    request = read(rpc.AuthenticateRequest, '{"name":"\\ud800a\\ud83d\\ude00"}')
    assert request.name == "\ufffda\U0001f600"


def test_bytes_that_are_no_utf8_are_replaced_one_by_one() -> None:
    text = b'{"name":"a\xff\xfe"}'.decode("utf-8", "surrogateescape")
    assert read(rpc.AuthenticateRequest, text).name == "a\ufffd\ufffd"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ('"key":5', "json: cannot unmarshal number into Go value of type []uint8"),
        ('"key":[256]', "json: cannot unmarshal number 256 into Go value of type uint8"),
        ('"key":["1"]', "json: cannot unmarshal string into Go value of type uint8"),
        ('"limit":true', "json: cannot unmarshal bool into Go value of type int64"),
        ('"limit":1e3', "json: cannot unmarshal number 1e3 into Go value of type int64"),
        ('"limit":"x"', "invalid character 'x' looking for beginning of value"),
        ('"limit":""', "unexpected end of JSON input"),
        ('"limit":"5 6"', "invalid character '6' after top-level value"),
        ('"limit":"1e"', "invalid character ' ' in exponent of numeric literal"),
        ('"limit":"\\"5\\""', "json: cannot unmarshal string into Go value of type int64"),
        ('"serializable":1', "json: cannot unmarshal number into Go value of type bool"),
        (
            '"sort_order":"<X>"',
            'unknown value "\\"<X>\\"" for enum etcdserverpb.RangeRequest.SortOrder',
        ),
        (
            '"sort_order":1.5',
            "json: cannot unmarshal number 1.5 into Go value of type protoreflect.EnumNumber",
        ),
    ],
)
def test_a_wrong_value_is_refused_in_gos_words(fields: str, text: str) -> None:
    assert refusal(rpc.RangeRequest, f"{{{fields}}}") == text


def test_enums_of_older_versions_have_other_names() -> None:
    wrong = '{"sort_order":"X"}'
    expected = 'unknown value "X" for enum etcdserverpb.RangeRequest_SortOrder'
    assert refusal(rpc.RangeRequest, wrong, names_before_35=True) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[]", "json: cannot unmarshal array into Go value of type map[string]json.RawMessage"),
        ("{", "unexpected EOF"),
        ('{"a"', "unexpected EOF"),
        ('{"a":tr', "unexpected EOF"),
        ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        ('{"a":[1 2]}', "invalid character '2' after array element"),
        ('{"a":[1,{"b":[]},]}', "invalid character ']' looking for beginning of value"),
        ('{"a":NaN}', "invalid character 'N' looking for beginning of value"),
        ('{"a":-Infinity}', "invalid character 'I' in numeric literal"),
        ('{"a":1.}', "invalid character '}' after decimal point in numeric literal"),
        ('{"a":trux}', "invalid character 'x' in literal true (expecting 'e')"),
        ('{"a":"\\x"}', "invalid character 'x' in string escape code"),
        ('{"a":"\\u12g4"}', "invalid character 'g' in \\u hexadecimal character escape"),
        ('{"a":"\n"}', "invalid character '\\n' in string literal"),
        ("'", "invalid character '\\'' looking for beginning of value"),
        ("\x7f", "invalid character '\\u007f' looking for beginning of value"),
        ("\u00e9", "invalid character '\u00c3' looking for beginning of value"),
        ('{"a":' * 5_000, "exceeded max depth"),
    ],
)
def test_what_is_no_json_is_refused_in_gos_words(text: str, reason: str) -> None:
    assert refusal(rpc.RangeRequest, text) == reason


def test_a_long_text_that_is_no_json_is_refused_quickly() -> None:
    assert refusal(rpc.RangeRequest, "[" + "1," * 1_000_000) == "invalid JSON"


# Against the library.


def _texts(values: Any) -> Any:
    return st.one_of(values, values.map(str))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "key": st.binary(max_size=8).map(lambda data: base64.b64encode(data).decode()),
            "limit": _texts(INT64),
            "minModRevision": _texts(INT64),
            "sort_target": st.sampled_from([0, 1, 4, "KEY", "MOD", "VALUE"]),
            "serializable": st.booleans(),
        },
    )
)
def test_it_reads_what_the_library_reads(fields: dict[str, Any]) -> None:
    text = json.dumps(fields)
    assert read(rpc.RangeRequest, text) == json_format.Parse(text, rpc.RangeRequest())


@given(
    st.builds(
        rpc.StatusResponse,
        version=TEXT,
        dbSize=INT64,
        leader=UINT64,
        errors=st.lists(TEXT, max_size=3),
        isLearner=st.booleans(),
    )
)
def test_what_it_writes_the_library_reads(message: Any) -> None:
    assert json_format.Parse(to_json(message), rpc.StatusResponse()) == message
    assert read(rpc.StatusResponse, to_json(message).decode()) == message


@given(
    st.builds(
        auth.Role,
        name=st.binary(max_size=5),
        keyPermission=st.lists(
            st.builds(auth.Permission, permType=st.integers(0, 2), key=st.binary(max_size=5)),
            max_size=3,
        ),
    )
)
def test_messages_within_messages_read_as_they_were_written(message: Any) -> None:
    assert read(auth.Role, to_json(message).decode()) == message


# Base64.


@given(st.binary(max_size=40), st.data())
def test_line_breaks_in_base64_are_passed_over(data: bytes, cuts: st.DataObject) -> None:
    text = base64.b64encode(data).decode()
    at = cuts.draw(st.integers(0, len(text)))
    assert from_base64(text[:at] + "\r\n" + text[at:]) == data


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("!!", 0),
        ("Zm9", 0),
        ("Zm9vZg", 4),
        ("Zm9v=", 4),
        ("Z===", 1),
        ("Zg=v", 2),
        ("Zg=", 3),
        ("Zg==Zg==", 4),
        ("Zg==\nZg", 5),
        ("Zm-_", 2),
        ("\u00e9", 0),
    ],
)
def test_bad_base64_is_pointed_at(text: str, at: int) -> None:
    with pytest.raises(ValueError, match=f"illegal base64 data at input byte {at}$"):
        from_base64(text)
