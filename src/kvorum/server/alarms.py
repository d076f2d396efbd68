"""Alarms: what is wrong with a member, known to the whole cluster through the log.

While NOSPACE is active, no member takes a put, a transaction with one, or a new lease; reads and
deletions go on. While CORRUPT is active, no member takes anything that changes or reads keys
through the log.

Source: etcd server/etcdserver/api/v3alarm; shared facts, client.md section 10, disk.md section 5.
"""

from __future__ import annotations

from kvorum.proto.rpc_pb2 import CORRUPT, NONE, NOSPACE, AlarmMember
from kvorum.storage import Backend
from kvorum.storage.buckets import ALARM

Alarm = tuple[int, int]
"""Member id and type."""


class Alarms:
    """The active alarms, and their rows in the bucket `alarm` (key: the encoded AlarmMember)."""

    __slots__ = ("_active", "_backend", "corrupt", "no_space")

    def __init__(self, backend: Backend) -> None:
        self.reload(backend)

    def reload(self, backend: Backend) -> None:
        """Forget everything and read the alarms back from `backend`."""
        self._backend = backend
        self._active: set[Alarm] = set()
        for rows in backend.scan(ALARM):
            for key, _ in rows:
                alarm = AlarmMember.FromString(key)
                self._active.add((alarm.memberID, alarm.alarm))
        self._note()

    def activate(self, alarm: Alarm) -> None:
        """Raise an alarm; raising it again does nothing."""
        if alarm not in self._active:
            self._active.add(alarm)
            self._backend.put(ALARM, _key(alarm), b"")
            self._note()

    def deactivate(self, alarm: Alarm) -> bool:
        """Take an alarm back. False: it was not active."""
        if alarm not in self._active:
            return False
        self._active.remove(alarm)
        self._backend.delete(ALARM, _key(alarm))
        self._note()
        return True

    def active(self, kind: int = NONE) -> list[Alarm]:
        """The active alarms of a type (NONE: of all), by type and member."""
        return sorted(
            (alarm for alarm in self._active if kind in {NONE, alarm[1]}),
            key=lambda alarm: (alarm[1], alarm[0]),
        )

    def _note(self) -> None:
        kinds = {kind for _, kind in self._active}
        self.no_space = NOSPACE in kinds
        """Some member is out of space. Read for every write."""
        self.corrupt = CORRUPT in kinds


def alarm_member(alarm: Alarm) -> AlarmMember:
    """An alarm as a message."""
    member_id, kind = alarm
    return AlarmMember(memberID=member_id, alarm=kind)  # type: ignore[arg-type]  # an enum's number


def _key(alarm: Alarm) -> bytes:
    return alarm_member(alarm).SerializeToString()


def alarm_text(alarm: Alarm) -> str:
    """An alarm as `Status.errors` shows it: Go's text form of the message."""
    member_id, kind = alarm
    names: dict[int, str] = {NOSPACE: "NOSPACE", CORRUPT: "CORRUPT"}
    member = f"memberID:{member_id} " if member_id else ""  # a zero is not written
    return f"{member}alarm:{names.get(kind, str(kind))} " if kind else member
