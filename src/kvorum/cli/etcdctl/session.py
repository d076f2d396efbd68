"""A command with a client: settings, display, connection, and what its errors become."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from kvorum.cli.etcdctl.dialtext import describe_attempt
from kvorum.cli.etcdctl.display import Display, display_of
from kvorum.cli.etcdctl.settings import Settings, load_settings
from kvorum.cli.shared.cobra import Call, flags_of
from kvorum.cli.shared.exits import CommandError, Exit, bad_args
from kvorum.cli.shared.goquote import quote
from kvorum.cli.shared.log import LogLine, Stamp
from kvorum.cli.shared.stdio import write_error, write_text
from kvorum.client import (
    Client,
    ClientOptions,
    Failure,
    TlsOptions,
    describe,
)
from kvorum.client.srv import LookupFailedError, client_endpoints
from kvorum.errors import ConfigError, WireError

Body = Callable[["Session"], Awaitable[None]]
"""What a command does once it has a client."""

DIAL_TIMEOUT_S_UNSET = 20.0
"""For --dial-timeout=0. Source: grpc-go, the minimum time of a connection attempt."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a command works with."""

    settings: Settings
    display: Display
    client: Client

    @property
    def timeout_s(self) -> float:
        """The time limit of a call, for the commands that have one."""
        return self.settings.command_timeout_s


def settings_of(call: Call, known_variables: frozenset[str] = frozenset()) -> Settings:
    """The settings of a run, from its flags and the environment.

    Raises:
        CommandError: they contradict each other, or or no endpoint is found by DNS.
    """
    root = call.context.find_root().command
    names = frozenset(flag.name for flag in flags_of(root))
    settings = load_settings(call.flag_set, names, os.environ, known_variables=known_variables)
    if settings.discovery_srv and (found := _discovered(settings)):
        settings = replace(settings, endpoints=found)
    return settings


def _discovered(settings: Settings) -> tuple[str, ...]:
    """Endpoints by DNS. Without --insecure-discovery those without TLS are left out."""
    try:
        found = client_endpoints(settings.discovery_srv, settings.discovery_srv_name)
    except LookupFailedError as error:
        raise CommandError(Exit.ERROR, str(error)) from None
    if settings.insecure_discovery:
        return tuple(found)
    for endpoint in found:
        if not endpoint.startswith("https://"):
            write_error(f"ignoring discovered insecure endpoint {quote(endpoint)}\n")
    return tuple(endpoint for endpoint in found if endpoint.startswith("https://"))


def run(
    call: Call,
    body: Body,
    *,
    known_variables: frozenset[str] = frozenset(),
) -> None:
    """Connect, run `body`, close.

    Raises:
        CommandError: as `body` does, or for an error of the client: exit code 1 and its text.
    """
    settings = settings_of(call, known_variables)
    display = display_of(settings)
    settings = ask_password(settings)
    start_transport_log(settings)
    asyncio.run(_run(settings, display, body))


async def _run(settings: Settings, display: Display, body: Body) -> None:
    client = make_client(settings, settings.endpoints)
    async with client:
        try:
            await client.authenticate()
        except WireError as error:
            raise CommandError(Exit.BAD_CONNECTION, describe(error)) from error
        try:
            await body(Session(settings, display, client))
        except WireError as error:
            raise CommandError(Exit.ERROR, describe(error)) from error


def make_client(
    settings: Settings,
    endpoints: tuple[str, ...],
    *,
    logger: str = "etcd-client",
    stamp: Stamp = Stamp.ISO_8601,
) -> Client:
    """A client with the settings' options; failed calls are logged under `logger`.

    Raises:
        CommandError: no endpoint, or TLS files that cannot be used.
    """
    if not endpoints:
        raise CommandError(Exit.BAD_CONNECTION, "etcdclient: no available endpoints")
    target = endpoints[0].partition("://")[2] or endpoints[0]

    def log_failure(failure: Failure) -> None:
        line = LogLine("warn", stamp, logger=logger, caller="v3/retry_interceptor.go:62")
        line.add("msg", "retrying of unary invoker failed")
        line.add("target", f"etcd-endpoints://{id(client):#x}/{target}")
        line.add("attempt", 0)
        line.add("error", describe_attempt(failure.error))
        write_error(line.text())

    known_user = settings.user and settings.password
    try:
        client = Client(
            endpoints,
            user=settings.user if known_user else None,
            password=settings.password if known_user else None,
            tls=_tls(settings),
            options=ClientOptions(
                timeout_s=settings.command_timeout_s,
                dial_timeout_s=positive(settings.dial_timeout_s, DIAL_TIMEOUT_S_UNSET),
                keepalive_time_s=settings.keepalive_time_s,
                keepalive_timeout_s=settings.keepalive_timeout_s,
            ),
            on_failure=log_failure,
        )
    except ConfigError as error:
        raise bad_args(str(error)) from error
    return client


def positive(value: float, otherwise: float) -> float:
    return value if value > 0 else otherwise


def _tls(settings: Settings) -> TlsOptions | None:
    if settings.cert or settings.key or settings.cacert or not settings.insecure_transport:
        if settings.insecure_skip_tls_verify:
            raise CommandError(
                Exit.BAD_FEATURE,
                "--insecure-skip-tls-verify is not supported: gRPC for Python checks every "
                "certificate; give the CA of the members in --cacert",
            )
        return TlsOptions(
            ca_file=settings.cacert or None,
            cert_file=settings.cert or None,
            key_file=settings.key or None,
        )
    return None


def ask_password(settings: Settings) -> Settings:
    """Split `--user name:password`; ask for a password that is not there.

    Source: etcdctl's getUsernamePassword.
    """
    if not settings.user or settings.password:
        return settings
    user, separator, password = settings.user.partition(":")
    if separator:
        return replace(settings, user=user, password=password)
    write_text("Password: ")
    password = _read_password()
    write_text("\n")
    return replace(settings, password=password)


def _read_password() -> str:
    import getpass  # noqa: PLC0415
    import sys  # noqa: PLC0415

    if sys.stdin.isatty():
        return getpass.getpass(prompt="")
    return sys.stdin.readline().rstrip("\n")


def start_transport_log(settings: Settings) -> None:
    """GRPC reads its log level when it is imported. Its log would stand between our lines."""
    os.environ.setdefault("GRPC_VERBOSITY", "DEBUG" if settings.debug else "NONE")
