"""Rows B1, B2, B4, B5, B8 to B12 of the mission: backups, and a cluster brought back from one."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.robustness.calls import Calls
from tests.runbook.commands import (
    etcdctl,
    is_well,
    output_of,
    own_address,
    path_with_etcdctl,
    script_of,
    wait_until,
)
from tests.runbook.test_restoring import etcdutl
from tests.servers import free_port, server_command, server_environment, start_server
from tests.stock import stock_34, stock_35

KEYS = 30


def fill(target: str) -> None:
    with Calls(target) as calls:
        for number in range(KEYS):
            calls.put(b"key%03d" % number, b"value %d" % number)


def keys_of(target: str) -> dict[str, str]:
    found = json.loads(output_of(f"--endpoints={target}", "get", "", "--from-key", "-w", "json"))
    return {pair["key"]: pair["value"] for pair in found.get("kvs", [])}


def hash_of(target: str) -> int:
    (found,) = json.loads(output_of(f"--endpoints={target}", "endpoint", "hashkv", "-w", "json"))
    return int(found["HashKV"]["hash"])


def restore(snapshot: Path, data_dir: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    words = ("--data-dir", str(data_dir), "snapshot", "restore", str(snapshot), *flags)
    return etcdutl(*words, cwd=snapshot.parent)


def test_B1_a_live_member_is_saved(tmp_path: Path) -> None:
    """etcdctl --endpoints $ENDPOINT snapshot save snapshot.db"""
    snapshot = tmp_path / "snapshot.db"
    with start_server() as server:
        fill(server.target)
        done = etcdctl("--endpoints", server.target, "snapshot", "save", str(snapshot))
        assert (done.returncode, done.stdout) == (0, f"Snapshot saved at {snapshot}\n")
        keys, value = keys_of(server.target), hash_of(server.target)
    assert not list(tmp_path.glob("*.part"))
    assert restore(snapshot, tmp_path / "data").returncode == 0
    with start_server(data_dir=tmp_path / "data") as server:
        assert (keys_of(server.target), hash_of(server.target)) == (keys, value)


def test_B2_the_file_of_a_stopped_member_is_a_backup(tmp_path: Path) -> None:
    """A copy of `member/snap/db`; the robustness tests do this again and again under load."""
    with start_server() as server:
        fill(server.target)
        keys, value = keys_of(server.target), hash_of(server.target)
        server.terminate()
        shutil.copy(server.data_dir / "member" / "snap" / "db", tmp_path / "backup.db")
    done = restore(tmp_path / "backup.db", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    with start_server(data_dir=tmp_path / "data") as server:
        assert (keys_of(server.target), hash_of(server.target)) == (keys, value)


def test_B5_a_volume_snapshot_is_a_backup(tmp_path: Path) -> None:
    """The directory as it is at one instant, while the member runs."""
    with start_server() as server:
        fill(server.target)
        keys, value = keys_of(server.target), hash_of(server.target)
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        try:
            shutil.copytree(server.data_dir, tmp_path / "data")
        finally:
            server.process.send_signal(signal.SIGCONT)
    with start_server(data_dir=tmp_path / "data") as server:
        assert (keys_of(server.target), hash_of(server.target)) == (keys, value)


def decrypt(encrypted: Path, key: Path, plain: Path) -> bool:
    """openssl enc -d … -in etcd-….db.enc -out backup.db"""
    words = ("-d", "-aes-256-cbc", "-pbkdf2", "-pass", f"file:{key}")
    done = subprocess.run(
        ["openssl", "enc", *words, "-in", str(encrypted), "-out", str(plain)],
        capture_output=True,
        timeout=30,
        check=False,
    )
    return done.returncode == 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
def test_B4_backups_are_made_by_the_clock_and_encrypted(tmp_path: Path) -> None:
    """The script of docs/backups.md, run as cron does: again and again, with no terminal."""
    program, folder = script_of("backups.md", tmp_path / "etcd-backup"), tmp_path / "backups"
    folder.mkdir()
    for name in ("backup.key", "other.key"):
        make = ["openssl", "rand", "-hex", "-out", str(tmp_path / name), "32"]
        subprocess.run(make, check=True, timeout=30)
    with start_server() as server:
        fill(server.target)
        env = server_environment(
            {
                "PATH": path_with_etcdctl(tmp_path / "bin"),
                "ETCDCTL_ENDPOINTS": server.client_url,
                "ETCD_BACKUP_KEY": str(tmp_path / "backup.key"),
                "ETCD_BACKUP_KEEP": "2",
                "TMPDIR": str(tmp_path),
            }
        )
        made = []
        for number in range(3):
            output_of(f"--endpoints={server.target}", "put", "round", str(number))
            subprocess.run(
                [program, folder], env=env, stdin=subprocess.DEVNULL, check=True, timeout=60
            )
            made.append(max(folder.iterdir()))
        keys, value = keys_of(server.target), hash_of(server.target)
    assert sorted(folder.iterdir()) == made[1:], "the newest two are kept, and nothing else"
    assert made[0] < made[1] < made[2]
    assert not list(tmp_path.rglob("*.db")), "no plain file is left"
    assert b"value 7" not in made[2].read_bytes()

    plain = tmp_path / "backup.db"
    if decrypt(made[2], tmp_path / "other.key", plain):  # one wrong key in 256 fits by its padding
        assert restore(plain, tmp_path / "data").returncode == 1
    assert decrypt(made[2], tmp_path / "backup.key", plain)
    assert b"value 7" in plain.read_bytes()
    assert restore(plain, tmp_path / "data").returncode == 0
    with start_server(data_dir=tmp_path / "data") as server:
        assert (keys_of(server.target), hash_of(server.target)) == (keys, value)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("backup") / "snapshot.db"
    with start_server() as server:
        fill(server.target)
        output_of(f"--endpoints={server.target}", "snapshot", "save", str(path))
    return path


def damaged(snapshot: Path, folder: Path) -> Path:
    data = bytearray(snapshot.read_bytes())
    data[len(data) // 2] ^= 1
    path = folder / "damaged.db"
    path.write_bytes(data)
    return path


def cut(snapshot: Path, folder: Path) -> Path:
    path = folder / "cut.db"
    path.write_bytes(snapshot.read_bytes()[: 8192 + 32])
    return path


def without_hash(snapshot: Path, folder: Path) -> Path:
    path = folder / "bare.db"
    path.write_bytes(snapshot.read_bytes()[:-32])
    return path


def foreign(snapshot: Path, folder: Path) -> Path:
    path = folder / "foreign.db"
    path.write_bytes(b"This is a letter and not a database.\n" * 300)
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (damaged, "expected sha256 ["),
        (cut, "the file is truncated"),
        (without_hash, "snapshot missing hash but --skip-hash-check=false"),
        (foreign, "foreign.db"),
    ],
)
def test_B8_restore_refuses_a_damaged_file(
    make: object, says: str, snapshot: Path, tmp_path: Path
) -> None:
    assert callable(make)
    path = make(snapshot, tmp_path)
    done = restore(path, tmp_path / "data")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == [path], "something half-made was left behind"


def test_B8_restore_refuses_an_existing_data_directory(snapshot: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    assert restore(snapshot, data_dir).returncode == 0
    before = sorted(data_dir.rglob("*"))
    done = restore(snapshot, data_dir)
    assert done.returncode == 1
    assert f'Error: data-dir "{data_dir}" not empty or could not be read' in done.stderr
    assert sorted(data_dir.rglob("*")) == before
    assert list(tmp_path.iterdir()) == [data_dir]


class Fleet:
    """Members on addresses of their own, with the command lines of the documents."""

    def __init__(self, folder: Path, names: Sequence[str], token: str) -> None:
        self.folder = folder
        self.token = token
        self.names = list(names)
        self.addresses = {name: own_address() for name in names}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        folder.mkdir()

    @property
    def initial_cluster(self) -> str:
        return ",".join(f"{name}=http://{ip}:2380" for name, ip in self.addresses.items())

    @property
    def endpoints(self) -> str:
        return ",".join(f"{ip}:2379" for ip in self.addresses.values())

    def data_dir(self, name: str) -> Path:
        return self.folder / f"{name}.etcd"

    def flags(self, name: str) -> list[str]:
        ip = self.addresses[name]
        return [
            f"--name={name}",
            f"--data-dir={self.data_dir(name)}",
            f"--listen-client-urls=http://{ip}:2379",
            f"--advertise-client-urls=http://{ip}:2379",
            f"--listen-peer-urls=http://{ip}:2380",
            f"--initial-advertise-peer-urls=http://{ip}:2380",
            f"--initial-cluster={self.initial_cluster}",
            f"--initial-cluster-token={self.token}",
        ]

    def start(self, kind: str = "kvorum") -> None:
        for name in self.names:
            with (self.folder / f"{name}.log").open("wb") as log:
                self.processes[name] = subprocess.Popen(
                    [*server_command(kind), *self.flags(name)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=server_environment(),
                )
        for name, ip in self.addresses.items():
            wait_until(
                lambda ip=ip: is_well(ip), f"{name} is well; its log: {self.folder}/{name}.log"
            )

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()


@contextlib.contextmanager
def fleet(folder: Path, names: Sequence[str], token: str) -> Iterator[Fleet]:
    made = Fleet(folder, names, token)
    try:
        yield made
    finally:
        made.stop()


RESTORED = ("n1", "n2", "n3")
BUMP = 1_000_000


def restore_fleet(new: Fleet, backup: Path, *flags: str) -> None:
    """Every member from the same file, each with its own name and URL."""
    for name, ip in new.addresses.items():
        done = restore(
            backup,
            new.data_dir(name),
            f"--name={name}",
            f"--initial-cluster={new.initial_cluster}",
            f"--initial-cluster-token={new.token}",
            f"--initial-advertise-peer-urls=http://{ip}:2380",
            *flags,
        )
        assert done.returncode == 0, done.stderr


def test_B9_B11_a_cluster_that_lost_its_majority_is_restored_and_watchers_notice(
    tmp_path: Path,
) -> None:
    """Two of three members are gone for good; the third one's data makes three new members.

    B12, the order of Kubernetes, is this with the API servers stopped before and started behind:
    what they cached is found to be old, because revisions only rise.
    """
    with fleet(tmp_path / "old", ("m1", "m2", "m3"), "old-token") as old:
        old.start()
        target = f"{old.addresses['m1']}:2379"
        fill(target)
        keys = keys_of(target)
        for name in ("m2", "m3"):
            old.processes[name].kill()
            old.processes[name].wait()
            shutil.rmtree(old.data_dir(name))
        backup = tmp_path / "backup.db"
        output_of(f"--endpoints={target}", "snapshot", "save", str(backup))
    with fleet(tmp_path / "new", RESTORED, "new-token") as new:
        restore_fleet(new, backup, f"--bump-revision={BUMP}", "--mark-compacted")
        new.start()
        assert {one: keys_of(one) for one in new.endpoints.split(",")} == dict.fromkeys(
            new.endpoints.split(","), keys
        )
        listed = output_of(f"--endpoints={new.endpoints}", "member", "list")
        for name, ip in new.addresses.items():
            assert f"started, {name}, http://{ip}:2380, http://{ip}:2379" in listed
        check_watchers_notice(new.endpoints.split(",")[1])
        hashes = {hash_of(one) for one in new.endpoints.split(",")}
        assert len(hashes) == 1


def check_watchers_notice(target: str) -> None:
    """A watch from a revision before the restore is told that it is gone; new ones are higher."""
    done = etcdctl(f"--endpoints={target}", "watch", "key000", f"--rev={KEYS}")
    assert "required revision has been compacted" in done.stderr + done.stdout
    put = json.loads(output_of(f"--endpoints={target}", "put", "after", "1", "-w", "json"))
    assert put["header"]["revision"] > BUMP


def test_B10_stock_members_restore_a_cluster_from_our_snapshot(
    snapshot: Path, tmp_path: Path
) -> None:
    """Ours restores each member, gives it back to stock's format, and stock's cluster starts."""
    if stock_35() is None:
        pytest.skip("no stock etcd 3.5")
    with fleet(tmp_path / "new", RESTORED, "stock-token") as new:
        restore_fleet(new, snapshot)
        for name in new.names:
            words = ("migrate", "--data-dir", str(new.data_dir(name)), "--format", "stock")
            done = etcdutl(*words, "--target-version", "3.5", "--force", cwd=tmp_path)
            assert done.returncode == 0, done.stderr
        new.start("stock")
        for target in new.endpoints.split(","):
            assert len(keys_of(target)) == KEYS


@pytest.mark.parametrize("kind", ["stock 3.5", "stock 3.4"])
def test_B10_a_snapshot_that_stock_made_is_restored(kind: str, tmp_path: Path) -> None:
    folder = stock_35() if kind == "stock 3.5" else stock_34()
    if folder is None:
        pytest.skip(f"no {kind}")
    path = tmp_path / "snapshot.db"
    with start_server(str(folder.etcd)) as server:
        fill(server.target)
        keys, value = keys_of(server.target), hash_of(server.target)
        saved = etcdctl(
            f"--endpoints={server.target}", "snapshot", "save", str(path),
            client=(str(folder.etcdctl),),
        )  # fmt: skip
        assert saved.returncode == 0, saved.stderr
    done = restore(path, tmp_path / "data")
    assert done.returncode == 0, done.stderr
    port = free_port()
    with start_server(data_dir=tmp_path / "data", client_port=port) as server:
        assert (keys_of(server.target), hash_of(server.target)) == (keys, value)
