"""Lines typed into txn and watch -i, where stock does something sensible or we do better."""

from __future__ import annotations

import pytest

from kvorum.cli.etcdctl.argify import argify
from kvorum.cli.etcdctl.scan import parse_comparison
from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.proto.rpc_pb2 import Compare


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"put k v", ["put", "k", "v"]),
        (b"  put\tk  v ", ["put", "k", "v"]),
        (b'put k "two words"', ["put", "k", "two words"]),
        (b'put k "a\\n\\x41"', ["put", "k", "a\nA"]),
        (b"put k 'two words'", ["put", "k", "two words"]),
        (b"watch --prefix w -- echo 'a b' c", ["watch", "--prefix", "w", "--", "echo", "a b", "c"]),
        (b"put k it's", ["put", "k", "it's"]),
        (b'put k a"b"', ["put", "k", 'a"b"']),
        (b'put k ""', ["put", "k", ""]),
        (b'put k "b"c', ["put", "k", "b", "c"]),
        (b'put k "open', ["put", "k", "open"]),
        (b"put k '", ["put", "k"]),
        (b"", []),
    ],
)
def test_a_line_is_split_into_words(line: bytes, words: list[str]) -> None:
    assert argify(line) == words


def test_a_word_that_is_no_literal_is_an_error_of_input() -> None:
    with pytest.raises(CommandError, match="invalid syntax") as caught:
        argify(b'put k "\\q"')
    assert caught.value.code is Exit.INVALID_INPUT


@pytest.mark.parametrize(
    ("line", "comparison"),
    [
        ('mod("k") > "5"', Compare(target=2, result=1, key=b"k", mod_revision=5)),
        ('ver("k") = "0"', Compare(target=0, result=0, key=b"k", version=0)),
        ('create("k") < "-1"', Compare(target=1, result=2, key=b"k", create_revision=-1)),
        ('val("k") != "a b"', Compare(target=3, result=3, key=b"k", value=b"a b")),
        # Stock 3.5.1 panics at this one.
        ('lease("k") = "1f"', Compare(target=4, result=0, key=b"k", lease=31)),
        ("mod(`a\\b`) = `7`", Compare(target=2, result=0, key=b"a\\b", mod_revision=7)),
    ],
)
def test_a_comparison_is_read(line: str, comparison: Compare) -> None:
    assert parse_comparison(line.encode()) == comparison


@pytest.mark.parametrize(
    ("line", "text"),
    [
        # Stock 3.5.1 panics at both.
        ('mod("k") >= "0"', 'malformed comparison: mod("k") >= "0" (unknown operator >=)'),
        ('val("k") == "0"', 'malformed comparison: val("k") == "0" (unknown operator ==)'),
        ('lease("k") = "zz"', 'invalid txn compare request: lease("k") = "zz"'),
        ('foo("k") = "0"', 'malformed comparison: foo("k") = "0" (unknown target foo)'),
        ('mod("k")="0"', 'malformed comparison: mod("k")="0"; got mod("k")  ""'),
    ],
)
def test_what_is_no_comparison_is_an_error_of_input(line: str, text: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse_comparison(line.encode())
    assert (caught.value.code, caught.value.text) == (Exit.INVALID_INPUT, text)
