"""Row T5 of the mission: the API over HTTP/1.1 with curl. U9 has its prefix in older versions."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runbook.commands import output_of, wait_until
from tests.servers import Server, start_server

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")

CURL = ("curl", "--silent", "--show-error", "--http1.1", "-L")
CURL_S = 20
RUNNING_PAGE = Path(__file__).parents[2] / "docs" / "running.md"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with start_server() as started:
        yield started


def curl(server: Server, path: str, body: str) -> dict[str, Any]:
    """curl -L http://localhost:2379/v3/… -X POST -d '{…}'"""
    done = subprocess.run(
        [*CURL, f"{server.client_url}{path}", "-X", "POST", "-d", body],
        capture_output=True,
        timeout=CURL_S,
        check=True,
    )
    return dict(json.loads(done.stdout))


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_T5_keys_are_written_read_and_deleted(server: Server) -> None:
    """foo is Zm9v, bar is YmFy, fop is Zm9w."""
    put = curl(server, "/v3/kv/put", '{"key": "Zm9v", "value": "YmFy"}')
    assert set(put) == {"header"}
    assert set(put["header"]) == {"cluster_id", "member_id", "revision", "raft_term"}
    assert output_of(f"--endpoints={server.target}", "get", "foo") == "foo\nbar\n"
    for body in ('{"key": "Zm9v"}', '{"key": "Zm9v", "range_end": "Zm9w"}'):
        found = curl(server, "/v3/kv/range", body)
        assert found["count"] == "1"  # 64 bits are strings in JSON
        assert (found["kvs"][0]["key"], found["kvs"][0]["value"]) == ("Zm9v", "YmFy")
    assert curl(server, "/v3/kv/deleterange", '{"key": "Zm9v"}')["deleted"] == "1"
    assert "kvs" not in curl(server, "/v3/kv/range", '{"key": "Zm9v"}')


def test_T5_a_transaction_compares_first(server: Server) -> None:
    key, new = b64("t5/txn"), b64("new")
    revision = curl(server, "/v3/kv/put", f'{{"key":"{key}"}}')["header"]["revision"]
    body = (
        f'{{"compare":[{{"createRevision":"{revision}","target":"CREATE","key":"{key}"}}],'
        f'"success":[{{"requestPut":{{"key":"{key}","value":"{new}"}}}}]}}'
    )
    done = curl(server, "/v3/kv/txn", body)
    assert done["succeeded"] is True
    assert "response_put" in done["responses"][0]
    assert output_of(f"--endpoints={server.target}", "get", "t5/txn") == "t5/txn\nnew\n"


def test_T5_a_watch_streams_events_line_by_line(server: Server, tmp_path: Path) -> None:
    """curl -N http://localhost:2379/v3/watch -X POST -d '{"create_request": {"key": …} }'"""
    body = f'{{"create_request": {{"key":"{b64("t5/watch")}"}} }}'
    seen = tmp_path / "seen"
    with seen.open("wb") as output:
        watching = subprocess.Popen(
            [*CURL, "-N", f"{server.client_url}/v3/watch", "-X", "POST", "-d", body], stdout=output
        )
    try:
        wait_until(lambda: b'"created":true' in seen.read_bytes(), "the watch is there")
        for value in ("one", "two"):
            output_of(f"--endpoints={server.target}", "put", "t5/watch", value)
        wait_until(lambda: seen.read_bytes().count(b"\n") >= 3, "both events are told")
    finally:
        watching.kill()
        watching.wait()
    events = [
        event
        for line in seen.read_text().splitlines()
        for event in json.loads(line)["result"].get("events", [])
    ]
    assert [event["kv"]["value"] for event in events] == [b64("one"), b64("two")]


def test_T5_an_error_has_its_code_and_text(server: Server) -> None:
    refused = curl(server, "/v3/kv/put", '{"value": "YmFy"}')
    assert (refused["message"], refused["code"]) == ("etcdserver: key is not provided", 3)
    unknown = curl(server, "/v3/kv/range", '{"key": "Zm9v", "revision": "999999"}')
    assert unknown["code"] == 11
    assert unknown["message"] == "etcdserver: mvcc: required revision is a future revision"


def test_T5_the_commands_of_our_page_work(server: Server) -> None:
    """Each `$ curl …/v3/…` of docs/running.md, with the port changed, prints what stands there."""
    shown = re.findall(
        r"^\$ curl (http://127\.0\.0\.1:2379/v3/\S+) -d '(.*)'\n(\{.*\})$",
        RUNNING_PAGE.read_text(),
        re.MULTILINE,
    )
    assert len(shown) == 2
    for url, body, answer in shown:
        path = url.removeprefix("http://127.0.0.1:2379")
        told = curl(server, path, body)
        expected = json.loads(answer.replace("…", ""))
        told["header"] = expected["header"]  # ids and revisions are another cluster's
        for pair, other in zip(told.get("kvs", []), expected.get("kvs", []), strict=True):
            pair.update({name: other[name] for name in other if name.endswith("revision")})
            pair["version"] = other["version"]
        assert told == expected
