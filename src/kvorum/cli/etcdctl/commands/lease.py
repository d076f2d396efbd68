"""`etcdctl lease ...`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kvorum.cli.etcdctl.session import Body, Session, run
from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.exits import CommandError, Exit, bad_args
from kvorum.cli.shared.gonum import GoParseError, parse_int
from kvorum.cli.shared.pflag import BOOL
from kvorum.cli.shared.stdio import write_text
from kvorum.client import describe
from kvorum.errors import WireError


@command("grant", "TTL", "Make a lease of TTL seconds")
def grant(call: Call) -> None:
    if len(call.words) != 1:
        raise bad_args("lease grant command needs TTL argument")
    try:
        ttl_s = parse_int(call.words[0], 10)
    except GoParseError as error:
        raise bad_args(f"bad TTL ({error})") from None

    async def body(session: Session) -> None:
        try:
            response = await session.client.leases.grant(ttl_s, timeout_s=session.timeout_s)
        except WireError as error:
            raise CommandError(Exit.ERROR, f"failed to grant lease ({describe(error)})") from error
        session.display.grant(response)

    run(call, body)


@command("revoke", "ID", "End a lease and delete its keys")
def revoke(call: Call) -> None:
    if len(call.words) != 1:
        raise bad_args("lease revoke command needs 1 argument")
    lease_id = _lease_id(call)

    async def body(session: Session) -> None:
        try:
            response = await session.client.leases.revoke(lease_id, timeout_s=session.timeout_s)
        except WireError as error:
            raise CommandError(Exit.ERROR, f"failed to revoke lease ({describe(error)})") from error
        session.display.revoke(lease_id, response)

    run(call, body)


@command("timetolive", "ID", "Show how long a lease has left")
@flag("keys", BOOL, False, "show the keys of the lease too")
def time_to_live(call: Call) -> None:
    if len(call.words) != 1:
        raise bad_args("lease timetolive command needs lease ID as argument")
    lease_id = _lease_id(call)

    async def body(session: Session) -> None:
        with_keys = call.on("keys")
        with _connected():
            response = await session.client.leases.time_to_live(
                lease_id, keys=with_keys, timeout_s=None
            )
        session.display.time_to_live(response, with_keys=with_keys)

    run(call, body)


@command("list", "", "List all leases")
def list_leases(call: Call) -> None:
    async def body(session: Session) -> None:
        with _connected():
            response = await session.client.leases.list(timeout_s=None)
        session.display.leases(response)

    run(call, body)


@command("keep-alive", "ID", "Keep a lease alive until it ends or etcdctl does")
@flag("once", BOOL, False, "keep it alive once, and end")
def keep_alive(call: Call) -> None:
    if len(call.words) != 1:
        raise bad_args("lease keep-alive command needs lease ID as argument")
    lease_id = _lease_id(call)
    run(call, _keep_alive_once(lease_id) if call.on("once") else _keep_alive(lease_id))


def _keep_alive_once(lease_id: int) -> Body:
    async def body(session: Session) -> None:
        with _connected():
            response = await session.client.leases.keep_alive_once(lease_id, timeout_s=None)
        session.display.keep_alive(response)

    return body


def _keep_alive(lease_id: int) -> Body:
    async def body(session: Session) -> None:
        async with session.client.leases.keep_alive(lease_id) as kept:
            try:
                async for response in kept:
                    session.display.keep_alive(response)
            except WireError:
                # Stock says the same whatever the reason was.
                write_text(f"lease {lease_id:016x} expired or revoked.\n")

    return body


@contextmanager
def _connected() -> Iterator[None]:
    """Like stock, some commands wait for a member as long as it takes, and end in their own way."""
    try:
        yield
    except WireError as error:
        raise CommandError(Exit.BAD_CONNECTION, describe(error)) from error


def _lease_id(call: Call) -> int:
    try:
        return parse_int(call.words[0], 16)
    except GoParseError as error:
        raise bad_args(f"bad lease ID arg ({error}), expecting ID in Hex") from None
