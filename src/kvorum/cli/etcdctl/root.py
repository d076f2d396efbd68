"""The tree of commands and the global flags."""

from __future__ import annotations

from kvorum.cli.etcdctl.cobra import Group, flag
from kvorum.cli.etcdctl.pflag import BOOL, DURATION, STRING, STRINGS

NAME = "etcdctl"

SECOND_NS = 1_000_000_000

_COMMANDS = "kvorum.cli.etcdctl.commands"

ROOT = Group(
    NAME,
    "Command line client of etcd",
    {
        "compaction": f"{_COMMANDS}.compaction:compaction",
        "del": f"{_COMMANDS}.delete:delete",
        "endpoint": f"{_COMMANDS}.groups:ENDPOINT",
        "get": f"{_COMMANDS}.get:get",
        "help": f"{_COMMANDS}.help:help_command",
        "lease": f"{_COMMANDS}.groups:LEASE",
        "member": f"{_COMMANDS}.groups:MEMBER",
        "put": f"{_COMMANDS}.put:put",
        "txn": f"{_COMMANDS}.txn:txn",
        "version": f"{_COMMANDS}.version:version",
        "watch": f"{_COMMANDS}.watch:watch",
    },
)

_GLOBAL_FLAGS = (
    flag("endpoints", STRINGS, ["127.0.0.1:2379"], "addresses of members, with commas between"),
    flag(
        "write-out",
        STRING,
        "simple",
        "output: simple, json, fields, table, protobuf",
        shorthand="w",
    ),
    flag("hex", BOOL, False, "print keys and values as hexadecimal bytes"),
    flag("command-timeout", DURATION, 5 * SECOND_NS, "how long a command may take  [default: 5s]"),
    flag("dial-timeout", DURATION, 2 * SECOND_NS, "how long connecting may take  [default: 2s]"),
    flag(
        "keepalive-time",
        DURATION,
        2 * SECOND_NS,
        "ping a silent connection so often (10s at least)",
    ),
    flag(
        "keepalive-timeout", DURATION, 6 * SECOND_NS, "wait so long for the answer  [default: 6s]"
    ),
    flag("user", STRING, "", "name[:password]; asks for the password if it is not given"),
    flag("password", STRING, "", "password of --user"),
    flag("cacert", STRING, "", "file with the CA certificates that members are checked with"),
    flag("cert", STRING, "", "file with the certificate to show to members"),
    flag("key", STRING, "", "file with the key of --cert"),
    flag("insecure-transport", BOOL, True, "no TLS unless an endpoint is https://  [default: on]"),
    flag(
        "insecure-skip-tls-verify",
        BOOL,
        False,
        "do not check certificates (not supported: an error)",
    ),
    flag(
        "insecure-discovery", BOOL, True, "take SRV records of members without TLS  [default: on]"
    ),
    flag(
        "discovery-srv",
        STRING,
        "",
        "domain to look members up in (not supported: an error)",
        shorthand="d",
    ),
    flag("discovery-srv-name", STRING, "", "service to look up with --discovery-srv"),
    flag("debug", BOOL, False, "print the settings and log what the transport does"),
)
for _add in _GLOBAL_FLAGS:
    _add(ROOT)
