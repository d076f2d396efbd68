"""What is asked of the gateways that are compared: every method, and every kind of refusal."""

from __future__ import annotations

from dataclasses import dataclass

from tests.interop.gateway_steps import Listen, Post, Step, b64

A, B, C, ALL = b64("a"), b64("b"), b64("c"), b64("\0")
PUT_A = Post("/v3/kv/put", f'{{"key":"{A}","value":"{B}"}}')
EVERYTHING = Post("/v3/kv/range", f'{{"key":"{ALL}","range_end":"{ALL}"}}')
LEASE = 7587848390001


@dataclass(frozen=True)
class Script:
    name: str
    steps: tuple[Step, ...]


def _put(key: str, value: str, **more: object) -> Post:
    extra = "".join(f',"{name}":{value}' for name, value in more.items())
    return Post("/v3/kv/put", f'{{"key":"{b64(key)}","value":"{b64(value)}"{extra}}}')


def _range(fields: str) -> Post:
    return Post("/v3/kv/range", f"{{{fields}}}")


def _txn(body: str) -> Post:
    return Post("/v3/kv/txn", body)


KEYS = Script(
    "keys",
    (
        _put("a", "1"),
        _put("a", "2", prev_kv="true"),
        _put("b", "\u00e9", prevKv="true"),
        Post("/v3beta/kv/put", f'{{"key":"{C}"}}'),
        EVERYTHING,
        _range(f'"key":"{A}","rangeEnd":"{C}","limit":1'),
        _range(f'"key":"{A}","range_end":"{ALL}","keys_only":true,"sortOrder":"DESCEND"'),
        _range(f'"key":"{A}","range_end":"{ALL}","sort_order":"2","sort_target":"MOD"'),
        _range(f'"key":"{A}","range_end":"{ALL}","sort_order":1,"sort_target":4'),
        _range(f'"key":"{A}","range_end":"{ALL}","count_only":true'),
        _range(f'"key":"{A}","revision":"2"'),
        _range(f'"key":"{A}","serializable":true,"unknown":[1,{{"x":null}}]'),
        Post("/v3/kv/deleterange", f'{{"key":"{B}","prev_kv":true}}'),
        Post("/v3/kv/deleterange", f'{{"key":"{B}","prev_kv":true}}'),
        Post("/v3/kv/compaction", '{"revision":"3","physical":true}'),
        EVERYTHING,
    ),
)
TXN = Script(
    "transactions",
    (
        _txn(
            f'{{"compare":[{{"target":"VERSION","key":"{A}","version":"0"}}],'
            f'"success":[{{"requestPut":{{"key":"{A}","value":"{B}"}}}}]}}'
        ),
        _txn(
            f'{{"compare":[{{"result":"GREATER","target":"CREATE","key":"{A}",'
            f'"createRevision":"1"}},{{"target":3,"key":"{A}","value":"{B}"}}],'
            f'"success":[{{"request_range":{{"key":"{A}"}}}},'
            f'{{"request_delete_range":{{"key":"{A}","prevKv":true}}}},'
            f'{{"request_txn":{{"success":[{{"request_put":{{"key":"{B}"}}}}]}}}}],'
            f'"failure":[{{"request_range":{{"key":"{B}"}}}}]}}'
        ),
        _txn(f'{{"compare":[{{"result":"NOT_EQUAL","target":"MOD","key":"{C}"}}]}}'),
        _txn(f'{{"success":[{{"request_put":{{"key":"{C}"}},"request_range":{{"key":"{C}"}}}}]}}'),
        _txn("{}"),
        _txn('{"success":[{}]}'),
        _txn('{"success":[null]}'),
        _txn('{"success":[5]}'),
        _txn('{"compare":{}}'),
        _txn(f'{{"compare":[{{"result":"EQUALS","key":"{A}"}}]}}'),
        _txn(
            f'{{"success":[{{"request_put":{{"key":"{C}"}}}},{{"request_put":{{"key":"{C}"}}}}]}}'
        ),
        EVERYTHING,
    ),
)
LEASES = Script(
    "leases",
    (
        Post("/v3/lease/grant", f'{{"ID":"{LEASE}","TTL":3600}}'),
        Post("/v3/lease/grant", f'{{"ID":{LEASE},"TTL":"3600"}}'),
        Post("/v3/lease/grant", '{"TTL":"9000000001"}'),
        _put("leased", "v", lease=LEASE),
        Post("/v3/lease/leases"),
        Post("/v3/kv/lease/leases"),
        Post("/v3/kv/lease/timetolive", '{"ID":"5","keys":true}'),
        Post("/v3/lease/keepalive", '{"ID":5}\n{"ID":"6"}'),
        Post("/v3/lease/keepalive", f'{{"ID":"{LEASE}"}}'),
        Post("/v3/lease/keepalive", '{"ID":5}{"ID":"x"}'),
        Post("/v3/lease/keepalive", ""),
        Post("/v3/lease/keepalive", "{"),
        Post("/v3/lease/keepalive", '{"ID":"x"}'),
        Post("/v3/lease/revoke", f'{{"ID":"{LEASE}"}}'),
        Post("/v3/kv/lease/revoke", f'{{"ID":"{LEASE}"}}'),
        EVERYTHING,
    ),
)
MANY_REQUESTS = Listen(
    "/v3/watch",
    f'{{"create_request":{{"key":"{A}"}}}}{{"create_request":{{"key":"{B}"}}}}'
    '{"cancel_request":{"watch_id":"1"}} {"progress_request":{}}',
    first_lines=4,
)
"""Stock 3.6 may answer about progress before the rest."""
WATCHES = Script(
    "watches",
    (
        Listen("/v3/watch", f'{{"create_request":{{"key":"{A}"}}}}', then=(PUT_A, PUT_A)),
        Listen(
            "/v3/watch",
            f'{{"createRequest":{{"key":"{A}","range_end":"{ALL}","start_revision":"2",'
            f'"prev_kv":true,"watch_id":7,"filters":["NOPUT"]}}}}',
            then=(Post("/v3/kv/deleterange", f'{{"key":"{A}"}}'),),
        ),
        MANY_REQUESTS,
        Listen("/v3/watch", f'{{"create_request":{{"key":"{A}"}}}} x'),
        Listen("/v3/watch", f'{{"create_request":{{"key":"{B}","range_end":"{A}"}}}}'),
        Post("/v3/watch", '{"create_request":{"key":"!"}}'),
        Post("/v3/watch", "["),
        Post("/v3/watch", "[]"),
    ),
)
MAINTENANCE = Script(
    "maintenance",
    (
        Post("/v3/maintenance/status"),
        Post("/v3/maintenance/alarm"),
        Post("/v3/maintenance/alarm", '{"action":"ACTIVATE","memberID":"1","alarm":"NOSPACE"}'),
        PUT_A,
        Post("/v3/maintenance/alarm", '{"action":0}'),
        Post("/v3/maintenance/alarm", '{"action":"DEACTIVATE","memberID":1,"alarm":1}'),
        Post("/v3/maintenance/hashkv"),
        Post("/v3/maintenance/snapshot", "{"),
        Post("/v3/maintenance/snapshot", "[]"),
        Listen("/v3/maintenance/snapshot", "{}", first_lines=1),
        Post("/v3/cluster/member/list"),
        Post("/v3/cluster/member/list", '{"linearizable":true}'),
    ),
)
PATHS = Script(
    "paths and methods",
    (
        *(Post("/v3/kv/range", "", method) for method in ("GET", "PUT", "DELETE", "OPTIONS")),
        Post("/v3/nope"),
        Post("/v3/"),
        Post("/v3"),
        Post("/v3//kv/range"),
        Post("/v3/kv/../kv/put?x=1"),
        Post("/v3/kv/range/"),
        Post("/v3/kv/range:x"),
        Post("/v3/kv/%72ange", f'{{"key":"{A}"}}'),
        Post("/v3/kv/range?key=x", f'{{"key":"{A}"}}'),
        Post("/v3beta/nope"),
        Post("/v3alpha/kv/range"),
        Post("/v3x/kv/range"),
        Post("/nope"),
        Post("/version", "", "OPTIONS"),
        Post("/v3/kv/range", f'{{"key":"{A}"}}', headers=(("Grpc-Timeout", "5S"),)),
        Post("/v3/kv/range", f'{{"key":"{A}"}}', headers=(("Grpc-Timeout", "soon"),)),
        Post("/v3/kv/range", f'{{"key":"{A}"}}', headers=(("Grpc-Metadata-hasleader", "true"),)),
    ),
)
_BAD_VALUES = (
    '"key":"!!"',
    '"key":"Zm9"',
    '"key":"Zm9v="',
    '"key":"Z==="',
    '"key":"Zg=v"',
    '"key":"Zm-_"',
    '"key":"Zg==\\nZg"',
    '"key":5',
    '"key":{}',
    '"key":[]',
    '"key":[1,256]',
    '"key":["x"]',
    '"limit":"x"',
    '"limit":""',
    '"limit":" 5"',
    '"limit":"5 6"',
    '"limit":"1e3"',
    '"limit":"12e"',
    '"limit":1.0',
    '"limit":true',
    '"limit":{}',
    '"limit":9223372036854775808',
    '"limit":-9223372036854775809',
    '"sort_order":"FOO"',
    '"sort_order":"<F&O>"',
    '"sort_order":"1"',
    '"sort_order":1.5',
    '"sort_order":[]',
    '"serializable":"true"',
    '"serializable":1',
    '"limit":null,"sort_order":null,"key":null',
)
_BAD_TEXTS = (
    "",
    "  ",
    "null",
    '"x"',
    "5",
    "true",
    "[]",
    "{",
    '{"key"',
    '{"key":',
    '{"key":"Zg=="',
    '{"key":"Zg==",}',
    '{"key" "Zg=="}',
    '{"key":"Zg=="]',
    "{key:1}",
    "{'key':1}",
    '{"key":01}',
    '{"key":-}',
    '{"key":1.}',
    '{"key":1e}',
    '{"key":tru}',
    '{"key":nul}',
    '{"key":NaN}',
    '{"key":Infinity}',
    '{"key":-Infinity}',
    '{"key":"\\x"}',
    '{"key":"\\u12"}',
    '{"key":"\n"}',
    '{"key":"\x7f"',
    '{"a":[1,2',
    '{"a":[1 2]}',
    '{"a":[,]}',
    b'\xff\xfe{"key":1}',
    b'{"key":"\xff',
    f'{{"key":"{A}"}} and more',
    f'{{"key":"{A}"}}{{"key":"!',
    f'{{"key":"{A}","key":"{B}"}}',
    f'{{"KEY":"{A}"}}',
    f'{{"range_end":"{A}","rangeEnd":"{B}","key":"{A}"}}',
)
BAD_JSON = Script(
    "bad JSON",
    (
        *(_range(fields) for fields in _BAD_VALUES),
        *(Post("/v3/kv/range", text) for text in _BAD_TEXTS),
        Post("/v3/kv/put", '{"key":"YQ==","value":5}'),
        Post("/v3/auth/authenticate", '{"name":5}'),
        Post("/v3/cluster/member/add", '{"peerURLs":"x"}'),
        Post("/v3/cluster/member/remove", '{"ID":-1}'),
        Post("/v3/cluster/member/remove", '{"ID":18446744073709551616}'),
        EVERYTHING,
    ),
)
REFUSALS = Script(
    "refusals",
    (
        PUT_A,
        _put("a", "v", lease=5),  # NOT_FOUND
        _put("a", "v", ignore_value="true"),  # INVALID_ARGUMENT
        _range(f'"key":"{A}","revision":99'),  # OUT_OF_RANGE
        Post("/v3/kv/compaction", '{"revision":99}'),
        Post("/v3/lease/grant", f'{{"ID":"{LEASE}","TTL":60}}'),
        Post("/v3/lease/grant", f'{{"ID":"{LEASE}","TTL":60}}'),  # FAILED_PRECONDITION
        Post("/v3/auth/authenticate", '{"name":"x","password":"y"}'),
        _put("big", "x" * 1_600_000),
        _put("big", "x" * 2_200_000),  # RESOURCE_EXHAUSTED
        EVERYTHING,
    ),
)
MEMBERS = Script(
    "members",
    (
        Post("/v3/cluster/member/remove", '{"ID":"5"}'),
        # To an update of an unknown member stock gives no answer, and it takes URLs that are none;
        # ours refuses both.
        Post("/v3/cluster/member/promote", '{"ID":"5"}'),
        Post("/v3/cluster/member/add", '{"peerURLs":["nonsense"]}'),
    ),
)
OPERATIONS = Script(
    "operations",
    (
        Post("/v3/maintenance/defragment"),
        Post("/v3/maintenance/hash"),
        Post("/v3/maintenance/transfer-leadership", '{"targetID":"5"}'),
        Post("/v3/maintenance/downgrade", '{"action":"VALIDATE","version":"3.x"}'),
        Post("/v3/maintenance/downgrade", '{"action":"CANCEL"}'),
    ),
)
AUTH = Script(
    "users and roles",
    (
        Post("/v3/auth/status"),
        Post("/v3/auth/enable"),
        Post("/v3/auth/user/add", '{"name":"root","password":"<&>"}'),
        Post("/v3/auth/user/add", '{"name":"root","password":"x"}'),
        Post("/v3/auth/user/add", '{"name":"","password":"x"}'),
        Post("/v3/auth/user/add", '{"name":"q\\"\\\\<\\u2028\\b\\ud800","password":"x"}'),
        Post("/v3/auth/user/list"),
        Post("/v3/auth/role/add", '{"name":"root"}'),
        Post("/v3/auth/role/add", '{"name":"r"}'),
        Post(
            "/v3/auth/role/grant",
            f'{{"name":"r","perm":{{"permType":"READWRITE","key":"{A}","range_end":"{C}"}}}}',
        ),
        Post("/v3/auth/role/get", '{"role":"r"}'),
        Post("/v3/auth/role/list"),
        Post("/v3/auth/role/revoke", f'{{"role":"r","key":"{A}","rangeEnd":"{C}"}}'),
        Post("/v3/auth/user/grant", '{"user":"root","role":"root"}'),
        Post("/v3/auth/user/get", '{"name":"root"}'),
        Post("/v3/auth/user/changepw", '{"name":"root","password":"y"}'),
        Post("/v3/auth/user/revoke", '{"name":"root","role":"none"}'),
        Post("/v3/auth/user/delete", '{"name":"none"}'),
        Post("/v3/auth/role/delete", '{"role":"r"}'),
        Post("/v3/auth/enable"),
        Post("/v3/kv/range", f'{{"key":"{A}"}}'),
        Post("/v3/kv/range", f'{{"key":"{A}"}}', headers=(("Authorization", "nonsense"),)),
        Post("/v3/maintenance/snapshot"),
        Post("/v3/auth/authenticate", '{"name":"root","password":"wrong"}'),
        Post("/v3/auth/authenticate", '{"name":"root","password":"y"}'),
    ),
)
LOCKS = Script(
    "locks and elections",
    (
        Post("/v3/lease/grant", f'{{"ID":"{LEASE}","TTL":3600}}'),
        Post("/v3/lock/lock", f'{{"name":"{A}","lease":"{LEASE}"}}'),
        EVERYTHING,
        Post("/v3/lock/unlock", f'{{"key":"{b64(f"a/{LEASE:x}")}"}}'),
        Post("/v3/lock/lock", f'{{"name":"{A}","lease":"5"}}'),
        Post("/v3/election/leader", f'{{"name":"{B}"}}'),
        Post("/v3/election/campaign", f'{{"name":"{B}","lease":"{LEASE}","value":"{C}"}}'),
        Post("/v3/election/leader", f'{{"name":"{B}"}}'),
        Listen("/v3/election/observe", f'{{"name":"{B}"}}'),
        Post("/v3/election/proclaim", f'{{"value":"{C}"}}'),
        Post("/v3/election/resign"),
        EVERYTHING,
    ),
)
STOPS_34 = (_txn('{"success":[null]}'),)
"""Stock 3.4 gives no answer to these: its handler panics."""
STOPS_36 = (
    # A stream whose first message is none is left open, or ended, without a word.
    Post("/v3/lease/keepalive", "{"),
    Post("/v3/lease/keepalive", '{"ID":"x"}'),
    Post("/v3/watch", '{"create_request":{"key":"!"}}'),
    Post("/v3/watch", "["),
    Post("/v3/watch", "[]"),
    # Go 1.26 redirects with 307, older ones with 301.
    Post("/v3"),
    Post("/v3//kv/range"),
    Post("/v3/kv/../kv/put?x=1"),
    MANY_REQUESTS,
)
"""Where stock 3.6 says nothing that could be compared, or what differs from build to build."""


