"""Scripts about transactions."""

from __future__ import annotations

from tests.interop.etcdctl_steps import (
    FORMATS,
    SIX_KEYS,
    Script,
    Step,
)

_TXN_ALL = b"\nput a 1\nget a\ndel b\nget a z --limit 1\nput d x --prev-kv\n\n\n"


def _txn(text: str, *flags: str) -> Step:
    return Step(" ".join(("txn", *flags)), stdin=text.encode())


def _compares(*lines: str) -> tuple[Step, ...]:
    return tuple(_txn(f"{line}\n\nget k1\n\nget k2\n\n") for line in lines)


TXN = Script(
    "txn",
    (
        *SIX_KEYS,
        Step("txn extra"),
        Step("txn"),
        _txn("\n\n\n"),
        _txn("\n\n"),
        _txn("\n\n\n", "-i"),
        _txn("\n\n\n", "--interactive=false"),
        _txn("\n\n", "-i"),
        _txn("garbage\n", "-i"),
        _txn('mod("k1") > "0"\n\nput k1 "overwritten"\nget k1\n\nput k1 "no"\n\n', "-i"),
        _txn('mod("missing") > "0"\n\nput k1 "no"\n\nget k1\ndel k2\nput k2 v --prev-kv\n\n'),
        *(Step(f"txn -w {form}", stdin=_TXN_ALL) for form in FORMATS),
        _txn("\n\n\n", "-w json"),
        _txn('mod("missing") > "0"\n\n\nget k1\n\n', "-w json"),
        _txn("\nget k1\n\n\n", "-w bad"),
        _txn("\nget k1\n\n\n", "--hex"),
        *_compares(
            'val("k1") = "overwritten"',
            'value("k1") != "overwritten"',
            'value("k1") < "zzz"',
            'ver("k1") > "1"',
            'version("k1") = "010"',
            'c("k1") > "0"',
            'create("k1") != "5"',
            'm("k1") < "-1"',
            'mod("k1") = "+5"',
            'mod("missing") = "0"',
            'mod("") = "0"',
            "mod(`k1`) > `0`",
            'mod("\\x6b1") > "0"',
            'mod("k1") >\t"0"',
            'mod("k1")   >   "0"  ignored',
            'foo("k1") > "0"',
            'mod ("k1") > "0"',
            'MOD("k1") > "0"',
            'mod("k1") > "x"',
            'mod("k1") > "0x1"',
            'mod("k1") > "1_0"',
            'mod("k1") > ""',
            'mod("k1") > "99999999999999999999"',
            'mod("k1") >= "x"',
            'mod("k1") > 5',
            "mod(k1) > '5'",
            "mod('k1') > \"5\"",
            'mod("k1")>"5"',
            'mod( "k1" ) > "5"',
            'mod("k1"',
            'mod("k1',
            "mod(",
            "(",
            "garbage",
            'mod("\\z") > "0"',
        ),
        *(
            _txn(f"\n{line}\n\n\n")
            for line in (
                "get k1 --keys-only",
                "get k1 --rev 2",
                "get k --prefix --order=DESCEND --limit 2",
                "get k1 --print-value-only",
                "get k1 k2 ignored",
                "get k1 --rev 1000",
                "get a --order x",
                "get a --consistency x",
                'get ""',
                "del k2 --prev-kv",
                "del missing",
                "de missing",
                "del",
                "put k1",
                "put k1 v --ignore-value",
                "put k1 v --lease=zz",
                "put k1 v --lease=99",
                'put k1 "a b"\nget k1',
                'put k1 "a\\nb\\x41\\101\\u00e9"\nget k1',
                'put k1 "bad \\q"',
                'put k1 ""\nget k1',
                'put k1 a"b"c\nget k1',
                "put k1 it's\nget k1",
                'put k1 "b"c\nget k1',
                'put k1 "open\nget k1',
                "put k1 -- -v\nget k1",
                "put k1 v w x\nget k1",
                '"put" k1 z\nget k1',
                "  get\tk1  ",
                "put k1 é\nget k1",
                "put k1 a\nput k1 b",
                "foo bar",
                "foo",
                "PUT a b",
                "compaction 3",
                "txn",
            )
        ),
        _txn("\r\nput k1 b\r\nget k1\r\n\r\n\r\n"),
        Step("txn", stdin=b"\nput a --nosuch\n\n\n", usage=True),
        Step("txn", stdin=b"\nget a -w json\n\n\n", usage=True),
        Step("txn", stdin=b"\nget a --limit=x\n\n\n", usage=True),
    ),
)
