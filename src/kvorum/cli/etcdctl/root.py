"""The tree of commands and the global flags."""

from __future__ import annotations

from kvorum.cli.shared.cobra import Group, flag
from kvorum.cli.shared.pflag import BOOL, DURATION, PATH, STRING, STRINGS

NAME = "etcdctl"

SECOND_NS = 1_000_000_000

_COMMANDS = "kvorum.cli.etcdctl.commands"

ROOT = Group(
    NAME,
    "Command line client of etcd",
    {
        "alarm": f"{_COMMANDS}.groups:ALARM",
        "check": f"{_COMMANDS}.groups:CHECK",
        "compaction": f"{_COMMANDS}.compaction:compaction",
        "completion": "kvorum.cli.shared.completion:completion",
        "defrag": f"{_COMMANDS}.defrag:defrag",
        "del": f"{_COMMANDS}.delete:delete",
        "downgrade": f"{_COMMANDS}.groups:DOWNGRADE",
        "elect": f"{_COMMANDS}.elect:elect",
        "endpoint": f"{_COMMANDS}.groups:ENDPOINT",
        "get": f"{_COMMANDS}.get:get",
        "help": "kvorum.cli.shared.program:help_command",
        "lease": f"{_COMMANDS}.groups:LEASE",
        "lock": f"{_COMMANDS}.lock:lock",
        "make-mirror": f"{_COMMANDS}.make_mirror:make_mirror",
        "member": f"{_COMMANDS}.groups:MEMBER",
        "move-leader": f"{_COMMANDS}.leader:move_leader",
        "put": f"{_COMMANDS}.put:put",
        "snapshot": f"{_COMMANDS}.groups:SNAPSHOT",
        "txn": f"{_COMMANDS}.txn:txn",
        "version": "kvorum.cli.shared.version:version",
        "watch": f"{_COMMANDS}.watch:watch",
    },
    # `comp` is the compaction to scripts that were written for stock before 3.6.
    in_full=frozenset({"completion"}),
)

_GLOBAL_FLAGS = (
    flag("endpoints", STRINGS, ["127.0.0.1:2379"], "addresses of members, with commas between"),
    flag(
        "write-out",
        STRING,
        "simple",
        "output: simple, json, fields, table, protobuf",
        shorthand="w",
        choices=("simple", "json", "fields", "table", "protobuf"),
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
    flag("cacert", PATH, "", "file with the CA certificates that members are checked with"),
    flag("cert", PATH, "", "file with the certificate to show to members"),
    flag("key", PATH, "", "file with the key of --cert"),
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
        "domain whose SRV records name the members",
        shorthand="d",
    ),
    flag("discovery-srv-name", STRING, "", "service to look up with --discovery-srv"),
    flag("debug", BOOL, False, "print the settings and log what the transport does"),
)
for _add in _GLOBAL_FLAGS:
    _add(ROOT)
