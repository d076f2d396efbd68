"""`etcdctl downgrade ...`: take the cluster to the version before its own."""

from __future__ import annotations

from kvorum.cli.etcdctl.session import Session, run
from kvorum.cli.shared.cobra import Call, command
from kvorum.cli.shared.exits import bad_args


@command("validate", "VERSION", "Ask whether the cluster could be taken to VERSION (X.Y)")
def validate(call: Call) -> None:
    target = _target(call)

    async def body(session: Session) -> None:
        response = await session.client.maintenance.downgrade_validate(
            target, timeout_s=session.timeout_s
        )
        session.display.downgrade("validate", response)

    run(call, body)


@command(
    "enable",
    "VERSION",
    "Let the cluster go down to VERSION (X.Y)",
    "From then on members of that version may take the places of the present ones, one by one.",
)
def enable(call: Call) -> None:
    target = _target(call)

    async def body(session: Session) -> None:
        response = await session.client.maintenance.downgrade_enable(
            target, timeout_s=session.timeout_s
        )
        session.display.downgrade("enable", response)

    run(call, body)


@command("cancel", "", "Give up taking the cluster to a lower version")
def cancel(call: Call) -> None:
    async def body(session: Session) -> None:
        response = await session.client.maintenance.downgrade_cancel(timeout_s=session.timeout_s)
        session.display.downgrade("cancel", response)

    run(call, body)


def _target(call: Call) -> str:
    if not call.words:
        raise bad_args("TARGET_VERSION not provided")
    if len(call.words) > 1:
        raise bad_args("too many arguments")
    if not call.words[0]:
        raise bad_args("target version not provided")
    return call.words[0]
