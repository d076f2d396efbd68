"""What version-2 data may exist, told from a snapshot and the requests behind it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kvorum.cluster import v2store
from kvorum.cluster.member import Member
from kvorum.errors import DecodeError
from kvorum.proto.etcdserver_pb2 import Request
from kvorum.proto.versions import Version
from kvorum.server.v2data import V2Data

MEMBER = Member(id=1, peer_urls=("http://127.0.0.1:2380",), name="m1")


def leaf(path: str) -> dict[str, Any]:
    return {"Path": path, "Value": "x", "Children": None}


def folder(path: str, **children: Any) -> dict[str, Any]:
    return {"Path": path, "Value": "", "Children": children}


def store(**top: Any) -> bytes:
    value = json.loads(v2store.encode([MEMBER], [2], Version(3, 5)))
    value["Root"]["Children"] |= {name.removeprefix("n"): node for name, node in top.items()}
    return json.dumps(value).encode()


def after(*requests: Request, snapshot: bytes | None = None) -> list[str]:
    data = V2Data(snapshot)
    for index, request in enumerate(requests, 1):
        data.take(index, request)
    return data.keys()


def test_the_cluster_s_own_records_are_not_data_of_users() -> None:
    assert after(snapshot=store()) == []


def test_keys_and_empty_folders_of_a_snapshot_are_named() -> None:
    inner = folder("/1/a", b=leaf("/1/a/b"), empty=folder("/1/a/empty"))
    keys = folder("/1", a=inner, c=leaf("/1/c"))
    assert after(snapshot=store(n1=keys)) == ["/a/b", "/a/empty/", "/c"]


def test_users_and_roles_are_data_but_their_empty_folders_are_not() -> None:
    made_by_itself = {"users": folder("/2/users"), "roles": folder("/2/roles"), "enabled": leaf("")}
    assert after(snapshot=store(n2=folder("/2", **made_by_itself))) == []
    users = folder("/2/users", root=leaf("/2/users/root"))
    assert after(snapshot=store(n2=folder("/2", users=users))) == ["/2/users/root"]


@pytest.mark.parametrize("method", ["GET", "QGET", "HEAD", "SYNC"])
def test_requests_that_write_nothing_are_not_data(method: str) -> None:
    assert after(Request(Method=method, Path="/1/a")) == []


def test_requests_of_the_cluster_itself_are_not_data() -> None:
    assert after(Request(Method="PUT", Path="/0/version", Val="3.5.0")) == []
    assert after(Request(Method="PUT", Path="/0/members/1/attributes", Val="{}")) == []


def test_what_requests_write_is_named() -> None:
    assert after(
        Request(Method="PUT", Path="/1/a"),
        Request(Method="PUT", Path="/1/folder", Dir=True),
        Request(Method="POST", Path="/1/queue"),
    ) == ["/a", "/folder/", "/queue/*"]


def test_what_is_deleted_for_certain_is_gone() -> None:
    keys = folder("/1", a=leaf("/1/a"), d=folder("/1/d", x=leaf("/1/d/x")), e=folder("/1/e"))
    assert after(
        Request(Method="DELETE", Path="/1/a"),
        Request(Method="DELETE", Path="/1/d", Dir=True, Recursive=True),
        Request(Method="DELETE", Path="/1/e", Dir=True),
        snapshot=store(n1=keys),
    ) == []  # fmt: skip


@pytest.mark.parametrize(
    "condition", [{"PrevValue": "y"}, {"PrevIndex": 7}, {"PrevExist": True}], ids=str
)
def test_what_is_deleted_on_a_condition_may_still_exist(condition: dict[str, Any]) -> None:
    assert after(
        Request(Method="PUT", Path="/1/a"), Request(Method="DELETE", Path="/1/a", **condition)
    ) == ["/a"]


def test_a_summary_tells_the_count_and_the_first_keys() -> None:
    data = V2Data(None)
    for number in range(9):
        data.take(number, Request(Method="PUT", Path=f"/1/k{number}"))
    assert data.summary() == "9 keys (/k0, /k1, /k2, /k3, /k4, …)"


@pytest.mark.parametrize("bad", [b"", b"{}", b'{"Root":{}}', b'{"Root":{"Children":{"1":5}}}'])
def test_a_store_that_cannot_be_read_is_refused(bad: bytes) -> None:
    with pytest.raises(DecodeError):
        V2Data(bad)


def test_a_store_that_is_nested_without_end_is_refused() -> None:
    node = leaf("/x")
    for _ in range(300):
        node = folder("/x", x=node)
    with pytest.raises(DecodeError, match="nested too deeply"):
        V2Data(store(n1=node))
