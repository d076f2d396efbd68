"""What a member that cannot found or join a cluster says: compared with stock 3.5.1, flag by flag.

Each case is run with stock and with ours, on the same ports, beside the same running cluster.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster, start_cluster
from tests.runbook.commands import etcdctl, output_of
from tests.servers import Server, free_port, server_command
from tests.stock import require_stock_34, require_stock_35

pytestmark = pytest.mark.slow

TOLD = {"failed to start etcd", "discovery failed", "failed to start"}
OURS = ["--emulated-version=3.5"]


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    """A stock cluster of one."""
    require_stock_35()
    with start_cluster(["stock3.5"]) as cluster:
        yield cluster


def starts(folder: Path, kind: str, flags: list[str], ports: tuple[int, int]) -> Server:
    """A server named x, not started. Flags may use {own} for its peer URL."""
    is_ours = kind.startswith("kvorum")
    command = server_command() if is_ours else [str(require_stock_35().etcd)]
    if kind == "stock3.4":
        command = [str(require_stock_34().etcd), "--logger=zap"]
    server = Server(
        command=command,
        name="x",
        data_dir=folder / kind,
        log_path=folder / f"{kind}.log",
        client_port=ports[0],
        peer_port=ports[1],
    )
    emulated = f"--emulated-version={kind.removeprefix('kvorum')}"
    server.extra_flags = [
        *(flag.replace("{own}", server.peer_url) for flag in flags),
        *([emulated] if is_ours else []),
    ]
    return server


def failure_of(server: Server) -> tuple[int, list[tuple[str, str]]]:
    """Exit code, and what the log tells of the failure, without what differs by nature."""
    server.start()
    code = server.wait_exit(60)
    told = []
    for line in server.log_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record.get("msg") in TOLD:
            text = re.sub(r"\b[0-9a-f]{14,16}\b", "<id>", record.get("error", ""))
            told.append((record["msg"], text))
    return code, told


def compare(
    folder: Path, flags: list[str], *, kinds: tuple[str, str] = ("stock3.5", "kvorum3.5")
) -> tuple[int, list[tuple[str, str]]]:
    """What both say, which must be the same. What we add stands behind a semicolon."""
    ports = free_port(), free_port()
    stock, ours = (failure_of(starts(folder, kind, flags, ports)) for kind in kinds)
    shortened = [
        (msg, re.sub(r"; --initial-cluster must name .*", "", text)) for msg, text in ours[1]
    ]
    assert (ours[0], shortened) == stock
    assert stock[1], "stock said nothing of the failure"
    return stock


def peer_of(cluster: Cluster) -> str:
    return f"m1={cluster.members[0].peer_url}"


def test_a_member_that_is_not_in_its_initial_cluster(tmp_path: Path) -> None:
    told = compare(tmp_path, ["--initial-cluster=y={own}"])
    assert "couldn't find local name" in told[1][0][1]


def test_two_members_with_one_url(tmp_path: Path) -> None:
    told = compare(tmp_path, ["--initial-cluster=x={own},y={own}"])
    assert "has duplicate url" in told[1][0][1]


def test_one_member_with_one_url_twice(tmp_path: Path) -> None:
    told = compare(tmp_path, ["--initial-cluster=x={own},x={own}"])
    assert "failed to resolve" in told[1][0][1]


def test_an_initial_cluster_that_was_not_filled_in_founds_nothing(tmp_path: Path) -> None:
    told = compare(tmp_path, ["--initial-cluster="])
    assert "couldn't find local name" in told[1][0][1]


@pytest.mark.parametrize("text", ["m1=http://127.0.0.1:1", "x={own},y={own}"])
def test_who_joins_must_name_itself_and_no_url_twice(tmp_path: Path, text: str) -> None:
    compare(tmp_path, [f"--initial-cluster={text}", "--initial-cluster-state=existing"])


def test_a_data_directory_that_is_open_to_others_is_told(tmp_path: Path) -> None:
    ports = free_port(), free_port()
    told = []
    for kind in ("stock3.5", "kvorum3.5"):
        server = starts(tmp_path, kind, [], ports)
        for mode in (0o700, 0o755):
            server.data_dir.mkdir(exist_ok=True)
            server.data_dir.chmod(mode)
            server.log_path.unlink(missing_ok=True)
            server.start()
            server.wait_ready()
            server.stop()
            records = [
                json.loads(line) for line in server.log_text().splitlines() if line[:1] == "{"
            ]
            lines = [one for one in records if one["msg"] == "check file permission"]
            told.append([one["error"].replace(str(server.data_dir), "<dir>") for one in lines])
    assert told[:2] == told[2:]
    assert told[0] == []
    assert "drwxr-xr-x" in told[1][0]


def test_a_url_that_is_advertised_but_not_in_the_initial_cluster(tmp_path: Path) -> None:
    flags = ["--initial-cluster=x={own}", "--initial-advertise-peer-urls=http://127.0.0.1:1"]
    compare(tmp_path, flags)


def test_a_member_that_was_not_added_before_it_joins(running: Cluster, tmp_path: Path) -> None:
    flags = [f"--initial-cluster={peer_of(running)},x={{own}}", "--initial-cluster-state=existing"]
    told = compare(tmp_path, flags)
    assert "member count is unequal" in told[1][0][1]


def test_a_cluster_that_cannot_be_reached(tmp_path: Path) -> None:
    flags = ["--initial-cluster=m1=http://127.0.0.1:1,x={own}", "--initial-cluster-state=existing"]
    told = compare(tmp_path, flags)
    assert "could not retrieve cluster information" in told[1][0][1]


def test_a_member_that_joins_with_other_peer_urls_than_it_was_added_with(tmp_path: Path) -> None:
    require_stock_35()
    with start_cluster(["stock3.5"]) as cluster:
        at = f"--endpoints={cluster.targets[0]}"
        output_of(at, "member", "add", "x", "--peer-urls=http://127.0.0.1:1")
        flags = [
            f"--initial-cluster={peer_of(cluster)},x={{own}}",
            "--initial-cluster-state=existing",
        ]
        told = compare(tmp_path, flags)
    assert "no match found for existing member" in told[1][0][1]


def test_a_founder_whose_data_was_lost_is_told_that_it_was_bootstrapped(tmp_path: Path) -> None:
    """It would found a second cluster with the ids of the first."""
    require_stock_35()
    for kind in ("stock3.5", "kvorum3.5"):
        with start_cluster([kind] * 3) as cluster:
            lost = cluster.members[2]
            lost.kill9()
            lost.data_dir.rename(tmp_path / kind)
            lost.log_path.unlink()
            code, told = failure_of(lost)
        assert code == 1
        text = "member <id> has already been bootstrapped"
        assert told == [("failed to start etcd", text), ("discovery failed", text)]


@pytest.mark.parametrize("kind", ["stock3.4", "kvorum3.4"])
def test_a_version_that_is_too_old_for_the_cluster(tmp_path: Path, kind: str) -> None:
    """Stock 3.4 is asked for its text; the cluster's version is 3.5."""
    require_stock_35()
    with start_cluster(["stock3.5"]) as cluster:
        ports = free_port(), free_port()
        at = f"--endpoints={cluster.targets[0]}"
        output_of(at, "member", "add", "x", f"--peer-urls=http://127.0.0.1:{ports[1]}")
        flags = [
            f"--initial-cluster={peer_of(cluster)},x={{own}}",
            "--initial-cluster-state=existing",
        ]
        server = starts(tmp_path, kind, flags, ports)
        code, _ = failure_of(server)
        assert code == 1
        assert "incompatible with current running cluster" in server.log_text()


