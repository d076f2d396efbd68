"""Scripts about alarms, defragmentation, locks, elections, checks and mirrors."""

from __future__ import annotations

from tests.interop.etcdctl_steps import FORMATS, Script, Step, lines

_SHORT = "--command-timeout=300ms --dial-timeout=200ms --endpoints {dead}"

ALARMS = Script(
    "alarm",
    (
        *(Step(f"alarm list -w {form}") for form in FORMATS),
        # Fields of no response at all: stock panics.
        *(Step(f"alarm disarm -w {form}") for form in FORMATS if form != "fields"),
        *lines("alarm list extra", "alarm disarm extra", "alarm li", "put big 1"),
        Step("put big", stdin=b"x" * 200_000),
        Step("put big", stdin=b"x" * 200_000),
        *(Step(f"alarm list -w {form}") for form in FORMATS),
        Step("put small 1"),
        Step("alarm disarm -w json"),
        Step("alarm list"),
        Step("alarm", usage=True),
        Step("alarm nosuch", usage=True),
        Step("alarm list --nosuch", usage=True),
        Step(f"{_SHORT} alarm list"),
        Step(f"{_SHORT} alarm disarm"),
    ),
    server_flags=("--quota-backend-bytes=100000",),
)

DEFRAG = Script(
    "defrag",
    (
        *lines("put k v", "defrag", "defrag --cluster", "defrag extra", "get k", "defrag -w json"),
        *lines("--endpoints {ep},{dead} --command-timeout=3s --dial-timeout=200ms defrag"),
        Step(f"{_SHORT} defrag"),
        Step(f"{_SHORT} defrag --cluster"),
        Step("defrag --nosuch", usage=True),
    ),
)

LOCK = Script(
    "lock",
    (
        *lines(
            "lock",
            "lock n true",
            "lock n false",
            "lock n echo words",
            "lock n nosuchcommand",
            "lock n /nosuch/command",
            "lock n -- sh -c 'exit 7'",
            "lock n -- sh -c 'kill -9 $$'",
            "lock n -- sh -c 'kill -TERM $$'",
            "lock --ttl=5 n -- sh -c 'env | grep ETCD_LOCK | sort; cat'",
            "lock --ttl=0 n true",
            "lock --ttl=-1 n true",
            "lock n -w json true",
            "lock n -w bad true",
        ),
        *(
            Step(f"lock n -w {form}", until=until)
            for form, until in (("simple", b"\n\n"), ("json", b"}\n"), ("fields", b'"Count" : 1\n'))
        ),
        Step("get n --prefix"),
        Step("lock n -- sh -c 'echo begun; sleep 0.5; echo ended'", until=b"begun\n"),
        Step("get n --prefix"),
        Step("put other/1 v"),
        Step("put n/0 v"),
        Step("put n/00 v"),
        Step("lock --ttl=abc n", usage=True),
        Step("lock --nosuch n", usage=True),
    ),
)

ELECT = Script(
    "elect",
    (
        *lines("elect", "elect n", "elect n a b", "elect -l n v", "elect -l"),
        *(
            Step(f"elect n value -w {form}", until=until)
            for form, until in (
                ("simple", b"value\n"),
                ("json", b"}\n"),
                ("fields", b'"Count" : 1\n'),
            )
        ),
        Step("get n --prefix"),
        Step("put n/1 leads"),
        Step("elect -l n", until=b"leads\n"),
        Step("elect --listen n -w fields", until=b'"Count" : 0\n'),
        Step("elect n --nosuch", usage=True),
    ),
)

CHECK = Script(
    "check",
    (
        *lines(
            "check perf --load=zz",
            "check datascale --load=zz",
            "put used/1 v",
            "check perf --prefix=used/",
            "check datascale --prefix=used/",
        ),
        Step("check", usage=True),
        Step("check perf --nosuch", usage=True),
    ),
)

MIRROR = Script(
    "make-mirror",
    (
        *lines(
            "make-mirror",
            "make-mirror a b",
            "make-mirror {ep} --dest-prefix x --no-dest-prefix",
        ),
        Step("make-mirror {ep} --nosuch", usage=True),
    ),
)

MAINTENANCE = (ALARMS, DEFRAG, LOCK, ELECT, CHECK, MIRROR)
