"""The server's command line and environment, read as Go's package flag and etcd read them.

    config = load(argv, os.environ, log)

A configuration file, when one is named, stands alone: other flags and variables are then ignored.
Otherwise a flag comes before its variable, and it is an error to give both.

Source: Go package flag; etcd server/etcdmain/config.go, pkg/flags. Order of checks, texts, exit
codes and what goes to stdout or stderr were checked against 3.5.1 by running it.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field

from kvorum.cli.etcd.help import USAGE, help_text, version_text
from kvorum.embed.config import RAFT_TIMEOUT_S_MIN, Config
from kvorum.embed.config_check import not_supported
from kvorum.embed.config_file import UrlsError, read_config_file
from kvorum.embed.config_flag import Flag, Kind
from kvorum.embed.config_load import Given, assemble
from kvorum.embed.config_table_later import FLAGS, IGNORED
from kvorum.embed.config_values import parse_bool
from kvorum.errors import ConfigError, KvorumError
from kvorum.server.log import Logger

EXIT_OK, EXIT_ERROR, EXIT_USAGE = 0, 1, 2

CONFIG_FILE = "config-file"
CONFIG_FILE_VARIABLE = "ETCD_CONFIG_FILE"
_VARIABLE_PREFIX = "ETCD_"
_VERSION_VARIABLE = "ETCD_VERSION"
_HELP = ("h", "help")
_VERSION = "version"
_SUBCOMMANDS = ("gateway", "grpc-proxy")
_SECRET_WORDS = ("password", "token", "secret", "discovery-user")  # the last: `name:password`
_NO_SECRET = "initial-cluster-token"
_BLANK = "<redacted>"


class Exit(KvorumError):
    """The program is to print something and end: help, version, or a wrong flag."""

    def __init__(self, code: int, *, stdout: str = "", stderr: str = "") -> None:
        super().__init__(stderr or stdout)
        self.code, self.stdout, self.stderr = code, stdout, stderr


class ShadowedVariableError(ConfigError):
    """A variable and its flag are both set; logged as a fatal line of its own."""

    def __init__(self, variable: str) -> None:
        super().__init__(
            "conflicting environment variable is shadowed by corresponding command-line flag "
            "(either unset environment variable or disable flag))"
        )
        self.variable = variable


@dataclass(slots=True)
class CommandLine:
    """What the arguments say."""

    given: dict[str, Given] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)
    show_version: bool = False
    config_file: str = ""


def load(argv: Sequence[str], environ: MutableMapping[str, str], log: Logger) -> Config:
    """The configuration that arguments (without the program's name) and environment ask for.

    Args:
        argv: the arguments.
        environ: `ETCD_VERSION` is taken out of it, as etcd does.
        log: gets what etcd says while it reads.

    Raises:
        Exit: help, version, or an error in the syntax of a flag.
        ConfigError: everything else that is wrong; `failed to verify flags`.
    """
    if argv and argv[0] in _SUBCOMMANDS:
        raise not_supported(f"etcd {argv[0]}")
    line = parse_command_line(argv)
    if line.rest:
        raise ConfigError(f'"{line.rest[0]}" is not a valid flag')
    if line.show_version:
        raise Exit(EXIT_OK, stdout=version_text())
    path = line.config_file or environ.get(CONFIG_FILE_VARIABLE, "")
    if path:
        return _from_file(path, log)
    if _VERSION_VARIABLE in environ:
        log.warn(
            "cannot set special environment variable",
            key=_VERSION_VARIABLE,
            value=environ.pop(_VERSION_VARIABLE),
        )
    given = line.given | read_environment(environ, line.given, log)
    config = assemble(given)
    for name in ("raft-read-timeout", "raft-write-timeout"):
        if name in given and given[name].value < RAFT_TIMEOUT_S_MIN:
            log.info(f"{name} increased to minimum value: {RAFT_TIMEOUT_S_MIN:g}s")
    return config


def _from_file(path: str, log: Logger) -> Config:
    try:
        settings = read_config_file(path)
    except UrlsError as error:
        raise Exit(EXIT_ERROR, stderr=f"{error}\n") from None
    config = assemble(settings.given, from_file=True)
    log.info(
        "loaded server configuration, other configuration command line flags and environment "
        "variables will be ignored if provided",
        path=path,
    )
    if settings.unknown:
        log.warn("ignored unknown keys of the configuration file", path=path, keys=settings.unknown)
    return config


def parse_command_line(argv: Sequence[str]) -> CommandLine:
    """Read the arguments up to the first that is no flag; the last of a repeated flag counts.

    Raises:
        Exit: `--help`, or the first error in the syntax of a flag.
    """
    line = CommandLine()
    rest = list(argv)
    while rest:
        argument = rest[0]
        if len(argument) < 2 or not argument.startswith("-"):
            break
        rest.pop(0)
        if argument == "--":
            break
        name, equals, text = argument.removeprefix("-").removeprefix("-").partition("=")
        if not name or name.startswith("-"):
            raise _usage_error(f"bad flag syntax: {argument}")
        _set(line, name, text if equals else None, rest)
    line.rest = rest
    return line


def _set(line: CommandLine, name: str, text: str | None, rest: list[str]) -> None:
    """Take one flag; `text` is None where no `=` stood, and the value may be the next argument."""
    flag = FLAGS.get(name)
    if flag is None and name in _HELP:
        raise Exit(EXIT_OK, stdout=help_text(), stderr=USAGE)
    if name in IGNORED:
        return
    if name == _VERSION:
        line.show_version = _parse_bool(name, "true" if text is None else text)
        return
    if flag is None and name != CONFIG_FILE:
        raise _usage_error(f"flag provided but not defined: -{name}")
    if flag is not None and flag.kind is Kind.BOOL:
        text = "true" if text is None else text
        line.given[name] = Given(_parse_bool(name, text), text)
        return
    if text is None:
        if not rest:
            raise _usage_error(f"flag needs an argument: -{name}")
        text = rest.pop(0)
    if flag is None:
        line.config_file = text
        return
    if flag.kind is Kind.URLS and not text:
        return  # changes nothing, as in etcd
    try:
        line.given[name] = Given(flag.parse(text), text)
    except ConfigError as error:
        raise _usage_error(f'invalid value "{text}" for flag -{name}: {error}') from None


def _parse_bool(name: str, text: str) -> bool:
    try:
        return parse_bool(text)
    except ConfigError as error:
        raise _usage_error(f'invalid boolean value "{text}" for -{name}: {error}') from None


def _usage_error(text: str) -> Exit:
    return Exit(EXIT_USAGE, stderr=f"{text}\n{USAGE}")


def read_environment(
    environ: Mapping[str, str], given: Mapping[str, Given], log: Logger
) -> dict[str, Given]:
    """The flags that variables set. Empty variables count as not set.

    Raises:
        ShadowedVariableError: the flag of a variable was given too.
        ConfigError: a value cannot be read.
    """
    found: dict[str, Given] = {}
    failure: ConfigError | None = None
    for flag in sorted(FLAGS.values(), key=lambda flag: flag.name):
        text = environ.get(flag.variable, "")
        if not text or flag.name in given:
            continue
        try:
            found[flag.name] = Given(flag.parse(text), text)
        except ConfigError as error:
            failure = ConfigError(f'invalid value "{text}" for {flag.variable}: {error}')
            continue
        log.info(
            "recognized and used environment variable",
            variable_name=flag.variable,
            variable_value=_BLANK if _is_secret(flag.name) else text,
        )
    _check_variables(environ, found, given, log)
    if failure is not None:
        raise failure
    return found


def _check_variables(
    environ: Mapping[str, str], found: Mapping[str, Given], given: Mapping[str, Given], log: Logger
) -> None:
    known: dict[str, Flag] = {flag.variable: flag for flag in FLAGS.values()}
    for variable, text in environ.items():
        flag = known.get(variable)
        if flag is not None and flag.name in found:
            continue
        if flag is not None and flag.name in given:
            raise ShadowedVariableError(variable)
        if variable.startswith(_VARIABLE_PREFIX) and (flag is None or text):
            shown = _BLANK if _is_secret(variable.lower()) else text
            log.warn(
                "unrecognized environment variable", environment_variable=f"{variable}={shown}"
            )


def safe_args(argv: Sequence[str]) -> list[str]:
    """The arguments as they may be logged: values of secrets are blanked."""
    shown, blank_next = [], False
    for argument in argv:
        name, equals, _ = argument.partition("=")
        if blank_next or (equals and argument.startswith("-") and _is_secret(name)):
            shown.append(f"{name}={_BLANK}" if equals and not blank_next else _BLANK)
            blank_next = False
            continue
        blank_next = argument.startswith("-") and not equals and _is_secret(name)
        shown.append(argument)
    return shown


def _is_secret(name: str) -> bool:
    plain = name.lstrip("-").replace("_", "-")
    return any(word in plain for word in _SECRET_WORDS) and _NO_SECRET not in plain
