"""Scenarios with python-etcd3 0.12, the client most Python programs use.

Its generated messages are from 2020. With protobuf 4 and later they load only in the pure Python
implementation of protobuf: PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python in the environment, before
anything imports protobuf.

Its lock passes tenacity a wait function of two arguments, a form that tenacity no longer takes: to
wait for a lock fails with a TypeError, whatever the server. `modern_tenacity` is the remedy.
"""

from __future__ import annotations

import queue
import sys
import time
from types import SimpleNamespace
from typing import Any

import etcd3
import etcd3.locks
import tenacity

WAIT_S = 15.0


def connect(target: str) -> Any:
    host, port = target.rsplit(":", 1)
    return etcd3.client(host=host, port=int(port), timeout=10)


def keys(target: str) -> None:
    client = connect(target)
    assert client.get("keys/a") == (None, None)
    client.put("keys/a", "1")
    client.put("keys/b", b"\x00\xff")
    value, meta = client.get("keys/a")
    assert (value, meta.key, meta.version) == (b"1", b"keys/a", 1)
    previous = client.put("keys/a", "2", prev_kv=True).prev_kv
    assert (previous.value, previous.mod_revision) == (b"1", meta.mod_revision)
    found = [(value, m.key) for value, m in client.get_prefix("keys/", sort_order="descend")]
    assert found == [(b"\x00\xff", b"keys/b"), (b"2", b"keys/a")]
    assert [m.key for _, m in client.get_range("keys/a", "keys/b")] == [b"keys/a"]
    assert client.delete("keys/a") is True
    assert client.delete("keys/a") is False
    assert client.delete_prefix("keys/").deleted == 1
    assert list(client.get_prefix("keys/")) == []


def transaction(target: str) -> None:
    client = connect(target)
    on = client.transactions
    client.put("txn/a", "1")
    succeeded, responses = client.transaction(
        compare=[on.value("txn/a") == "1", on.version("txn/a") > 0, on.create("txn/no") == 0],
        success=[on.put("txn/a", "2"), on.get("txn/a"), on.delete("txn/no")],
        failure=[on.put("txn/a", "wrong")],
    )
    assert succeeded
    assert responses[1][0][0] == b"2"
    succeeded, responses = client.transaction(
        compare=[on.value("txn/a") == "1"],
        success=[on.put("txn/a", "wrong")],
        failure=[on.get("txn/a")],
    )
    assert not succeeded
    assert responses[0][0][0] == b"2"
    assert client.put_if_not_exists("txn/b", "first") is True
    assert client.put_if_not_exists("txn/b", "second") is False
    assert client.replace("txn/b", "first", "third") is True
    assert client.get("txn/b")[0] == b"third"


def watch(target: str) -> None:
    """Events from a revision in the past on, then those that happen now."""
    client = connect(target)
    start = client.put("watch/a", "1").header.revision
    client.put("watch/a", "2")
    client.delete("watch/a")
    events, cancel = client.watch_prefix("watch/", start_revision=start, prev_kv=True)
    past = [next(events) for _ in range(3)]
    assert [type(e).__name__ for e in past] == ["PutEvent", "PutEvent", "DeleteEvent"]
    assert [e.mod_revision for e in past] == [start, start + 1, start + 2]
    assert [e.prev_value for e in past] == [b"", b"1", b"2"]
    client.put("watch/b", "now")
    event = next(events)
    assert (event.key, event.value) == (b"watch/b", b"now")
    cancel()
    seen: queue.Queue[Any] = queue.Queue()
    watch_id = client.add_watch_callback("watch/c", seen.put)
    client.put("watch/c", "called")
    assert seen.get(timeout=WAIT_S).events[0].value == b"called"
    client.cancel_watch(watch_id)


def lease(target: str) -> None:
    """A key lives as long as its lease: kept alive, revoked, or expired."""
    client = connect(target)
    short, kept = client.lease(2), client.lease(600)
    assert (short.granted_ttl, kept.granted_ttl) == (2, 600)
    client.put("lease/short", "v", lease=short)
    client.put("lease/kept", "v", lease=kept)
    assert kept.keys == [b"lease/kept"]
    assert 0 < kept.remaining_ttl <= 600
    assert kept.refresh()[0].TTL == 600
    give_up = time.monotonic() + WAIT_S
    while client.get("lease/short")[0] is not None:
        assert time.monotonic() < give_up, "the lease did not expire"
        time.sleep(0.1)
    assert short.remaining_ttl == -1
    assert client.get("lease/kept")[0] == b"v"
    kept.revoke()
    assert client.get("lease/kept") == (None, None)


def modern_tenacity() -> SimpleNamespace:
    """tenacity, with a `retry` that takes the wait function of python-etcd3."""

    def retry(*, wait: Any, **options: Any) -> Any:
        def wait_of(state: Any) -> Any:
            return wait(state.attempt_number, state.seconds_since_start)

        return tenacity.retry(wait=wait_of, **options)

    return SimpleNamespace(**{**vars(tenacity), "retry": retry})


def lock(target: str) -> None:
    etcd3.locks.tenacity = modern_tenacity()
    one, two = connect(target), connect(target)
    mine, yours = one.lock("door", ttl=20), two.lock("door", ttl=20)
    assert mine.acquire(timeout=5) is True
    assert mine.is_acquired()
    assert yours.acquire(timeout=1) is False
    assert mine.release() is True
    assert yours.acquire(timeout=5) is True
    assert not mine.is_acquired()
    with_statement = two.lock("other door", ttl=20)
    with with_statement:
        assert with_statement.is_acquired()
    assert not with_statement.is_acquired()
    yours.release()


def cluster(target: str) -> None:
    client = connect(target)
    status = client.status()
    members = list(client.members)
    assert [m.id for m in members] == [status.leader.id]
    assert members[0].client_urls == [f"http://{target}"]
    assert status.version.startswith("3.")
    assert status.db_size > 0
    revision = client.put("cluster/a", "1").header.revision
    client.compact(revision)


SCENARIOS = {f.__name__: f for f in (keys, transaction, watch, lease, lock, cluster)}

if __name__ == "__main__":
    SCENARIOS[sys.argv[2]](sys.argv[1])
    print("passed", sys.argv[2])
