"""Scripts about endpoints, members, dead endpoints, users and TLS."""

from __future__ import annotations

from tests.interop.etcdctl_steps import (
    FORMATS,
    Script,
    Step,
    in_all_formats,
    lines,
)

ENDPOINTS = Script(
    "endpoint",
    (
        *lines("put k v", "put k v2", "compaction 2"),
        *(
            Step(f"endpoint {what}{cluster} -w {form}")
            for what in ("health", "status", "hashkv")
            for cluster in ("", " --cluster")
            for form in FORMATS
        ),
        *lines(
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
        *in_all_formats("member list"),
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
        *lines(
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
