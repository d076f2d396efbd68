"""The global flags, completed by `ETCDCTL_*` variables, as one object.

A variable gives a flag its value when the flag was not given; both at once is an error that ends
etcdctl. Other `ETCDCTL_*` variables are warned of. That happens when a command is about to connect,
not before: a command that fails for its arguments says only that.

A variable with a value that the flag cannot have is passed over, as stock does.

Source: shared facts, flags.md section 7; etcd pkg/flags, SetPflagsFromEnv.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.cli.shared.log import LogLine, Stamp
from kvorum.cli.shared.pflag import FlagError, FlagSet
from kvorum.cli.shared.stdio import write_error

PREFIX = "ETCDCTL_"
NS = 1_000_000_000

# What the process itself looks at, outside of the flags.
SPECIAL_VARIABLES = frozenset({"ETCDCTL_API"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the global flags say. Times in seconds."""

    endpoints: tuple[str, ...]
    write_out: str
    hex: bool
    command_timeout_s: float
    dial_timeout_s: float
    keepalive_time_s: float
    keepalive_timeout_s: float
    user: str
    password: str
    cacert: str
    cert: str
    key: str
    insecure_transport: bool
    insecure_skip_tls_verify: bool
    discovery_srv: str
    discovery_srv_name: str
    insecure_discovery: bool
    debug: bool


def variable_of(flag: str) -> str:
    """The environment variable of a flag."""
    return PREFIX + flag.upper().replace("-", "_")


def load_settings(
    flag_set: FlagSet,
    global_flags: frozenset[str],
    environment: Mapping[str, str],
    *,
    known_variables: frozenset[str] = frozenset(),
) -> Settings:
    """Read the settings; completes `flag_set` from the environment.

    Args:
        flag_set: the flags of the command line.
        global_flags: names of those that variables stand for.
        environment: os.environ.
        known_variables: variables that are not flags and that the command reads itself.

    Raises:
        CommandError: a flag and its variable are both given.
    """
    given = set(flag_set.changed)
    by_variable = {variable_of(name): name for name in global_flags}
    for variable, name in by_variable.items():
        if name not in given and environment.get(variable):
            with contextlib.suppress(FlagError):
                flag_set.set(name, environment[variable])
    for variable, value in environment.items():
        if not variable.startswith(PREFIX) or variable in SPECIAL_VARIABLES | known_variables:
            continue
        flag = by_variable.get(variable)
        if flag in given:
            raise _shadowed(variable)
        if flag is None or not value:
            _warn_unrecognized(f"{variable}={value}")
    settings = _settings(flag_set)
    if settings.debug:
        _print_flags(flag_set, global_flags)
    return settings


def _settings(flag_set: FlagSet) -> Settings:
    values = flag_set.values
    return Settings(
        endpoints=tuple(values["endpoints"]),
        write_out=values["write-out"],
        hex=values["hex"],
        command_timeout_s=values["command-timeout"] / NS,
        dial_timeout_s=values["dial-timeout"] / NS,
        keepalive_time_s=values["keepalive-time"] / NS,
        keepalive_timeout_s=values["keepalive-timeout"] / NS,
        user=values["user"],
        password=values["password"],
        cacert=values["cacert"],
        cert=values["cert"],
        key=values["key"],
        insecure_transport=values["insecure-transport"],
        insecure_skip_tls_verify=values["insecure-skip-tls-verify"],
        discovery_srv=values["discovery-srv"],
        discovery_srv_name=values["discovery-srv-name"],
        insecure_discovery=values["insecure-discovery"],
        debug=values["debug"],
    )


def _shadowed(variable: str) -> CommandError:
    line = LogLine("fatal", Stamp.SECONDS, caller="flags/flag.go:85")
    line.add(
        "msg",
        "conflicting environment variable is shadowed by corresponding command-line flag "
        "(either unset environment variable or disable flag))",
    )
    line.add("environment-variable", variable)
    write_error(line.text())
    return CommandError(Exit.ERROR, None)


def _warn_unrecognized(setting: str) -> None:
    line = LogLine("warn", Stamp.SECONDS, caller="flags/flag.go:93")
    line.add("msg", "unrecognized environment variable")
    line.add("environment-variable", setting)
    write_error(line.text())


def _print_flags(flag_set: FlagSet, global_flags: frozenset[str]) -> None:
    for name in sorted(global_flags):
        value = flag_set.flags[name].kind.show(flag_set.values[name])
        write_error(f"{variable_of(name)}={value}\n")
