"""`etcdctl member ...`."""

from __future__ import annotations

from kvorum.cli.etcdctl.cobra import Call, command
from kvorum.cli.etcdctl.session import Session, run


@command(
    "list",
    "",
    "List the members of the cluster",
    "With --write-out=simple each line has: ID, status, name, peer URLs, client URLs, whether the "
    "member is a learner.",
)
def member_list(call: Call) -> None:
    async def body(session: Session) -> None:
        response = await session.client.cluster.member_list(timeout_s=session.timeout_s)
        session.display.member_list(response)

    run(call, body)
