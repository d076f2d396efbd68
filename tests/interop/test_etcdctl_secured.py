"""Our etcdctl does what stock's does on servers with users and with TLS."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.dns import name_server
from tests.interop.etcdctl_runner import SAME_IDENTITY, Outcome, run_script
from tests.interop.etcdctl_table import AUTH, AUTH_SETUP, TLS
from tests.servers import READY_DEADLINE_S, Server, free_port, server_environment, start_server
from tests.stock import require_stock_35

OURS = (sys.executable, "-m", "kvorum.cli.etcdctl")


def environment() -> dict[str, str]:
    return {"PYTHONPATH": server_environment()["PYTHONPATH"]}


def differences(theirs: Sequence[Outcome], ours: Sequence[Outcome]) -> list[str]:
    return [
        f"etcdctl {one.line}\n  stock {one}\n  ours  {other}"
        for one, other in zip(theirs, ours, strict=True)
        if one != other
    ]


def with_users(client: Sequence[str]) -> list[Outcome]:
    stock = str(require_stock_35().etcdctl)
    with start_server("stock", extra_flags=SAME_IDENTITY) as server:
        for line in AUTH_SETUP:
            subprocess.run(
                [stock, f"--endpoints={server.target}", *shlex.split(line)],
                check=True,
                capture_output=True,
            )
        return run_script(client, server.target, AUTH, environment=environment())


@pytest.mark.slow
def test_equals_stock_on_a_server_with_users() -> None:
    stock = str(require_stock_35().etcdctl)
    different = differences(with_users([stock]), with_users(OURS))
    assert not different, "\n".join(different)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A CA, a certificate of it for 127.0.0.1, and a key that fits no certificate."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("certificates")

    def run(line: str) -> None:
        subprocess.run([openssl, *shlex.split(line)], cwd=folder, check=True, capture_output=True)

    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    run(f"req -x509 {key} -keyout ca.key -out ca.crt -days 2 -subj /CN=test-ca")
    run(f"req {key} -keyout one.key -out one.csr -subj /CN=one")
    run(f"req {key} -keyout other.key -out other.csr -subj /CN=other")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    run(
        "x509 -req -in one.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out one.crt -days 2 "
        "-extfile names"
    )
    return {
        "ca": str(folder / "ca.crt"),
        "cert": str(folder / "one.crt"),
        "key": str(folder / "one.key"),
        "other_key": str(folder / "other.key"),
    }


@contextmanager
def tls_server(certificates: dict[str, str]) -> Iterator[Server]:
    port = free_port()
    flags = (
        *SAME_IDENTITY,
        f"--listen-client-urls=https://127.0.0.1:{port}",
        f"--advertise-client-urls=https://127.0.0.1:{port}",
        "--client-cert-auth",
        f"--trusted-ca-file={certificates['ca']}",
        f"--cert-file={certificates['cert']}",
        f"--key-file={certificates['key']}",
    )
    with start_server("stock", extra_flags=flags, client_port=port, wait=False) as server:
        give_up = time.monotonic() + READY_DEADLINE_S
        while "ready to serve client requests" not in server.log_text():
            assert time.monotonic() < give_up, server.log_text()
            time.sleep(0.02)
        yield server


def with_tls(client: Sequence[str], certificates: dict[str, str]) -> list[Outcome]:
    with tls_server(certificates) as server:
        return run_script(client, server.target, TLS, environment=environment(), names=certificates)


@pytest.mark.slow
def test_equals_stock_on_a_server_with_tls(certificates: dict[str, str]) -> None:
    stock = str(require_stock_35().etcdctl)
    different = differences(with_tls([stock], certificates), with_tls(OURS, certificates))
    assert not different, "\n".join(different)


def test_a_ca_file_that_is_none_is_named(certificates: dict[str, str]) -> None:
    result = ours("--cacert", certificates["key"], "get", "k")
    assert result.returncode == 128
    assert certificates["key"] in result.stderr


def test_skipping_verification_is_refused_and_not_ignored(certificates: dict[str, str]) -> None:
    result = ours("--cacert", certificates["ca"], "--insecure-skip-tls-verify", "get", "k")
    assert result.returncode == 4
    assert "--insecure-skip-tls-verify is not supported" in result.stderr


def test_a_domain_without_records_is_told_as_stock_tells_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with name_server({}) as server:
        monkeypatch.setenv("KVORUM_DNS_SERVER", server)
        result = ours("--discovery-srv", "example.invalid", "get", "k")
    assert result.returncode == 1
    asked = ["_etcd-client-ssl._tcp.example.invalid", "_etcd-client._tcp.example.invalid"]
    told = " and ".join(f"lookup {name} on {server}: no such host" for name in asked)
    assert result.stderr == f"Error: dns lookup errors: {told}\n"


def ours(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*OURS, *words],
        capture_output=True,
        text=True,
        check=False,
        env=server_environment() | environment(),
        timeout=30,
    )