def _from(*headers: tuple[str, str], path: str = "/v3/kv/range") -> Post:
    return Post(path, f'{{"key":"{A}"}}', headers=headers)


@dataclass(frozen=True)
class FlagScript:
    flags: tuple[str, ...]
    steps: tuple[Step, ...]


FLAGS = (
    FlagScript(
        ("--enable-grpc-gateway=false",),
        (PUT_A, Post("/v3beta/kv/put"), Post("/v3/"), Post("/v3"), Post("/nope")),
    ),
    FlagScript(
        ("--host-whitelist=good.example,127.0.0.1",),
        (
            PUT_A,
            *(
                _from(("Host", host), path=path)
                for host in ("good.example", "good.example:1", "evil.example:1", "[::1]:1")
                for path in ("/v3/kv/range", "/nope")
            ),
            Post("/version", "", "OPTIONS", (("Host", "evil.example"),)),
        ),
    ),
    FlagScript(
        ("--cors=http://a.example:80,https://b.example:443",),
        tuple(
            Post("/v3/kv/range", f'{{"key":"{A}"}}', method, (("Origin", origin),))
            for origin in ("http://a.example:80", "https://b.example:443", "http://c.example:80")
            for method in ("POST", "OPTIONS")
        ),
    ),
)
SCRIPTS = (KEYS, TXN, LEASES, WATCHES, MAINTENANCE, PATHS, BAD_JSON, REFUSALS)
LATER_SCRIPTS = (MEMBERS, OPERATIONS, AUTH, LOCKS)
NOT_SERVED_YET = frozenset({AUTH.name})
"""Of methods that Kvorum does not have yet: expected to fail for that reason, and no other."""
