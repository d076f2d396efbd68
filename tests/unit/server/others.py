"""Other members as a member's parts see them: whom it reaches, and what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from kvorum.server.log import Event, Logger
from kvorum.server.peer_ports import PeerError
from kvorum.server.ports import LeaseLife

T = TypeVar("T")


class Events(list[Event]):
    """The lines of a log."""

    @property
    def messages(self) -> list[str]:
        return [event.message for event in self]

    def fields_of(self, message: str) -> dict[str, Any]:
        """The fields of the last line with this message."""
        return dict(next(e.fields for e in reversed(self) if e.message == message))


def recording_log() -> tuple[Logger, Events]:
    events = Events()
    return Logger(events.append), events


class Others:
    """Answers by peer URL; a member without one is out of reach. An exception is raised."""

    def __init__(self) -> None:
        self.told_versions: dict[str, str] = {}
        self.told_hashes: dict[str, dict[str, Any] | Exception] = {}
        self.renewals: list[int | Exception] = []
        """What the leader answers to one renewal after the other."""
        self.lives: list[LeaseLife | Exception] = []
        self.promotions: list[Exception | None] = []
        self.asked: list[str] = []
        """The URLs of leaders that were asked something."""

    async def versions(self, urls: Sequence[str]) -> dict[str, str]:
        if urls[0] not in self.told_versions:
            raise PeerError("connection refused")
        return {"etcdserver": self.told_versions[urls[0]], "etcdcluster": "not_decided"}

    async def hash_kv(self, urls: Sequence[str], revision: int) -> dict[str, Any]:
        del revision
        return _given(self.told_hashes.get(urls[0], PeerError("connection refused")))

    async def lease_renew(self, urls: Sequence[str], lease_id: int) -> int:
        del lease_id
        self.asked.append(urls[0])
        return _given(self.renewals.pop(0))

    async def lease_time_to_live(
        self, urls: Sequence[str], lease_id: int, *, with_keys: bool
    ) -> LeaseLife:
        del lease_id, with_keys
        self.asked.append(urls[0])
        return _given(self.lives.pop(0))

    async def promote(self, urls: Sequence[str], member_id: int) -> None:
        del member_id
        self.asked.append(urls[0])
        _given(self.promotions.pop(0))

    def close(self) -> None:
        """Nothing is kept."""

    async def members(self, urls: Sequence[str]) -> tuple[int, list[dict[str, Any]]]:
        raise PeerError(f"nobody asks {urls[0]} for that here")

    async def downgrade_enabled(self, urls: Sequence[str]) -> bool:
        raise PeerError(f"nobody asks {urls[0]} for that here")


def _given(answer: T | Exception) -> T:
    if isinstance(answer, Exception):
        raise answer
    return answer
