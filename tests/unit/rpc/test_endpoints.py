"""The plain endpoints of a member that is not well, and those that stock 3.5.1 does not have.

What a healthy member answers is compared with stock's in `tests/interop/test_endpoints_equal.py`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from kvorum.errors import NoLeaderError
from kvorum.proto.versions import Version
from kvorum.rpc.endpoints.app import Endpoints
from kvorum.rpc.http import HttpRequest, HttpResponse
from kvorum.rpc.metrics.calls import CallFigures
from kvorum.server.log import Event, Level, Logger
from kvorum.server.metrics.family import Values

V3_4, V3_5, V3_6 = Version(3, 4), Version(3, 5), Version(3, 6)
DEADLINE_S = 20.0


class Port:
    """A member in any state of health."""

    def __init__(self) -> None:
        self.leader = True
        self.learner = False
        self.alarms: list[str] = []
        self.readable = True

    def has_leader(self) -> bool:
        return self.leader

    def is_learner(self) -> bool:
        return self.learner

    def active_alarms(self) -> list[str]:
        return self.alarms

    async def check_read(self, *, linearizable: bool) -> None:
        if linearizable and not self.readable:
            raise NoLeaderError

    def versions(self) -> dict[str, str]:
        return {"etcdserver": "3.6.0", "etcdcluster": "3.6.0", "storage": "3.6.0"}

    def metrics(self) -> Values:
        return {"etcd_server_has_leader": int(self.leader)}

    def raft_status(self) -> dict[str, Any]:
        return {"id": "1"}


class Client:
    """Asks the endpoints of a member."""

    def __init__(self, version: Version = V3_6, *, pprof: bool = False) -> None:
        self.port = Port()
        self.events: list[Event] = []
        self.log = Logger(self.events.append)
        self.endpoints = Endpoints(
            self.port, self.log, CallFigures().values, version=version, pprof=pprof
        )

    async def ask(self, target: str, method: str = "GET", body: bytes = b"") -> HttpResponse:
        return await self.endpoints.client(HttpRequest(method, target, (), body))

    async def health(self, query: str = "") -> tuple[int, bytes]:
        response = await self.ask(f"/health{query}")
        return response.status, response.body

    async def value(self, sample: str) -> str:
        text = (await self.ask("/metrics")).body.decode()
        return next(
            line.removeprefix(f"{sample} ")
            for line in text.splitlines()
            if line.startswith(f"{sample} ")
        )


async def test_an_alarm_makes_a_member_unhealthy_unless_it_is_excluded() -> None:
    client = Client()
    client.port.alarms = ["NOSPACE"]
    assert await client.health() == (503, b'{"health":"false","reason":"ALARM NOSPACE"}\n')
    assert await client.health("?exclude=CORRUPT") == (
        503,
        b'{"health":"false","reason":"ALARM NOSPACE"}\n',
    )
    assert await client.health("?exclude=NOSPACE") == (200, b'{"health":"true","reason":""}')
    client.port.alarms = ["NOSPACE", "CORRUPT"]
    assert await client.health("?exclude=NOSPACE") == (
        503,
        b'{"health":"false","reason":"ALARM CORRUPT"}\n',
    )
    both = "?exclude=NOSPACE&exclude=CORRUPT"
    assert await client.health(both) == (200, b'{"health":"true","reason":""}')


async def test_without_a_leader_only_a_serializable_member_is_healthy() -> None:
    client = Client()
    client.port.leader = client.port.readable = False
    assert await client.health() == (503, b'{"health":"false","reason":"RAFT NO LEADER"}\n')
    assert await client.health("?serializable=false") == (
        503,
        b'{"health":"false","reason":"RAFT NO LEADER"}\n',
    )
    assert await client.health("?serializable=true") == (200, b'{"health":"true","reason":""}')


async def test_a_failed_read_is_told_with_its_reason() -> None:
    client = Client()
    client.port.readable = False
    status, body = await client.health()
    assert status == 503
    assert json.loads(body)["reason"] == f"RANGE ERROR:{NoLeaderError.text}"


async def test_up_to_3_4_there_is_no_reason() -> None:
    client = Client(V3_4)
    assert await client.health() == (200, b'{"health":"true"}')
    client.port.alarms = ["NOSPACE"]
    assert await client.health() == (503, b'{"health":"false"}\n')


async def test_answers_of_health_are_counted_and_bad_ones_logged() -> None:
    client = Client()
    await client.health()
    client.port.leader = False
    await client.health()
    await client.health()
    assert await client.value("etcd_server_health_success") == "1"
    assert await client.value("etcd_server_health_failures") == "2"
    assert [event.message for event in client.events] == [
        "serving /health false; no leader",
        "/health error",
    ] * 2


async def test_a_failed_check_is_told_line_by_line() -> None:
    client = Client()
    client.port.alarms = ["CORRUPT"]
    client.port.learner = True
    response = await client.ask("/readyz")
    assert response.status == 503
    assert response.body == (
        b"[-]data_corruption failed: alarm activated: CORRUPT\n"
        b"[+]serializable_read ok\n"
        b"[+]linearizable_read ok\n"
        b"[-]non_learner failed: not supported for learner\n"
        b"\n"
    )
    rest = await client.ask("/readyz?exclude=data_corruption&exclude=non_learner&verbose")
    assert rest.body == b"[+]serializable_read ok\n[+]linearizable_read ok\nok\n"
    one = await client.ask("/readyz/non_learner")
    assert one.body == b"[-]non_learner failed: not supported for learner\n\n"
    assert (await client.ask("/livez")).body == b"ok\n"
    name = 'etcd_server_healthchecks_total{name="non_learner",status="error",type="readyz"}'
    assert await client.value(name) == "2"
    assert await client.value('etcd_server_healthcheck{name="non_learner",type="readyz"}') == "0"


async def test_a_member_without_a_leader_lives_but_is_not_ready() -> None:
    client = Client()
    client.port.leader = client.port.readable = False
    assert (await client.ask("/livez")).status == 200
    response = await client.ask("/readyz")
    assert response.status == 503
    assert f"[-]linearizable_read failed: {NoLeaderError.text}\n".encode() in response.body


@pytest.mark.parametrize(
    ("version", "path", "status"),
    [
        (Version(3, 3), "/livez", 404),
        (V3_4, "/livez", 200),
        (V3_6, "/readyz/linearizable_read", 200),
        (V3_6, "/readyz/nosuch", 404),
        (V3_6, "/livez/linearizable_read", 404),
        (V3_6, "/livez/serializable_read/x", 404),
    ],
)
async def test_checks_have_their_versions_and_names(
    version: Version, path: str, status: int
) -> None:
    assert (await Client(version).ask(path)).status == status


async def test_the_metrics_port_has_probes_and_metrics_alone() -> None:
    endpoints = Client(pprof=True).endpoints
    for path, status in (
        ("/health", 200),
        ("/livez", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/version", 404),
        ("/debug/vars", 404),
        ("/debug/pprof/", 404),
        ("/config/local/log", 404),
    ):
        assert (await endpoints.metrics(HttpRequest("GET", path))).status == status, path


# The level of the log.


@pytest.mark.parametrize(
    ("body", "status", "answer"),
    [
        (b'{"Level":"DEBUG"}', 204, b""),
        (b'{"level":"debug"}', 204, b""),
        (b'{"Level":"foo"}', 400, b'{"message":"Invalid log level foo"}'),
        (b"{}", 400, b'{"message":"Invalid log level "}'),
        (b"xx", 400, b'{"message":"Invalid json body"}'),
    ],
)
async def test_the_level_of_the_log_is_changed_as_in_3_4(
    body: bytes, status: int, answer: bytes
) -> None:
    client = Client(V3_4)
    response = await client.ask("/config/local/log", "PUT", body)
    assert (response.status, response.body) == (status, answer)
    assert client.log.level is (Level.DEBUG if status == 204 else Level.INFO)


async def test_the_level_can_be_changed_up_to_3_4_and_with_pprof() -> None:
    body = b'{"Level":"ERROR"}'
    assert (await Client(V3_5).ask("/config/local/log", "PUT", body)).status == 404
    client = Client(V3_6, pprof=True)
    assert (await client.ask("/config/local/log", "POST", body)).extra[-1] == ("allow", "PUT")
    assert (await client.ask("/config/local/log", "PUT", body)).status == 204
    assert client.log.level is Level.ERROR


# Insight.


async def test_without_its_flag_there_is_no_pprof() -> None:
    for path in ("/debug/pprof", "/debug/pprof/", "/debug/pprof/profile", "/debug/requests"):
        assert (await Client().ask(path)).status == 404


async def test_stacks_of_threads_and_tasks_are_shown() -> None:
    async def waiting_for_nothing() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(waiting_for_nothing())
    await asyncio.sleep(0)
    response = await Client(pprof=True).ask("/debug/pprof/goroutine")
    task.cancel()
    assert response.status == 200
    assert b"thread MainThread:" in response.body
    assert b"waiting_for_nothing" in response.body


async def test_a_profile_counts_stacks_and_there_is_one_at_a_time() -> None:
    client = Client(pprof=True)
    first = asyncio.create_task(client.ask("/debug/pprof/profile?seconds=0.2"))
    await asyncio.sleep(0)
    assert (await client.ask("/debug/pprof/profile?seconds=0.2")).status == 503
    response = await asyncio.wait_for(first, DEADLINE_S)
    line = response.body.decode().splitlines()[0]
    stack, count = line.rsplit(" ", 1)
    assert int(count) > 0
    assert ";" in stack


@pytest.mark.parametrize("seconds", ["x", "0", "-1", "nan", "301", ""])
async def test_a_profile_of_no_time_is_refused(seconds: str) -> None:
    response = await Client(pprof=True).ask(f"/debug/pprof/profile?seconds={seconds}")
    assert response.status == 400


async def test_what_python_cannot_tell_is_refused_with_the_reason() -> None:
    client = Client(pprof=True)
    for name in ("heap", "allocs", "mutex", "block", "threadcreate", "trace", "symbol"):
        response = await client.ask(f"/debug/pprof/{name}")
        assert response.status == 501
        assert response.body.startswith(f"{name}: ".encode())
    assert (await client.ask("/debug/pprof/nosuch")).body == b"Unknown profile\n"
    assert b"goroutine" in (await client.ask("/debug/pprof/")).body
    assert (await client.ask("/debug/pprof/cmdline")).status == 200


async def test_metrics_are_packed_for_who_asks() -> None:
    client = Client()
    request = HttpRequest("GET", "/metrics", ((b"accept-encoding", b"gzip"),))
    packed = await client.endpoints.client(request)
    plain = await client.ask("/metrics")
    assert ("content-encoding", "gzip") in packed.extra
    assert len(packed.body) < len(plain.body) / 4
