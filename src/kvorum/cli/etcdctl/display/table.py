"""`--write-out=table`: grids, for members and endpoints only."""

from __future__ import annotations

from collections.abc import Sequence

from kvorum.cli.etcdctl.display.base import Display, EndpointHash, EndpointHealth, EndpointStatus
from kvorum.cli.etcdctl.display.rows import member_row, status_row, truth
from kvorum.cli.shared.grid import render
from kvorum.cli.shared.stdio import write_text
from kvorum.proto.rpc_pb2 import MemberListResponse

MEMBER_HEADINGS = ("ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner")
HEALTH_HEADINGS = ("endpoint", "health", "took", "error")
STATUS_HEADINGS = (
    "endpoint",
    "ID",
    "version",
    "db size",
    "is leader",
    "is learner",
    "raft term",
    "raft index",
    "raft applied index",
    "errors",
)
HASH_HEADINGS = ("endpoint", "hash")


class TableDisplay(Display):
    """One grid for each result."""

    name = "table"

    def member_list(self, response: MemberListResponse) -> None:
        write_text(render(MEMBER_HEADINGS, [member_row(member) for member in response.members]))

    def endpoint_health(self, healths: Sequence[EndpointHealth]) -> None:
        rows = [[one.endpoint, truth(one.healthy), one.took, one.error] for one in healths]
        write_text(render(HEALTH_HEADINGS, rows))

    def endpoint_status(self, statuses: Sequence[EndpointStatus]) -> None:
        write_text(render(STATUS_HEADINGS, [status_row(status) for status in statuses]))

    def endpoint_hash_kv(self, hashes: Sequence[EndpointHash]) -> None:
        rows = [[one.endpoint, str(one.response.hash)] for one in hashes]
        write_text(render(HASH_HEADINGS, rows))
