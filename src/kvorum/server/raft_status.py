"""The state of the consensus as etcd's `/debug/vars` shows it.

Source: `raft.status` of 3.5.1; names of states as etcd's raft prints them.
"""

from __future__ import annotations

from typing import Any

from kvorum.raft import RawNode
from kvorum.raft.progress import ProgressState
from kvorum.raft.status import Status

_PROGRESS = {
    ProgressState.PROBE: "StateProbe",
    ProgressState.REPLICATE: "StateReplicate",
    ProgressState.SNAPSHOT: "StateSnapshot",
}


def describe_raft(raw: RawNode, applied_index: int) -> dict[str, Any]:
    """The status as an object of JSON, keys in etcd's order. Ids are hex."""
    status = Status.of(raw.raft)
    role = "".join(part.capitalize() for part in status.role.name.split("_"))
    return {
        "id": f"{status.id:x}",
        "term": status.term,
        "vote": f"{status.vote:x}",
        "commit": status.committed,
        "lead": f"{status.lead:x}",
        "raftState": f"State{role}",
        "applied": applied_index,
        "progress": {
            f"{member:x}": {
                "match": known.match,
                "next": known.next,
                "state": _PROGRESS[known.state],
            }
            for member, known in status.progress.items()
        },
        "leadtransferee": f"{status.lead_transferee:x}",
    }
