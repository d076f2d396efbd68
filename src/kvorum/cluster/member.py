"""One member of the cluster, and the JSON records that etcd keeps of it.

A record has two halves. The raft attributes (peer URLs, learner or not) are set by configuration
changes; the attributes (name, client URLs) are published by the member itself once it runs, so a
member without a name has been added but never started.

Source: etcd server/etcdserver/api/membership/member.go; shared facts, disk.md section 5, peer.md 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from kvorum.cluster import gojson
from kvorum.errors import DecodeError

_ID_MAX = 2**64 - 1
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member as every other member knows it."""

    id: int
    peer_urls: tuple[str, ...] = ()
    is_learner: bool = False
    name: str = ""
    client_urls: tuple[str, ...] = ()

    @property
    def is_started(self) -> bool:
        """Whether it has ever published its attributes."""
        return bool(self.name)

    def raft_attributes(self) -> dict[str, Any]:
        record: dict[str, Any] = {"peerURLs": list(self.peer_urls) or None}
        if self.is_learner:
            record["isLearner"] = True
        return record

    def attributes(self) -> dict[str, Any]:
        record: dict[str, Any] = {}
        if self.name:
            record["name"] = self.name
        if self.client_urls:
            record["clientURLs"] = list(self.client_urls)
        return record

    def encode(self) -> bytes:
        """The record of the `members` bucket and of a configuration change's context."""
        return gojson.dumps({"id": self.id} | self.raft_attributes() | self.attributes())

    @classmethod
    def decode(cls, data: bytes | str) -> Member:
        """Read a record.

        Raises:
            DecodeError: not a record of a member.
        """
        return cls.from_record(gojson.loads_object(data, "member record"))

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Member:
        """Build from decoded JSON; unknown keys are left alone, as in Go."""
        return cls(
            id=_member_id(record.get("id", 0)),
            peer_urls=_strings(record, "peerURLs"),
            is_learner=_typed(record, "isLearner", bool, False),
            name=_typed(record, "name", str, ""),
            client_urls=_strings(record, "clientURLs"),
        )


def _member_id(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _ID_MAX:
        raise DecodeError(f"member record: id {value!r} is not an unsigned 64-bit number")
    return value


def _typed(record: dict[str, Any], key: str, kind: type[_T], default: _T) -> _T:
    value = record.get(key)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise DecodeError(f"member record: {key} is not of type {kind.__name__}")
    return value


def _strings(record: dict[str, Any], key: str) -> tuple[str, ...]:
    value = record.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise DecodeError(f"member record: {key} is not a list of strings")
    return tuple(value)
