"""What etcdctl is asked to do when two clients, or two servers, are compared.

A script is a list of steps on a fresh server; a step is one run of etcdctl. Nothing here says what
the right answer is: two runs of a script are compared with each other (`etcdctl_runner`).

In a command line `{ep}` is the server's address, `{dead}` an address where nobody listens, and
`{name}` what an earlier step saved under that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DEAD_ENDPOINT = "127.0.0.1:1"
"""Port 1 is privileged and unassigned: connections to it are refused at once."""

LEASE = r"lease ([0-9a-f]{16})"


@dataclass(frozen=True, slots=True)
class Step:
    """One run of etcdctl."""

    line: str
    stdin: bytes | None = None
    """None: the input is empty. Sent at once, except with `until`."""
    env: Mapping[str, str] = field(default_factory=dict)
    save: tuple[str, str] | None = None
    """Name, and a pattern for the output whose group is what to save."""
    until: bytes | None = None
    """Wait until this is in the output, then send SIGINT. (The input stays open.)"""
    talk: tuple[tuple[bytes, bytes], ...] = ()
    """With the input open: wait until the first is in the output (either of them), send the second;
    then the next pair. After the last one the input is closed, unless there is `until`."""
    usage: bool = False
    """The output holds a usage text, which differs in wording."""
    any_order: bool = False
    """Lines of the output may come in any order."""
    modern: bool = False
    """Not for clients before 3.5."""


@dataclass(frozen=True, slots=True)
class Script:
    """Steps that build on each other, on a server of their own."""

    name: str
    steps: tuple[Step, ...]
    server_flags: tuple[str, ...] = ()


def _lines(*lines: str) -> tuple[Step, ...]:
    return tuple(Step(line) for line in lines)


FORMATS = ("simple", "json", "fields", "protobuf", "table")


def _in_all_formats(line: str) -> tuple[Step, ...]:
    return tuple(Step(f"{line} -w {form}") for form in FORMATS)


PUT = Script(
    "put",
    (
        *_lines(
            "put",
            "put k",
            "put k v",
            "put k v2 --prev-kv",
            "put k v3 more",
            "put '' v",
            "put k -- -v",
            "put -- k -v",
            "put --ignore-value k",
            "put --ignore-value k v",
            "put --ignore-value missing",
            "put --ignore-lease missing v",
            "put --ignore-lease k v",
            "put --lease zz k v",
            "put --lease 0x5 k v",
            "put --lease 12345 k v",
            "put --lease=0 k v",
            "put --lease 5 --ignore-lease k v",
            "put --ignore-value --ignore-lease k --prev-kv",
            "put k v --prev-kv --hex",
            "put k v -w bad",
            "put k v --prev-kv=false",
            "put k v --prev-kv=T",
            "pu k v",
        ),
        Step("put k", stdin=b"from stdin\n"),
        Step("put k2", stdin=b"\x00\xff binary"),
        Step("put k3", stdin=b""),
        *_in_all_formats("put k v"),
        *_in_all_formats("put k v --prev-kv"),
        Step("put k v --nosuch", usage=True),
        Step("put k -v", usage=True),
        Step("put k v --prev-kv=maybe", usage=True),
        Step("put k v --lease", usage=True),
    ),
)

_SIX_KEYS = _lines(
    "put k1 v6", "put k2 v5", "put k3 v4", "put other v3", "put k1 again", "put z v1"
)

GET = Script(
    "get",
    (
        *_SIX_KEYS,
        *_lines(
            "get",
            "get k1",
            "get missing",
            "get k1 k3",
            "get k1 k3 ignored",
            "get k --prefix",
            "get --prefix k",
            "get k2 --from-key",
            "get '' --prefix",
            "get '' --from-key",
            "get ''",
            "get k1 k3 --prefix",
            "get k1 k3 --from-key",
            "get k --prefix --from-key",
            "get k --prefix --limit 2",
            "get k --prefix --limit=0x2",
            "get k --prefix --limit=-1",
            "get k --prefix --keys-only",
            "get k --prefix --print-value-only",
            "get k --prefix --keys-only --print-value-only",
            "get k --prefix --order descend",
            "get k --prefix --order ASCEND",
            "get k --prefix --order sideways",
            "get '' --prefix --sort-by create",
            "get '' --prefix --sort-by MODIFY --order DESCEND",
            "get '' --prefix --sort-by version --order descend --limit 1",
            "get '' --prefix --sort-by value",
            "get '' --prefix --sort-by key --order descend",
            "get k --sort-by colour",
            "get k1 --rev 2",
            "get k1 --rev 1",
            "get k1 --rev=-5",
            "get k1 --rev 1000",
            "get k1 --consistency s",
            "get k1 --consistency l",
            "get k1 --consistency x",
            "get k1 --hex",
            "get k1 -w json --hex",
            "get k1 -w fields --hex",
            "get k1 --print-value-only -w json",
            "get k --prefix -w json --limit 2",
            "get k --prefix -w fields --limit 2",
            "get k --prefix -w protobuf --limit 2",
            "get k --prefix -w bad",
            "get k1 -w ''",
            "get k1 -w JSON",
            "ge k1",
            "get -- --prefix",
            "get -",
            "get z a",
        ),
        *_in_all_formats("get missing"),
        *_in_all_formats("get k --prefix"),
        Step("get k --prefix --count-only -w fields", modern=True),
        Step("get k --prefix --count-only", modern=True),
        Step("get k --prefix --count-only -w json", modern=True),
        Step("get k --prefix --count-only --keys-only", modern=True),
        Step("get --prefix"),
        Step("get k --limit x", usage=True),
        Step("get k --limit", usage=True),
        Step("get k --limit=9223372036854775808", usage=True),
        Step("get k --limit=", usage=True),
        Step("get -prefix k", usage=True),
        Step("get --lim 3 k", usage=True),
        Step("get k ---x", usage=True),
        Step("get k --=x", usage=True),
        Step("get k -=x", usage=True),
        Step("get k -xw json", usage=True),
        Step("get k -w", usage=True),
        Step("get -h", usage=True),
        Step("get k1 --help", usage=True),
        Step("get -hw json k", usage=True),
    ),
)

DELETE = Script(
    "del",
    (
        *_SIX_KEYS,
        *_lines(
            "del",
            "del a b c",
            "del missing",
            "del k1 --prev-kv",
            "del k2 k3 --prev-kv",
            "del k --prefix --prev-kv --hex",
            "del k --prefix --from-key",
            "del a b --prefix",
            "del a b --from-key",
            "del ''",
            "del '' --prefix",
            "put k1 v",
            "put k2 v",
            "del k2 --from-key",
            "del k1 -w json",
            "put k1 v",
            "del k1 -w json --prev-kv",
            "put k1 v",
            "del k1 -w fields --prev-kv",
            "put k1 v",
            "del k1 -w protobuf --prev-kv",
            "put k1 v",
            "del k1 -w table",
            "get k1",
            "put k1 v",
            "del k1 -w bad",
            "get k1",
        ),
    ),
)

BINARY = Script(
    "binary",
    (
        Step("put bin", stdin=b'q"\\\n\t\r\a\b\f\v\x1b\xc2\xa0\xef\xbf\xbd\xf3\xa0\x80\x81<&>\x7f'),
        Step("put html", stdin=b"<a href='x'>&amp;\xe2\x80\xa8</a>"),
        Step("put utf8", stdin="é日本\U0001f600\u200b\u0301".encode()),
        Step("put broken", stdin=b"\xff\xfe\xed\xa0\x80\xc3"),
        Step("put b\u00e9\u200bx\\y v"),
        *_in_all_formats("get '' --prefix"),
        Step("get '' --prefix --hex"),
    ),
)

_TXN_ALL = b"\nput a 1\nget a\ndel b\nget a z --limit 1\nput d x --prev-kv\n\n\n"


def _txn(text: str, *flags: str) -> Step:
    return Step(" ".join(("txn", *flags)), stdin=text.encode())


def _compares(*lines: str) -> tuple[Step, ...]:
    return tuple(_txn(f"{line}\n\nget k1\n\nget k2\n\n") for line in lines)


TXN = Script(
    "txn",
    (
        *_SIX_KEYS,
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

COMPACTION = Script(
    "compaction",
    (
        *_SIX_KEYS,
        *_lines(
            "compaction",
            "compaction x",
            "compaction 1 2",
            "compaction 99999999999999999999",
            "compaction 0",
            "compaction -- -5",
            "compaction 1000",
            "compaction 3",
            "compaction 3",
            "get k1 --rev 2",
            "get k1 --rev 3",
            "compact 4",
            "compaction 5 --physical",
            "compaction 6 -w json",
            "compaction 7 -w bad",
            "comp 7",
            "endpoint hashkv --rev 2",
        ),
        Step("compaction -5", usage=True),
    ),
)

LEASES = Script(
    "lease",
    (
        *_lines(
            "lease grant",
            "lease grant x",
            "lease grant 1_0",
            "lease grant ''",
            "lease grant 100 200",
            "lease grant 9999999999",
            "lease grant 0 -w bad",
            "lease list",
            "lease list -w json",
            "lease list -w fields",
            "lease list extra",
        ),
        Step("lease grant 300", save=("lease", LEASE)),
        *_lines(
            "lease timetolive",
            "lease timetolive zz",
            "lease timetolive 1 2",
            "lease timetolive 1",
            "lease timetolive -- -1",
            "lease timetolive 7FFFFFFFFFFFFFFF",
            "lease timetolive ffffffffffffffff",
            "lease timetolive 1 -w json",
            "lease timetolive 1 -w fields",
            "lease timetolive 1 -w protobuf",
            "lease timetolive 1 -w table",
            "lease timetolive {lease}",
            "lease timetolive {lease} --keys",
            "lease timetolive {lease} -w json",
            "put lk1 v --lease {lease}",
            "lease timetolive {lease} --keys",
            "lease timetolive {lease} --keys --hex",
            "lease timetolive {lease} --keys -w json",
            "lease timetolive {lease} --keys -w fields",
            "lease timetolive {lease} --keys -w protobuf",
            "get lk1 -w json",
            "get lk1 -w fields",
            "put lk1 v2 --ignore-lease",
            "get lk1 -w fields",
            "lease keep-alive",
            "lease keep-alive zz",
            "lease keep-alive 1 2",
            "lease keep-alive 1",
            "lease keep-alive 1 --once",
            "lease keep-alive 1 --once -w json",
            "lease keep-alive {lease} --once",
            "lease keep-alive {lease} --once -w json",
            "lease keep-alive {lease} --once -w fields",
            "lease keep-alive {lease} --once -w protobuf",
            "lease keep-alive {lease} --once -w table",
            "lease keep-alive {lease} --once -w bad",
            "lease list",
            "lease list -w json",
            "lease list -w fields",
            "lease list -w protobuf",
            "lease list -w table",
            "lease revoke",
            "lease revoke zz",
            "lease revoke 1 2",
            "lease revoke 1",
            "lease revoke {lease}",
            "get lk1",
            "lease revoke {lease}",
        ),
        Step("lease keep-alive {lease}"),
        Step("lease grant 300", save=("second", LEASE)),
        Step("lease keep-alive {second}", until=b"keepalived"),
        Step("lease revoke {second} -w json"),
        Step("lease grant 300", save=("third", LEASE)),
        Step("lease revoke {third} -w fields"),
        Step("lease grant 300", save=("fourth", LEASE)),
        Step("lease revoke {fourth} -w protobuf"),
        Step("lease grant 2"),
        Step("lease grant -- -5"),
        *_in_all_formats("lease grant 400"),
        Step("lease", usage=True),
        Step("lease nosuch", usage=True),
        Step("lease grant -h", usage=True),
        Step("lease gr 300"),
    ),
)

_HISTORY = _lines("put w 1", "put w 2", "put w2 x", "del w", "put w 3", "put x y", "compaction 3")

WATCH = Script(
    "watch",
    (
        *_HISTORY,
        Step("watch"),
        Step("watch w x --prefix"),
        Step("watch w --"),
        Step("watch -- w"),
        Step("watch w --rev x", usage=True),
        Step("watch -h", usage=True),
        Step("watch w -w bad"),
        Step("watch w --rev 3 -w table"),
        Step("watch w --rev 3", until=b"w\n3\n"),
        Step("watch w x --rev 3", until=b"w\n3\n"),
        Step("watch w --prefix --rev 3", until=b"w\n3\n"),
        Step("watch --rev=3 --prefix w", until=b"w\n3\n"),
        Step("watch w --rev 3 x", until=b"w\n3\n"),
        Step("watch w x ignored --rev 3", until=b"w\n3\n"),
        Step("watch w --rev 3 --prev-kv", until=b"w\n3\n"),
        Step("watch '' --prefix --rev 3", until=b"x\ny\n"),
        Step("watch w --rev 3 --hex", until=b"\\x33\n"),
        Step("watch w --rev 3 --prev-kv -w json", until=b"}\n"),
        Step("watch w --rev 3 --prev-kv -w fields", until=b'"Value" : "3"\n"Lease" : 0\n'),
        Step("watch w --rev 3 --prev-kv -w protobuf", until=b"w\x10\x06\x18\x06"),
        Step("-w json watch w --rev 3", until=b"}\n"),
        Step("wat w --rev 3 --progress-notify", until=b"w\n3\n", modern=True),
        Step("watch w --rev 2"),
        Step("watch w --rev=-2"),
        *(Step(f"watch w --rev 2 -w {form}") for form in FORMATS),
        Step("watch w w"),
        *(Step(f"watch x w -w {form}") for form in FORMATS),
        Step("watch w --rev 3 -- sh -c 'echo; env | grep ETCD_WATCH | sort'", until=b'"3"\n'),
        Step("watch w --rev 6 -- echo a b", until=b"a b\n"),
        Step("watch w --rev 6 -- echo -- --rev 5 -w json", until=b"-w json\n"),
        Step("watch --prefix w --rev 6 -- echo 'it''s'", until=b"its\n"),
        Step("watch w --rev 6 -w fields -- echo done", until=b"done\n"),
        Step("watch w --rev 6 -- sh -c 'cat; echo done'", until=b"done\n"),
        Step("watch w --rev 3 -- false"),
        Step("watch w --rev 3 -- sh -c 'exit 3'"),
        Step("watch w --rev 3 -- sh -c 'kill -9 $$'"),
        Step("watch w --rev 3 -- /nosuch/command"),
        Step("watch w --rev 3 -- nosuchcommand"),
        Step("watch w --rev 3 -- /etc/passwd"),
        Step("watch --rev 3", env={"ETCDCTL_WATCH_KEY": "w"}, until=b"w\n3\n"),
        Step("watch --rev 6 -- echo a", env={"ETCDCTL_WATCH_KEY": "w"}, until=b"a\n"),
        Step(
            "watch --rev 3",
            env={"ETCDCTL_WATCH_KEY": "w", "ETCDCTL_WATCH_RANGE_END": "x"},
            until=b"w\n3\n",
        ),
        Step("watch w", env={"ETCDCTL_WATCH_KEY": "w"}),
        Step("watch w -- echo a", env={"ETCDCTL_WATCH_KEY": "w"}),
        Step("watch --", env={"ETCDCTL_WATCH_KEY": "w"}),
        Step("watch w", env={"ETCDCTL_WATCH_RANGE_END": "x"}),
    ),
)

_SEEN = b"w\n3\n"

WATCH_INTERACTIVE = Script(
    "watch-interactive",
    (
        *_HISTORY,
        Step("watch -i", stdin=b""),
        Step("watch -i ignored", stdin=b"\n"),
        Step("watch -i", stdin=b"\nput x\nwatch\nWATCH w\nwatcher w --rev 35  \n"),
        Step("watch -i", stdin=b"watch w"),
        Step("watch -i", stdin=b"progress\n"),
        Step("watch -i", stdin=b"watch a --nosuch\n"),
        Step("watch -i", stdin=b"watch a -w json\n"),
        Step("watch -i", stdin=b"watch a --rev x\n"),
        Step("watch -i", stdin=b"watch a -h\n"),
        Step("watch -i", stdin=b"watch -- a\n"),
        Step("watch -i", stdin=b"watch a --\n"),
        Step("watch -i", stdin=b"watch w x --prefix\n"),
        Step("watch -i", stdin=b'watch "a\\q"\n'),
        Step("watch -i -w bad", stdin=b"\n"),
        Step("watch -i", talk=((b"", b"watch w --rev 3\n"), (_SEEN, b""))),
        Step("watch -i", talk=((b"", b"watch w --rev 3 --prev-kv\n"),), until=_SEEN),
        Step("watch -i", talk=((b"", b"watch --prefix w --rev=3 -i\n"), (_SEEN, b""))),
        Step("watch -i -w json", talk=((b"", b"watch w --rev 3\n"), (b"}\n", b""))),
        Step(
            "watch -i",
            talk=(
                (b"", b"watch w --rev 3\n"),
                (_SEEN, b"progress\n"),
                (b"progress notify: 7\n", b""),
            ),
        ),
        Step(
            "watch -i -w json",
            talk=(
                (b"", b"watch w --rev 3\n"),
                (b"}\n", b"progress\n"),
                (b'"Events":[],"CompactRevision":0,"Canceled":false,"Created":false}\n', b""),
            ),
            modern=True,
        ),
        Step(
            "watch -i",
            talk=(
                (b"", b"watch w --rev 2\n"),
                (b"watch was canceled", b"watch x --rev 3\n"),
                (b"x\ny\n", b"watch w w\n"),
                (b"range is empty", b""),
            ),
        ),
        Step("watch -i", talk=((b"", b"watch w --rev 6 -- echo hi\n"), (b"hi\n", b""))),
        Step("watch -i", talk=((b"", b"watch w --rev 6 -- /nosuch\n"), (b"command [", b""))),
        Step(
            "watch -i",
            env={"ETCDCTL_WATCH_KEY": "w"},
            talk=((b"", b"watch --rev 3\n"), (_SEEN, b"")),
        ),
        Step("watch -i", env={"ETCDCTL_WATCH_KEY": "w"}, stdin=b"watch a\n"),
        Step("watch -i -h", usage=True),
    ),
)

ENDPOINTS = Script(
    "endpoint",
    (
        *_lines("put k v", "put k v2", "compaction 2"),
        *(
            Step(f"endpoint {what}{cluster} -w {form}")
            for what in ("health", "status", "hashkv")
            for cluster in ("", " --cluster")
            for form in FORMATS
        ),
        *_lines(
            "endpoint health extra",
            "endpoint status extra",
            "endpoint hashkv extra",
            "endpoint hashkv --rev 2",
            "endpoint hashkv --rev 3 -w json",
            "endpoint hashkv --rev 1",
            "endpoint hashkv --rev 100",
            "endpoint hashkv --rev 100 -w json",
            "endpoint status -w bad",
            "endpoint health -w bad",
            "end hea",
            "--endpoints http://{ep} endpoint status",
            "--endpoints {ep},{ep} endpoint status",
            "--endpoints {ep} --endpoints http://{ep} endpoint hashkv",
            "--endpoints '\"{ep}\"' endpoint status",
            "endpoint status --endpoints={ep} -w table",
        ),
        Step("--endpoints {ep},http://{ep} endpoint health", any_order=True),
        Step("endpoint", usage=True),
        Step("endpoint nosuch", usage=True),
        Step("endpoint status --nosuch", usage=True),
        *_in_all_formats("member list"),
        Step("member list --hex"),
        Step("member list -w json --hex", modern=True),
        Step("member list extra"),
        Step("mem li"),
        Step("member", usage=True),
        Step("member nosuch", usage=True),
        Step("member list --nosuch", usage=True),
    ),
)

_SHORT = "--command-timeout=300ms --dial-timeout=200ms --endpoints"

DEAD = Script(
    "dead-endpoints",
    (
        *(
            Step(f"{_SHORT} {{dead}} {line}")
            for line in (
                "get k",
                "put k v",
                "del k",
                "compaction 5",
                "member list",
                "lease grant 10",
                "lease revoke 1",
                "lease keep-alive 1",
                "endpoint status",
                "endpoint status -w json",
                "endpoint status -w table",
                "endpoint hashkv",
                "endpoint hashkv -w json",
                "endpoint health",
                "endpoint health -w json",
                "endpoint health -w fields",
                "endpoint health -w table",
                "endpoint health --cluster",
                "endpoint status --cluster",
                "get k --user u:p",
                "endpoint health --user u:p",
            )
        ),
        *(
            Step(f"{_SHORT} {endpoint} get k")
            for endpoint in (
                "http://{dead}",
                "https://{dead}",
                "{dead},{dead}",
                "127.0.0.1",
                "http://{dead}/path",
                "unix:///nosuch.sock",
                "ftp://{dead}",
                "''",
                "=",
                "{dead}/",
                "[::1]",
            )
        ),
        Step("put k v"),
        Step("--endpoints {dead},{ep} get k"),
        Step("--endpoints {ep},{dead} get k"),
        Step("--endpoints {dead},{ep} put k v"),
        Step("--endpoints http://{ep}/ get k"),
        Step("--endpoints {dead},{ep} txn", stdin=b"\nget k\n\n\n"),
        Step("--endpoints {dead},{ep} lease timetolive 1"),
        Step("--endpoints {dead},{ep} watch k --rev 2", until=b"k\nv\n"),
        Step(f"{_SHORT} {{dead}},{{ep}} endpoint status"),
        Step(f"{_SHORT} {{dead}},{{ep}} endpoint health"),
        Step(f"{_SHORT} {{dead}},{{ep}} endpoint health -w json"),
        Step(f"{_SHORT} {{dead}},{{ep}} endpoint hashkv -w fields"),
        Step("get k --command-timeout 1ns"),
        Step("get k --command-timeout=-1s"),
    ),
)

GLOBALS = Script(
    "globals",
    (
        Step("put k v"),
        Step("get k --debug"),
        *(
            Step("get k", env=env)
            for env in (
                {"ETCDCTL_WRITE_OUT": "json"},
                {"ETCDCTL_WRITE_OUT": "bad"},
                {"ETCDCTL_HEX": "true"},
                {"ETCDCTL_HEX": "maybe"},
                {"ETCDCTL_DIAL_TIMEOUT": "x"},
                {"ETCDCTL_API": "3"},
                {"ETCDCTL_API": "4"},
                {"ETCDCTL_FOO": "x"},
                {"ETCDCTL_FOO": ""},
                {"ETCDCTL_PREFIX": "true"},
                {"ETCDCTL_WATCH_KEY": "w"},
                {"ETCDCTL_CERT": "/nosuch"},
                {"ETCDCTL_USER": "u:p"},
                {"ETCDCTL_USER": "u", "ETCDCTL_PASSWORD": "p"},
            )
        ),
        Step("get k --hex", env={"ETCDCTL_HEX": "false"}),
        Step("get k --hex", env={"ETCDCTL_HEX": ""}),
        Step("get k --hex", env={"ETCDCTL_FOO": "x", "ETCDCTL_HEX": "false"}),
        Step("--endpoints {ep} get k", env={"ETCDCTL_ENDPOINTS": "{dead}"}),
        Step("put k", env={"ETCDCTL_FOO": "x"}),
        Step("member list", env={"ETCDCTL_FOO": "x"}),
        Step("endpoint health", env={"ETCDCTL_FOO": "x"}),
        *_lines(
            "get k -wjson",
            "get k -w=json",
            "get k -w=",
            "get k -wx",
            "get -w=json=x k",
            "-w json get k",
            "--hex get k",
            "--hex=false get k",
            "--hex=T get k",
            "--write-out=json --write-out=simple get k",
            "get k --command-timeout 1h2m3s4ms5us6ns",
            "get k --command-timeout 1.5s",
            "get k --dial-timeout=0",
            "get k --keepalive-time=0 --keepalive-timeout=1h",
            "get k --insecure-transport",
            "get k --insecure-skip-tls-verify",
            "get k --insecure-discovery=false",
            "get k --discovery-srv-name x",
            "get k --password p",
            "get k --user :p",
            "get k --user u:p",
            "get k --user u:p --password q",
            "get k --cert /nosuch",
            "get k --key /nosuch",
            "get k --cert /nosuch --key /nosuch2",
            "get k --cacert /nosuch",
            "--prefix get k",
            "--endpoints {ep} get k --hex",
            "nosuch",
            "nosuch with words",
            "gett",
            "-w json nosuch",
            "version -w bad",
            "version extra",
        ),
        Step("version", env={"ETCDCTL_FOO": "x"}),
        Step("get k --command-timeout x", usage=True),
        Step("get k --command-timeout 5", usage=True),
        Step("get k --command-timeout 5parsecs", usage=True),
        Step("get k --hex=x", usage=True),
        Step("--hex=x get k", usage=True),
        Step("--nosuch", usage=True),
        Step("--nosuch get get k", usage=True),
        Step("-v", usage=True),
        Step("-x get k", usage=True),
        Step("", usage=True),
        Step("-w json", usage=True),
        Step("--help", usage=True),
        Step("help", usage=True),
        Step("help get", usage=True),
        Step("help lease grant", usage=True),
        Step("help nosuch", usage=True),
        Step("version --nosuch", usage=True),
    ),
)

LIMITS = Script(
    "limits",
    (
        Step("put big", stdin=b"x" * 1_600_000),
        Step("put big", stdin=b"x" * 2_097_200),
        Step("put big", stdin=b"x" * 1_500_000),
        Step("get big --keys-only"),
        Step("txn", stdin=b"\n" + b"".join(b"put k%d v\n" % i for i in range(129)) + b"\n\n"),
        Step("txn", stdin=b"\n" + b"".join(b"put k%d v\n" % i for i in range(128)) + b"\n\n"),
        Step("get k --prefix --keys-only -w json"),
    ),
)

NO_SPACE = Script(
    "no-space",
    (
        Step("put small v"),
        Step("put big", stdin=b"x" * 150_000),
        Step("put small v2"),
        Step("lease grant 10"),
        Step("get small"),
        Step("del small"),
        *_in_all_formats("endpoint health"),
        Step("endpoint status -w json"),
        Step("endpoint status -w fields"),
    ),
    server_flags=("--quota-backend-bytes=100000",),
)

AUTH_SETUP = (
    "user add root:pw",
    "user grant-role root root",
    "user add u:pw",
    "role add r",
    "role grant-permission r readwrite foo",
    "user grant-role u r",
    "user add nobody:pw",
    "put foo bar",
    "put secret x",
    "auth enable",
)
"""What has to be done before AUTH, with an etcdctl that has these commands."""

AUTH = Script(
    "auth",
    (
        *_lines(
            "get foo",
            "get foo --user u:pw",
            "get foo --user u --password pw",
            "get foo --user u:bad",
            "get foo --user stranger:pw",
            "get foo --user :pw",
            "get foo --user u:",
            "get secret --user u:pw",
            "put secret a --user u:pw",
            "put foo a --user u:pw",
            "put foo a",
            "del foo --user nobody:pw",
            "endpoint health",
            "endpoint health --user u:pw",
            "endpoint health --user nobody:pw",
            "endpoint health --user u:bad",
            "endpoint health --user u:bad -w json",
            "endpoint health --user u:bad -w fields",
            "endpoint health --user u:bad -w table",
            "endpoint health -w table",
            "endpoint health --cluster --user u:pw",
            "endpoint status --user u:bad",
            "endpoint status",
            "endpoint hashkv",
            "endpoint hashkv --user u:pw",
            "endpoint hashkv --user root:pw",
            "member list --user u:bad",
            "lease grant 10 --user u:bad",
            "lease keep-alive 1 --once --user u:bad",
            "lease keep-alive 1 --user u:bad",
            "lease timetolive 1",
            "watch foo",
            "watch secret --user u:pw",
            "watch secret --user u:pw -w json",
            "watch foo --user u:bad",
        ),
        Step("watch foo --rev 2 --user u:pw", until=b"foo\na\n"),
        Step("txn --user u:pw", stdin=b"\nget foo\n\n\n"),
        Step("txn --user u:pw", stdin=b"\nget secret\n\n\n"),
        Step("get foo", env={"ETCDCTL_USER": "u:pw"}),
    ),
)
"""For a server that was prepared with AUTH_SETUP."""

TLS = Script(
    "tls",
    (
        *(
            Step(f"--command-timeout=300ms {line}")
            for line in (
                "--endpoints https://{ep} --cacert {ca} --cert {cert} --key {key} put k v",
                "--endpoints {ep} --cacert {ca} --cert {cert} --key {key} get k",
                "--endpoints {ep} --cacert {ca} --cert {cert} --key {key} member list",
                "--endpoints https://{ep} --cacert {ca} --cert {cert} --key {key} endpoint status",
                "--endpoints https://{ep} --cacert {ca} --cert {cert} --key {key} "
                "endpoint health --cluster",
                "--endpoints https://{ep} --cacert {ca} --cert {cert} --key {key} "
                "--insecure-transport=false get k",
                "--endpoints http://{ep} --cacert {ca} --cert {cert} --key {key} get k",
                "--endpoints https://{ep} --cacert {ca} get k",
                "--endpoints https://{ep} --cert {cert} --key {key} get k",
                "--endpoints https://{ep} get k",
                "--endpoints https://{ep} --insecure-skip-tls-verify get k",
                "--endpoints {ep} get k",
                "--endpoints {ep} --insecure-transport=false get k",
                "--endpoints {ep} --cert {cert} get k",
                "--endpoints {ep} --cert {cert} --key {other_key} get k",
            )
        ),
        Step(
            "--cacert {ca} --cert {cert} --key {key} watch k --rev 2",
            until=b"k\nv\n",
        ),
        Step(
            "get k",
            env={"ETCDCTL_CACERT": "{ca}", "ETCDCTL_CERT": "{cert}", "ETCDCTL_KEY": "{key}"},
        ),
    ),
)
"""For a server that wants client certificates. The names in `{}` are files."""

SCRIPTS = (
    PUT,
    GET,
    DELETE,
    BINARY,
    TXN,
    COMPACTION,
    LEASES,
    WATCH,
    WATCH_INTERACTIVE,
    ENDPOINTS,
    DEAD,
    GLOBALS,
    LIMITS,
    NO_SPACE,
)
