"""The version-2 store as JSON: what a raft snapshot's `data` holds, in every version of etcd.

Members up to 3.5 read the membership from it; 3.6 still writes it for them. Ours holds the members,
the removed ids and the cluster version and nothing else, as 3.6's does. Reading accepts the dumps
of stock members, including one with version-2 keys of users, which are told by `user_keys`.

Source: shared facts, disk.md section 3 (minimal form checked there against 3.4.23 and 3.5.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from kvorum.cluster import gojson
from kvorum.cluster.ids import hex_id
from kvorum.cluster.member import Member
from kvorum.errors import ConfigError, DecodeError
from kvorum.proto.versions import Version, parse_version

_WHAT = "v2 store"
_NEVER = "0001-01-01T00:00:00Z"
_MEMBERS = "/0/members"
_REMOVED = "/0/removed_members"
_VERSION = "/0/version"


@dataclass(slots=True)
class Membership:
    """What a snapshot knows of the cluster."""

    members: dict[int, Member] = field(default_factory=dict)
    removed: set[int] = field(default_factory=set)
    version: Version | None = None
    user_keys: tuple[str, ...] = ()
    """Paths of version-2 user data (under `/1`), which Kvorum does not serve."""


class _Tree:
    """A store under construction: every new path takes the next index, as in a real one."""

    def __init__(self) -> None:
        self.index = 0
        self.root = _node("/", 0)
        self.root["Children"]["0"] = _node("/0", 0)
        self.root["Children"]["1"] = _node("/1", 0)

    def add(self, path: str, value: str) -> None:
        self.index += 1
        node = self.root
        *folders, name = path[1:].split("/")
        here = ""
        for folder in folders:
            here += f"/{folder}"
            node = node["Children"].setdefault(folder, _node(here, self.index))
        node["Children"][name] = _node(path, self.index, value)


def _node(path: str, index: int, value: str | None = None) -> dict[str, Any]:
    return {
        "Path": path,
        "CreatedIndex": index,
        "ModifiedIndex": index,
        "ExpireTime": _NEVER,
        "Value": value or "",
        "Children": {} if value is None else None,
    }


def encode(members: Iterable[Member], removed: Iterable[int], version: Version | None) -> bytes:
    """Build the dump. Equal membership gives equal bytes."""
    tree = _Tree()
    for member in sorted(members, key=lambda m: m.id):
        path = f"{_MEMBERS}/{hex_id(member.id)}"
        tree.add(f"{path}/raftAttributes", _text(member.raft_attributes()))
        if member.is_started:
            tree.add(f"{path}/attributes", _text(member.attributes()))
    for member_id in sorted(removed):
        tree.add(f"{_REMOVED}/{hex_id(member_id)}", "")
    if version is not None:
        tree.add(_VERSION, str(version))
    return gojson.dumps({"Root": tree.root, "CurrentIndex": tree.index, "CurrentVersion": 2})


def _text(value: dict[str, Any]) -> str:
    return gojson.dumps(value).decode()


def decode(data: bytes) -> Membership:
    """Read a dump.

    Raises:
        DecodeError: not a dump, or a record of a member cannot be read.
    """
    root = gojson.loads_object(data, _WHAT).get("Root")
    if not isinstance(root, dict):
        raise DecodeError(f"{_WHAT} has no root")
    found = Membership()
    for name, node in _children(root, "0", "members").items():
        member = _member(_id(name), node)
        found.members[member.id] = member
    found.removed = {_id(name) for name in _children(root, "0", "removed_members")}
    version = _children(root, "0").get("version")
    if version is not None:
        found.version = _version(_value(version))
    found.user_keys = tuple(_files(_children(root, "1"), "/1"))
    return found


def _children(node: Any, *path: str) -> dict[str, Any]:
    """The children of the folder at `path` below `node`; none when a part of it is missing."""
    for name in path:
        node = _children(node).get(name)
        if node is None:
            return {}
    if not isinstance(node, dict):
        raise DecodeError(f"{_WHAT}: a node is not an object")
    children = node.get("Children") or {}
    if not isinstance(children, dict):
        raise DecodeError(f"{_WHAT}: children of {node.get('Path')} are not an object")
    return children


def _member(member_id: int, node: Any) -> Member:
    children = _children(node)
    if "raftAttributes" not in children:
        raise DecodeError(f"{_WHAT}: member {hex_id(member_id)} has no raftAttributes")
    record = gojson.loads_object(_value(children["raftAttributes"]), "raftAttributes")
    if "attributes" in children:
        record |= gojson.loads_object(_value(children["attributes"]), "attributes")
    return Member.from_record(record | {"id": member_id})


def _value(node: Any) -> str:
    value = node.get("Value") if isinstance(node, dict) else None
    if not isinstance(value, str):
        raise DecodeError(f"{_WHAT}: a file without a value")
    return value


def _id(name: str) -> int:
    try:
        return int(name, 16)
    except ValueError:
        raise DecodeError(f"{_WHAT}: {name!r} is not a member id") from None


def _version(text: str) -> Version:
    try:
        return parse_version(text)
    except ConfigError as error:
        raise DecodeError(f"{_WHAT}: cluster version {error}") from None


def _files(children: dict[str, Any], path: str) -> list[str]:
    found: list[str] = []
    for name, node in sorted(children.items()):
        here = f"{path}/{name}"
        if isinstance(node, dict) and node.get("Children") is not None:
            found += _files(_children(node), here)
        else:
            found.append(here)
    return found
