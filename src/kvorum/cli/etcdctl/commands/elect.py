"""`etcdctl elect`: stand for an election until Ctrl-C, or look on with --listen."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from kvorum.cli.etcdctl.session import Session, run
from kvorum.cli.etcdctl.until_signal import interrupts, unless_set
from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.exits import CommandError, Exit, bad_args
from kvorum.cli.shared.goquote import to_bytes
from kvorum.cli.shared.pflag import BOOL
from kvorum.client import Election
from kvorum.client import Session as ClientSession

_ARGUMENTS = "elect takes one election name argument and an optional proposal argument"


@command(
    "elect",
    "NAME [VALUE]",
    "Stand for an election, or observe it",
    "Prints the key and the value once elected, and leads until Ctrl-C.",
)
@flag("listen", BOOL, False, "print who leads, and each change", shorthand="l")
def elect(call: Call) -> None:
    if len(call.words) not in {1, 2}:
        raise bad_args(_ARGUMENTS)
    listens = call.on("listen")
    if len(call.words) == 1 and not listens:
        raise bad_args("no proposal argument but -l not set")
    if len(call.words) == 2 and listens:
        raise bad_args("proposal given but -l is set")
    name = to_bytes(call.words[0])

    async def body(session: Session) -> None:
        async with interrupts() as interrupted, session.client.session() as opened:
            election = opened.election(name)
            if listens:
                await unless_set(interrupted, _observe(session, election))
                return
            value = to_bytes(call.words[1])
            if await unless_set(interrupted, _campaigned(election, value)) is None:
                raise CommandError(Exit.ERROR, "context canceled")
            await _lead(session, election, interrupted, opened)

    run(call, body)


async def _observe(session: Session, election: Election) -> None:
    async with aclosing(election.observe()) as leaders:
        async for response in leaders:
            session.display.get(response)
    raise CommandError(Exit.ERROR, "elect: observer lost")


async def _campaigned(election: Election, value: bytes) -> bool:
    await election.campaign(value)
    return True


async def _lead(
    session: Session,
    election: Election,
    interrupted: asyncio.Event,
    opened: ClientSession,
) -> None:
    session.display.get(await session.client.kv.get(election.key, timeout_s=None))
    if await unless_set(interrupted, opened.wait_over()) is not None:
        raise CommandError(Exit.ERROR, "elect: session expired")
    await election.resign()
