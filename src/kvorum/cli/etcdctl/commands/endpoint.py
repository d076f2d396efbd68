"""`etcdctl endpoint ...`."""

from __future__ import annotations

import asyncio
from time import perf_counter_ns

from kvorum.cli.etcdctl.display import EndpointHash, EndpointHealth, EndpointStatus, display_of
from kvorum.cli.etcdctl.endpoints import cluster_endpoints, endpoints_of
from kvorum.cli.etcdctl.session import (
    Session,
    ask_password,
    make_client,
    run,
    settings_of,
    start_transport_log,
)
from kvorum.cli.etcdctl.settings import Settings
from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.cli.shared.log import Stamp
from kvorum.cli.shared.pflag import BOOL, INT64
from kvorum.cli.shared.stdio import write_error
from kvorum.client import Client, describe
from kvorum.errors import PermissionDeniedError, WireError
from kvorum.gotext import format_duration
from kvorum.proto.rpc_pb2 import AlarmResponse, AlarmType

_CLUSTER_TEXT = "ask every member of the cluster, not only --endpoints"

HEALTH_KEY = b"health"
"""The key that a health check reads; whether it exists does not matter."""


@command("status", "", "Show the status of each endpoint")
@flag("cluster", BOOL, False, _CLUSTER_TEXT)
def status(call: Call) -> None:
    async def body(session: Session) -> None:
        statuses, failed = [], False
        for endpoint in await endpoints_of(call, session):
            try:
                response = await session.client.maintenance.status(
                    endpoint, timeout_s=session.timeout_s
                )
            except WireError as error:
                failed = True
                write_error(
                    f"Failed to get the status of endpoint {endpoint} ({describe(error)})\n"
                )
            else:
                statuses.append(EndpointStatus(endpoint, response))
        session.display.endpoint_status(statuses)
        if failed:
            raise CommandError(Exit.ERROR, None)

    run(call, body)


@command("hashkv", "", "Show the hash of each endpoint's keys")
@flag("cluster", BOOL, False, _CLUSTER_TEXT)
@flag("rev", INT64, 0, "hash up to this revision; 0: all")
def hash_kv(call: Call) -> None:
    async def body(session: Session) -> None:
        hashes, failure = [], None
        for endpoint in await endpoints_of(call, session):
            try:
                response = await session.client.maintenance.hash_kv(
                    endpoint, revision=call.number("rev"), timeout_s=session.timeout_s
                )
            except WireError as error:
                failure = error
                write_error(f"Failed to get the hash of endpoint {endpoint} ({describe(error)})\n")
            else:
                hashes.append(EndpointHash(endpoint, response))
        session.display.endpoint_hash_kv(hashes)
        if failure is not None:
            raise CommandError(Exit.ERROR, describe(failure))

    run(call, body)


@command("health", "", "Show whether each endpoint serves requests")
@flag("cluster", BOOL, False, _CLUSTER_TEXT)
def health(call: Call) -> None:
    settings = settings_of(call)
    display = display_of(settings)
    settings = ask_password(settings)
    start_transport_log(settings)
    healths = asyncio.run(_healths(call, settings))
    display.endpoint_health(healths)
    if any(health.error for health in healths):
        raise CommandError(Exit.ERROR, "unhealthy cluster")


async def _healths(call: Call, settings: Settings) -> list[EndpointHealth]:
    """Ask all endpoints at once; in the order in which they answer."""
    endpoints = settings.endpoints
    if call.on("cluster"):
        async with make_client(settings, endpoints) as client:
            endpoints = await cluster_endpoints(client, settings.command_timeout_s)
    checks = [_health(settings, endpoint) for endpoint in endpoints]
    return [await check for check in asyncio.as_completed(checks)]


async def _health(settings: Settings, endpoint: str) -> EndpointHealth:
    client = make_client(settings, (endpoint,), logger="client", stamp=Stamp.SECONDS)
    async with client:
        try:
            await client.authenticate()
        except WireError as error:
            return EndpointHealth(endpoint=endpoint, healthy=False, error=describe(error))
        start_ns = perf_counter_ns()
        error_text = ""
        try:
            await client.kv.get(HEALTH_KEY, timeout_s=settings.command_timeout_s)
        except PermissionDeniedError:
            pass  # it took a majority to refuse it
        except WireError as error:
            error_text = describe(error)
        took = format_duration(perf_counter_ns() - start_ns)
        if not error_text:
            error_text = await _alarms(client, settings.command_timeout_s)
    return EndpointHealth(endpoint=endpoint, healthy=not error_text, took=took, error=error_text)


async def _alarms(client: Client, timeout_s: float) -> str:
    """What the alarms of the cluster say against its health; empty when there are none."""
    try:
        response: AlarmResponse = await client.maintenance.alarms(timeout_s=timeout_s)
    except WireError:
        return "Unable to fetch the alarm list"
    names = [AlarmType.Name(alarm.alarm) for alarm in response.alarms]
    return "Active Alarm(s): " + "".join(f"{name} " for name in names) if names else ""
