"""Rows that the simple form and tables have in common."""

from __future__ import annotations

from kvorum.cli.etcdctl.display.base import EndpointStatus
from kvorum.gotext import format_size
from kvorum.proto.rpc_pb2 import NONE, AlarmMember, AlarmType, Member


def truth(value: bool) -> str:
    """A truth value as Go prints it."""
    return "true" if value else "false"


def member_row(member: Member) -> list[str]:
    return [
        f"{member.ID:x}",
        "started" if member.name else "unstarted",
        member.name,
        ",".join(member.peerURLs),
        ",".join(member.clientURLs),
        truth(member.isLearner),
    ]


def status_row(status: EndpointStatus) -> list[str]:
    response = status.response
    return [
        status.endpoint,
        f"{response.header.member_id:x}",
        response.version,
        format_size(response.dbSize),
        truth(response.leader == response.header.member_id),
        truth(response.isLearner),
        str(response.raftTerm),
        str(response.raftIndex),
        str(response.raftAppliedIndex),
        ", ".join(response.errors),
    ]


def alarm_text(alarm: AlarmMember) -> str:
    """An alarm as Go prints the message; a zero is not printed."""
    parts = [f"memberID:{alarm.memberID} "] if alarm.memberID else []
    if alarm.alarm != NONE:
        parts.append(f"alarm:{AlarmType.Name(alarm.alarm)} ")
    return "".join(parts)
