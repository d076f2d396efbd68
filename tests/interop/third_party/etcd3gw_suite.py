"""Scenarios with etcd3gw 2.7, the client of OpenStack's projects, which speaks JSON by HTTP/1.1."""

from __future__ import annotations

import queue
import sys
from typing import Any

import etcd3gw
import pytest
from etcd3gw import exceptions

WAIT_S = 15.0


def connect(target: str) -> Any:
    host, port = target.rsplit(":", 1)
    return etcd3gw.client(host=host, port=int(port), timeout=10)


def keys(target: str) -> None:
    client = connect(target)
    assert client.get("gw/a") == []
    client.put("gw/a", "1")
    client.put("gw/b", b"\xf0\x9f\x98\x80")
    assert client.get("gw/a") == [b"1"]
    (value, meta), *rest = client.get_prefix("gw/", sort_order="descend")
    assert (value, meta["key"], len(rest)) == ("\U0001f600".encode(), b"gw/b", 1)
    assert client.get("gw/a", metadata=True)[0][1]["version"] == "1"
    assert client.create("gw/a", "other") is False
    assert client.create("gw/c", "new") is True
    assert client.replace("gw/c", "new", "newer") is True
    assert client.replace("gw/c", "new", "newest") is False
    assert client.delete("gw/a") is True
    assert client.delete("gw/a") is False
    assert client.delete_prefix("gw/") is True
    assert client.members()[0]["clientURLs"]
    assert client.status()["version"].startswith("3.")


def transaction(target: str) -> None:
    client = connect(target)
    key = "Z3ctdHhu"
    body = {
        "compare": [{"key": key, "result": "EQUAL", "target": "VERSION", "version": 0}],
        "success": [{"request_put": {"key": key, "value": "MQ=="}}],
        "failure": [{"request_range": {"key": key}}],
    }
    assert client.transaction(body)["succeeded"] is True
    failed = client.transaction(body)
    assert "succeeded" not in failed
    assert failed["responses"][0]["response_range"]["kvs"][0]["value"] == "MQ=="


def lease(target: str) -> None:
    client = connect(target)
    lease = client.lease(ttl=60)
    client.put("gw-leased", "v", lease)
    assert lease.keys() == [b"gw-leased"]
    assert 0 < lease.ttl() <= 60
    assert lease.refresh() == 60
    assert lease.revoke() is True
    assert client.get("gw-leased") == []
    assert lease.ttl() == -1
    with pytest.raises(exceptions.Etcd3Exception) as refused:
        client.put("gw-leased", "v", lease)
    assert "requested lease not found" in refused.value.detail_text


def watch(target: str) -> None:
    client = connect(target)
    found: queue.Queue[Any] = queue.Queue()
    watcher = etcd3gw.watch.Watcher(
        client, "gw-watched/", found.put, range_end="gw-watched0", prev_kv=True
    )
    try:
        client.put("gw-watched/a", "1")
        client.put("gw-watched/a", "2")
        client.delete("gw-watched/a")
        events = [found.get(timeout=WAIT_S) for _ in range(3)]
    finally:
        watcher.stop()
    assert [event["kv"].get("value") for event in events] == [b"1", b"2", None]
    assert [event.get("type") for event in events] == [None, None, "DELETE"]
    assert events[2]["prev_kv"]["value"] == "Mg=="


def lock(target: str) -> None:
    client = connect(target)
    first, second = client.lock("gw-lock", ttl=60), client.lock("gw-lock", ttl=60)
    assert first.acquire() is True
    assert first.is_acquired()
    assert second.acquire() is False
    assert first.refresh() == 60
    assert first.release() is True
    assert second.acquire() is True
    assert second.release() is True


SCENARIOS = {"keys": keys, "transaction": transaction, "lease": lease, "watch": watch, "lock": lock}

if __name__ == "__main__":
    address, scenario = sys.argv[1:]
    SCENARIOS[scenario](address)
    print("passed", scenario)
