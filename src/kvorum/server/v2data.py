"""Version-2 data of users in a directory of stock etcd: what may be there, and a copy of it.

Stock members up to 3.5 with `--enable-v2` serve a second store of keys, which lives in the raft
snapshots (under `/1`, its users and roles under `/2`) and in the requests of the log behind them.
Kvorum does not serve it, and must not drop it without a word either.

What is told is what *may* exist: conditions of requests are not evaluated and times to live are not
waited for, so nothing is missed; a key that an unconditional request deleted is gone.

Source: etcd server/etcdserver/api/v2store; paths and requests checked with 3.4.23 and 3.5.1.
"""

from __future__ import annotations

import json
from typing import Any, Final

from google.protobuf.json_format import MessageToDict

from kvorum.cluster import gojson
from kvorum.errors import DecodeError
from kvorum.proto.etcdserver_pb2 import Request

_CLUSTER: Final = "/0"
_KEYS: Final = "/1"
_AUTH: Final = "/2"
_EMPTY_AUTH: Final = frozenset({"/2/enabled", "/2/users/", "/2/roles/"})
"""What stock makes by itself when it is asked about version-2 users."""
_READING: Final = frozenset({"GET", "HEAD", "QGET", "SYNC"})
_SHOWN_MAX: Final = 5
_DEPTH_MAX: Final = 200


class V2Data:
    """Built from a raft snapshot, then fed with the requests behind it."""

    def __init__(self, snapshot_data: bytes | None) -> None:
        """`snapshot_data` is the version-2 store as JSON; None: there is no snapshot.

        Raises:
            DecodeError: it is not such a store.
        """
        self._trees: dict[str, Any] = {}
        self._requests: list[dict[str, Any]] = []
        self._paths: set[str] = set()
        if snapshot_data is None:
            return
        root = gojson.loads_object(snapshot_data, "v2 store").get("Root")
        for name, node in _children(root).items():
            path = f"/{name}"
            if path != _CLUSTER:
                self._trees[path] = node
                self._collect(path, node, 0)
        self._paths -= {f"{_KEYS}/", f"{_AUTH}/", *_EMPTY_AUTH}

    def _collect(self, path: str, node: Any, depth: int) -> None:
        if depth > _DEPTH_MAX:
            raise DecodeError(f"v2 store: {path[:100]}… is nested too deeply")
        if isinstance(node, dict) and node.get("Children") is None:
            self._paths.add(path)
            return
        children = _children(node)
        if not children:
            self._paths.add(f"{path}/")
        for name, child in children.items():
            self._collect(f"{path}/{name}", child, depth + 1)

    def take(self, index: int, request: Request) -> None:
        """A request of the log, at position `index`."""
        path = request.Path
        if request.Method in _READING or path == _CLUSTER or path.startswith(f"{_CLUSTER}/"):
            return
        self._requests.append({"index": index, **MessageToDict(request)})
        if request.Method == "DELETE":
            self._delete(request)
        elif request.Method == "POST":
            self._paths.add(f"{path}/*")  # its name is the store's index, which is not known here
        else:
            self._paths.add(f"{path}/" if request.Dir else path)
        self._paths -= _EMPTY_AUTH

    def _delete(self, request: Request) -> None:
        if request.PrevValue or request.PrevIndex or request.HasField("PrevExist"):
            return  # it may have been refused
        folder = f"{request.Path}/"
        self._paths.discard(request.Path)
        if request.Recursive:
            self._paths = {path for path in self._paths if not path.startswith(folder)}
        elif request.Dir:
            self._paths.discard(folder)

    def keys(self) -> list[str]:
        """Names of what may exist, as clients of version 2 know them; folders end in `/`."""
        names = (path.removeprefix(_KEYS) if path.startswith(f"{_KEYS}/") else path
                 for path in self._paths)  # fmt: skip
        return sorted(names)

    def summary(self) -> str:
        """How many keys there are, and the first of them: `3 keys (/a, /b, /c)`."""
        keys = self.keys()
        shown = ", ".join(keys[:_SHOWN_MAX]) + (", …" if len(keys) > _SHOWN_MAX else "")
        return f"{len(keys)} key{'' if len(keys) == 1 else 's'} ({shown})"

    def encode(self, snapshot_index: int) -> bytes:
        """Everything that is known, as JSON for people and programs.

        `keys` are the names; `snapshot` is the store as of `snapshot_index` in stock's own form;
        `requests` are the ones behind it, in order.
        """
        value = {
            "keys": self.keys(),
            "snapshotIndex": snapshot_index,
            "snapshot": self._trees,
            "requests": self._requests,
        }
        return json.dumps(value, indent=1, ensure_ascii=False).encode(errors="replace") + b"\n"


def _children(node: Any) -> dict[str, Any]:
    children = node.get("Children") if isinstance(node, dict) else None
    if not isinstance(children, dict):
        raise DecodeError("v2 store: a folder has no children")
    return children