@pytest.mark.parametrize("kind", ["stock3.5", "kvorum3.5"])
def test_a_member_of_another_cluster_is_not_listened_to_and_both_sides_say_why(kind: str) -> None:
    """The same URLs, founded with another token, beside a member of the other kind."""
    require_stock_35()
    other = "kvorum3.5" if kind == "stock3.5" else "stock3.5"
    with start_cluster([kind, other, other]) as cluster:
        strayed = cluster.members[0]
        strayed.terminate()
        strayed.data_dir.rename(strayed.data_dir.with_suffix(".old"))
        strayed.log_path.unlink()
        strayed.extra_flags.append("--initial-cluster-token=another")
        strayed.start()
        cluster.wait_log(0, "cluster ID mismatch")
        cluster.wait_log(1, "cluster ID mismatch")
        cluster.wait_leader(other_than=0)
        strayed.stop()


def test_a_removed_member_says_so_and_does_not_start_again() -> None:
    require_stock_35()
    for kind in ("stock3.5", "kvorum3.5"):
        with start_cluster([kind] * 3) as cluster:
            at = f"--endpoints={','.join(cluster.targets)}"
            listed = output_of(at, "member", "list").splitlines()
            (own,) = [line.split(",")[0] for line in listed if ", m3, " in line]
            done = etcdctl(at, "member", "remove", own)
            while done.returncode and "unhealthy cluster" in done.stderr:
                done = etcdctl(at, "member", "remove", own)
            assert done.returncode == 0, done.stderr
            removed = cluster.members[2]
            assert removed.wait_exit(60) == 0
            told = "the member has been permanently removed from the cluster"
            assert told in removed.log_text()
            removed.log_path.unlink()
            removed.start()
            assert removed.wait_exit(60) == 0
            assert told in removed.log_text()
