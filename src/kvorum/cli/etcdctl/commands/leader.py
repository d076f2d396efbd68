"""`etcdctl move-leader`."""

from __future__ import annotations

from kvorum.cli.etcdctl.session import Session, run
from kvorum.cli.shared.cobra import Call, command
from kvorum.cli.shared.exits import bad_args
from kvorum.cli.shared.gonum import GoParseError, parse_uint


@command(
    "move-leader",
    "ID",
    "Make another member the leader",
    "The leader itself must be among --endpoints: no other member does this.",
)
def move_leader(call: Call) -> None:
    if len(call.words) != 1:
        raise bad_args("move-leader command needs 1 argument")
    try:
        target_id = parse_uint(call.words[0], 16)
    except GoParseError as error:
        raise bad_args(str(error)) from None

    async def body(session: Session) -> None:
        maintenance, timeout_s = session.client.maintenance, session.timeout_s
        for endpoint in session.settings.endpoints:
            status = await maintenance.status(endpoint, timeout_s=timeout_s)
            if status.header.member_id == status.leader:
                response = await maintenance.move_leader(target_id, endpoint, timeout_s=timeout_s)
                session.display.move_leader(status.leader, target_id, response)
                return
        shown = " ".join(session.settings.endpoints)
        raise bad_args(f"no leader endpoint given at [{shown}]")

    run(call, body)
