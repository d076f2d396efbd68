"""Rows S1, S2, S6 and S7 of the mission: how a member is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runbook.commands import etcdctl, get, is_well, output_of, own_address, running_etcd


def peer_variables(address: str) -> dict[str, str]:
    """The document leaves the peer port at its default; here many members run at a time."""
    return {"ETCD_LISTEN_PEER_URLS": f"http://{address}:2380"}


def test_S1_a_single_member_starts_with_the_documented_command(tmp_path: Path) -> None:
    """etcd --listen-client-urls=http://$IP:2379 --advertise-client-urls=http://$IP:2379"""
    ip = own_address()
    flags = [f"--listen-client-urls=http://{ip}:2379", f"--advertise-client-urls=http://{ip}:2379"]
    with running_etcd(tmp_path, flags, address=ip, env=peer_variables(ip)):
        assert output_of(f"--endpoints={ip}:2379", "put", "a", "1") == "OK\n"
        assert output_of(f"--endpoints={ip}:2379", "get", "a") == "a\n1\n"
        assert f"http://{ip}:2379" in output_of(f"--endpoints={ip}:2379", "member", "list")
    assert (tmp_path / "default.etcd" / "member" / "wal").is_dir()


def test_S2_a_member_listens_on_several_comma_separated_urls(tmp_path: Path) -> None:
    one, other = own_address(), own_address()
    urls = f"http://{one}:2379,http://{other}:2379,http://{one}:4001"
    flags = [f"--listen-client-urls={urls}", f"--advertise-client-urls={urls}"]
    with running_etcd(tmp_path, flags, address=one, env=peer_variables(one)):
        assert is_well(other)
        assert is_well(one, 4001)
        output_of(f"--endpoints={one}:2379", "put", "a", "1")
        for endpoint in (f"{other}:2379", f"{one}:4001"):
            assert output_of(f"--endpoints={endpoint}", "get", "a") == "a\n1\n"
        listed = output_of(f"--endpoints={one}:2379", "member", "list")
        assert all(url in listed for url in urls.split(","))


@pytest.mark.parametrize("way", ["flag", "variable", "file"])
def test_S6_a_flag_can_also_be_a_variable_or_stand_in_a_config_file(
    tmp_path: Path, way: str
) -> None:
    """A number, a text and lists of URLs; each is seen to have its effect."""
    ip = own_address()
    settings = {
        "name": "infra1",
        "data-dir": str(tmp_path / "elsewhere"),
        "max-request-bytes": "2000",
        "listen-client-urls": f"http://{ip}:2379,http://{ip}:4001",
        "advertise-client-urls": f"http://{ip}:2379",
        "listen-peer-urls": f"http://{ip}:2380",
        "initial-advertise-peer-urls": f"http://{ip}:2380",
        "initial-cluster": f"infra1=http://{ip}:2380",
    }
    flags: list[str] = []
    variables: dict[str, str] = {}
    if way == "flag":
        flags = [f"--{name}={value}" for name, value in settings.items()]
    elif way == "variable":
        variables = {
            "ETCD_" + name.upper().replace("-", "_"): value for name, value in settings.items()
        }
    else:
        text = "".join(f"{name}: {value}\n" for name, value in settings.items())
        (tmp_path / "etcd.yml").write_text(text)
        flags = ["--config-file", "etcd.yml"]
    with running_etcd(tmp_path, flags, address=ip, env=variables):
        assert ", started, infra1, " in output_of(f"--endpoints={ip}:4001", "member", "list")
        refused = etcdctl(f"--endpoints={ip}:2379", "put", "a", stdin=b"x" * 2000)
        assert refused.returncode == 1
        assert refused.stderr.endswith("Error: etcdserver: request is too large\n")
        assert get(ip, "/health", 4001)[0] == 200
    assert (tmp_path / "elsewhere" / "member" / "snap" / "db").is_file()


# kubeadm asks for the gate by its own name where the image is etcd 3.6 or later.
POD_FLAGS = {
    "3.6": ("--feature-gates=InitialCorruptCheck=true", "--watch-progress-notify-interval=5s"),
    "3.5": (
        "--experimental-initial-corrupt-check=true",
        "--experimental-watch-progress-notify-interval=5s",
    ),
}


@pytest.mark.parametrize("image", POD_FLAGS)
def test_S7_the_command_of_kubeadms_static_pod_starts_a_member_whose_probes_answer(
    tmp_path: Path, image: str
) -> None:
    """All that kubeadm writes into /etc/kubernetes/manifests/etcd.yaml, but the certificates.

    `localhost` is an address of this test's own, as other members run on this machine.
    """
    localhost, ip = own_address(), own_address()
    gate, progress = POD_FLAGS[image]
    flags = [
        f"--advertise-client-urls=http://{ip}:2379",
        f"--data-dir={tmp_path / 'etcd'}",
        gate,
        f"--initial-advertise-peer-urls=http://{ip}:2380",
        f"--initial-cluster=node-1=http://{ip}:2380",
        f"--listen-client-urls=http://{localhost}:2379,http://{ip}:2379",
        f"--listen-metrics-urls=http://{localhost}:2381",
        f"--listen-peer-urls=http://{ip}:2380",
        "--name=node-1",
        "--snapshot-count=10000",
        progress,
    ]
    with running_etcd(tmp_path, flags, address=ip):
        for probe in ("/livez", "/readyz"):
            assert get(localhost, probe, 2381) == (200, "ok\n")
        for probe in ("/health?exclude=NOSPACE&serializable=true", "/health?serializable=false"):
            status, body = get(localhost, probe, 2381)
            assert (status, body) == (200, '{"health":"true","reason":""}')
        assert output_of(f"--endpoints={localhost}:2379", "put", "/registry/x", "1") == "OK\n"
        gates = get(localhost, "/metrics", 2381)[1]
        assert 'etcd_server_feature_enabled{name="InitialCorruptCheck",stage="ALPHA"} 1' in gates
        assert 'etcd_server_feature_enabled{name="CompactHashCheck",stage="ALPHA"} 0' in gates
    assert (tmp_path / "etcd" / "member" / "snap" / "db").is_file()
    assert list((tmp_path / "etcd" / "member" / "wal").glob("*.wal"))
