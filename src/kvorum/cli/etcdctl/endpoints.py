"""Which endpoints a command asks, one by one: those given, or with --cluster every member's."""

from __future__ import annotations

from kvorum.cli.etcdctl.session import Session
from kvorum.cli.shared.cobra import Call
from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.client import Client, describe
from kvorum.errors import WireError


async def endpoints_of(call: Call, session: Session) -> tuple[str, ...]:
    """The endpoints of a command with the flag --cluster."""
    if call.on("cluster"):
        return await cluster_endpoints(session.client, session.timeout_s)
    return session.settings.endpoints


async def cluster_endpoints(client: Client, timeout_s: float) -> tuple[str, ...]:
    """The client URLs of every member.

    Raises:
        CommandError: nobody tells.
    """
    try:
        response = await client.cluster.member_list(timeout_s=timeout_s)
    except WireError as error:
        raise CommandError(
            Exit.ERROR,
            f"failed to fetch endpoints from etcd cluster member list: {describe(error)}",
        ) from error
    return tuple(url for member in response.members for url in member.clientURLs)
