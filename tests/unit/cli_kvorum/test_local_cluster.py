"""What `kvorum local-cluster` refuses. What it does is shown in tests/test_up.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kvorum
from kvorum.cli.kvorum.program import run
from kvorum.ops.local_cluster import LocalCluster
from kvorum.ops.local_member import LocalClusterError
from kvorum.proto.versions import DEFAULT_SERVER_VERSION
from tests.servers import free_port


def refused(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    """The error of a command line."""
    assert run(["local-cluster", *words]) != 0
    return capfd.readouterr().err


def three(folder: Path) -> LocalCluster:
    """A cluster of three that was never started."""
    return LocalCluster(folder, client_ports=ports(3), peer_ports=ports(3))


def ports(count: int) -> list[int]:
    return [free_port() for _ in range(count)]


def test_help_tells_the_actions(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["local-cluster", "--help"]) == 0
    told = capfd.readouterr().out
    assert all(action in told for action in ("kill N", "restart N", "replace N", "status"))


def test_the_program_tells_its_commands(capfd: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "local-cluster" in capfd.readouterr().out


def test_the_program_tells_its_own_version(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["version"]) == 0
    told = f"kvorum version: {kvorum.__version__}\nAPI version: {DEFAULT_SERVER_VERSION.short}\n"
    assert capfd.readouterr().out == told


def test_an_unknown_action_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert "one of start, status, kill, stop, restart, replace, logs" in refused(capfd, "explode")


def test_a_folder_without_a_cluster_is_told(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "holds no cluster; start one first" in refused(capfd, "status", f"--folder={tmp_path}")


def test_a_member_that_is_none_is_refused(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    three(tmp_path)
    at = f"--folder={tmp_path}"
    assert "there is no member 4: they are 1 to 3" in refused(capfd, "kill", "4", at)
    assert "say which member" in refused(capfd, "kill", at)
    assert "m1 does not run" in refused(capfd, "kill", "m1", at)


@pytest.mark.parametrize("size", [0, 2, 4, 9])
def test_a_size_that_gains_nothing_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(LocalClusterError, match="the size must be one of 1, 3, 5, 7"):
        LocalCluster(tmp_path, size=size)


def test_ports_must_be_different_and_enough(tmp_path: Path) -> None:
    one = free_port()
    for given in ([one, one, one], ports(2)):
        with pytest.raises(LocalClusterError, match="3 members need 3 different ports"):
            LocalCluster(tmp_path, client_ports=given)
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_keeps_its_size_and_its_ports(tmp_path: Path) -> None:
    first = three(tmp_path)
    again = LocalCluster(tmp_path, size=3)
    assert again.endpoints == first.endpoints
    with pytest.raises(LocalClusterError, match="holds a cluster of 3 members"):
        LocalCluster(tmp_path, size=5)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    three(tmp_path)
    (tmp_path / "cluster.json").write_text(json.dumps({"members": [{"name": "m1"}]}))
    with pytest.raises(LocalClusterError, match="cannot be read"):
        LocalCluster.opened(tmp_path)


def test_a_process_id_that_is_somebody_elses_by_now_is_not_ours(tmp_path: Path) -> None:
    cluster = three(tmp_path)
    (tmp_path / "m1.pid").write_text("1")
    assert cluster.member(1).pid() is None
    cluster.stop()


def test_actions_are_given_the_flags_of_the_members(tmp_path: Path) -> None:
    flags = ["--snapshot-count=100"]
    LocalCluster(tmp_path, client_ports=ports(3), peer_ports=ports(3), extra_flags=flags)
    assert LocalCluster.opened(tmp_path).member(2).command()[-1] == "--snapshot-count=100"


def test_start_with_a_number_says_what_does_that(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "`restart N` starts one" in refused(capfd, "start", "2", f"--folder={tmp_path}")
    assert list(tmp_path.iterdir()) == []
