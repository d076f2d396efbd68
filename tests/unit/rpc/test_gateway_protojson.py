"""JSON of the gateway as 3.6 reads it. Texts of refusals are what stock etcd 3.6.16 answered."""

from __future__ import annotations

from typing import Any

import pytest

from kvorum.proto import auth_pb2 as auth
from kvorum.proto import rpc_pb2 as rpc
from kvorum.rpc.gateway.decode import JsonError
from kvorum.rpc.gateway.protojson import read_message


def refusal(text: str, kind: Any = rpc.RangeRequest) -> str:
    with pytest.raises(JsonError) as caught:
        read_message(kind, text)
    return str(caught.value)


def test_no_text_is_an_empty_message_and_null_is_none() -> None:
    assert read_message(rpc.RangeRequest, " \n") == rpc.RangeRequest()
    assert refusal("null") == "proto: syntax error (line 1:1): unexpected token null"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("YQ==", b"a"),
        ("YQ", b"a"),
        ("Zm9v", b"foo"),
        ("-_-_", b"\xfb\xff\xbf"),
        ("+/+/", b"\xfb\xff\xbf"),
        ("YR==", b"a"),
        ("", b""),
    ],
)
def test_bytes_are_base64_of_either_alphabet_padded_or_not(written: str, meant: bytes) -> None:
    assert read_message(rpc.RangeRequest, f'{{"key":"{written}"}}').key == meant


@pytest.mark.parametrize("written", ["!!", "Zm9v=", "Z===", "Zg=v", "Zg==\\nZg", "+/_-", "YQ="])
def test_other_bytes_are_refused_as_they_are_written(written: str) -> None:
    found = refusal(f'{{"key":"{written}"}}')
    assert found == f'proto: (line 1:8): invalid value for bytes field key: "{written}"'


@pytest.mark.parametrize(
    ("written", "meant"),
    [("1.0", 1), ('"1e3"', 1000), ("1.50e1", 15), ("150e-1", 15), ('"5 6"', 5), ('"-7"', -7)],
)
def test_whole_numbers_have_any_notation(written: str, meant: int) -> None:
    assert read_message(rpc.RangeRequest, f'{{"limit":{written}}}').limit == meant


@pytest.mark.parametrize(
    "written",
    [
        *('"x"', '""', '" 5"', '"5 "', '"12e"', '"05"', "1.5", "1e30", "1e9999", "true", "1e-9999"),
        *("9223372036854775808", "-9223372036854775809"),
    ],
)
def test_what_is_no_whole_number_in_range_is_refused(written: str) -> None:
    found = refusal(f'{{"limit":{written}}}')
    assert found == f"proto: (line 1:10): invalid value for int64 field limit: {written}"


def test_the_place_of_a_fault_is_told_by_line_and_character() -> None:
    text = ' {"key": "YQ==",\n "é": [1, {"a": null}],\n  "limit" : [1]}'
    assert refusal(text) == "proto: (line 3:13): invalid value for int64 field limit: ["
    text = '{"success":[{"request_range":{"key":"YQ=="}},{"requestRange":{"key":5}}]}'
    found = refusal(text, rpc.TxnRequest)
    assert found == "proto: (line 1:69): invalid value for bytes field key: 5"


@pytest.mark.parametrize(
    "text",
    ['{"key":"YQ==","key":"Yg=="}', '{"key":"YQ==","key":null}', '{"key":null,   "key":"YQ=="}'],
)
def test_a_field_that_is_there_twice_is_refused(text: str) -> None:
    column = text.rindex('"key"') + 1
    assert refusal(text) == f'proto: (line 1:{column}): duplicate field "key"'


def test_both_names_of_a_field_are_one_field() -> None:
    text = '{"range_end":"YQ==","rangeEnd":"Yg=="}'
    assert refusal(text) == 'proto: (line 1:21): duplicate field "rangeEnd"'


def test_two_fields_of_a_oneof_are_refused_unless_one_is_null() -> None:
    text = '{"success":[{"request_put":%s,"request_range":{"key":"YQ=="}}]}'
    assert refusal(text % '{"key":"Yw=="}', rpc.TxnRequest) == (
        'proto: (line 1:43): error parsing "request_range",'
        " oneof etcdserverpb.RequestOp.request is already set"
    )
    read = read_message(rpc.TxnRequest, text % "null")
    assert read.success[0].request_range.key == b"a"


@pytest.mark.parametrize("item", ["null", "5", '"x"', "["])
def test_a_list_holds_messages_only(item: str) -> None:
    text = f'{{"success":[{item}{"]" if item == "[" else ""}]}}'
    found = refusal(text, rpc.TxnRequest)
    assert found == f"proto: syntax error (line 1:13): unexpected token {item}"


def test_enums_that_are_not_known_are_passed_over() -> None:
    request = '{"sort_order":"FOO","sort_target":"MOD"}'
    assert read_message(rpc.RangeRequest, request) == rpc.RangeRequest(sort_target=3)
    create = read_message(rpc.WatchCreateRequest, '{"filters":["NOPUT","NOPE",1]}')
    assert list(create.filters) == [0, 1]
    found = refusal('{"sort_order":1.5}')
    assert found == "proto: (line 1:15): invalid value for enum field sortOrder: 1.5"


def test_bytes_that_are_no_utf8_are_refused_with_their_place() -> None:
    broken = b"\xff".decode("utf-8", "surrogateescape")
    expected = "proto: syntax error (line 1:%d): invalid UTF-8 in string"
    assert refusal(f'{{"name":"{broken}"}}', auth.User) == expected % 9
    assert refusal(f'{{"{broken}":1}}', auth.User) == expected % 2


def test_json_that_is_none_is_refused_in_the_words_of_the_old_gateway() -> None:
    assert refusal('{"key":') == "unexpected EOF"
    assert refusal("{'a'}").startswith("invalid character '\\''")


def test_deep_nesting_is_refused() -> None:
    depth = 100_000
    text = '{"success":[{"request_txn":' * depth + "{}" + "}]}" * depth
    assert refusal(text, rpc.TxnRequest) == "exceeded max depth"
