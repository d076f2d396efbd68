"""`etcdctl alarm ...`."""

from __future__ import annotations

from kvorum.cli.etcdctl.session import Session, run
from kvorum.cli.shared.cobra import Call, command
from kvorum.cli.shared.exits import bad_args


@command("list", "", "List the alarms that are raised")
def list_alarms(call: Call) -> None:
    if call.words:
        raise bad_args("alarm list command accepts no arguments")

    async def body(session: Session) -> None:
        session.display.alarm(await session.client.maintenance.alarms(timeout_s=session.timeout_s))

    run(call, body)


@command("disarm", "", "Take back every alarm that is raised")
def disarm(call: Call) -> None:
    if call.words:
        raise bad_args("alarm disarm command accepts no arguments")

    async def body(session: Session) -> None:
        session.display.alarm(await session.client.maintenance.disarm(timeout_s=session.timeout_s))

    run(call, body)
