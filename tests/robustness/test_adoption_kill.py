"""`kill -9` at any instant of an adoption, and of giving a directory back to stock etcd.

KVORUM_ADOPTION_KILLS is how many kills there are of each kind (default 20), spread evenly over the
time that the work takes undisturbed. After each one the directory is stock's or Kvorum's, the one
whose it is starts on it and has everything, and the work, done again, completes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kvorum.storage.bbolt import is_bolt
from tests.interop.adopted import State, run_as, state_of, stock_binary
from tests.servers import Server, ServerError, server_environment, start_server, under_test_is_stock
from tests.unit.server.stock_directory import StockDirectory

KILLS = int(os.environ.get("KVORUM_ADOPTION_KILLS", "20"))
KEYS = 20_000
VALUE = b"v" * 1024
DEADLINE_S = 60.0
POLL_S = 0.001
BEGUN = "adopting it: its database is copied"
DONE = "adopted the data directory of stock etcd"
GIVE_BACK = """
import sys
from pathlib import Path
from kvorum.ops.migrate import migrate
from kvorum.server.log import NO_LOG
sys.stdout.write("ready\\n")
sys.stdout.flush()
migrate(Path(sys.argv[1]), format="stock", log=NO_LOG)
"""

pytestmark = [
    pytest.mark.skipif(under_test_is_stock(), reason="stock etcd adopts nothing"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def stock_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of 3.5 with some 20 MiB in it."""
    directory = StockDirectory(tmp_path_factory.mktemp("stock") / "data")
    for number in range(KEYS):
        directory.put(b"key/%06d" % number, VALUE)
    directory.v2("PUT", "/0/version", "3.5.0")
    directory.write()
    return directory.path


def wait_for_line(server: Server, text: str) -> None:
    give_up = time.monotonic() + DEADLINE_S
    while text not in server.log_text():
        if server.returncode is not None or time.monotonic() > give_up:
            raise ServerError(f"{text!r} is not in the log:\n{server.log_text()}")
        time.sleep(POLL_S)


def is_stocks(data_dir: Path) -> bool:
    return is_bolt(data_dir / "member" / "snap" / "db")


def everything(state: State) -> tuple[object, ...]:
    """What must never change; the rest is what a program says of itself when it starts."""
    return (state.cluster_id, state.member_id, state.revision, state.keys, state.hash_kv)


def test_a_directory_is_whole_after_a_kill_at_any_instant_of_its_adoption(
    stock_dir: Path, tmp_path: Path
) -> None:
    stock = stock_binary("3.5")
    outcomes = {"stock's": 0, "ours": 0}
    with start_server(data_dir=copied(stock_dir, tmp_path), wait=False) as server:
        wait_for_line(server, BEGUN)
        begun = time.monotonic()
        wait_for_line(server, DONE)
        took_s = time.monotonic() - begun
        server.wait_ready()
        expected = everything(state_of(server))
        for number in range(KILLS):
            server.kill9()
            copied(stock_dir, tmp_path)
            server.log_path.write_bytes(b"")
            server.start()
            wait_for_line(server, BEGUN)
            # Up to a little behind the end, so that the rename lies within.
            time.sleep(took_s * 1.1 * number / KILLS)
            server.kill9()
            if is_stocks(server.data_dir):
                outcomes["stock's"] += 1
                run_as(server, stock)
                assert everything(state_of(server)) == expected
                server.kill9()
            else:
                outcomes["ours"] += 1
            run_as(server, "kvorum")
            assert everything(state_of(server)) == expected
            assert not is_stocks(server.data_dir)
            assert not list((server.data_dir / "member" / "snap").glob("db.tmp*"))
    # How many come before the rename is the machine's pace; some must.
    assert outcomes["stock's"] >= max(1, KILLS // 10), outcomes


def test_a_directory_is_whole_after_a_kill_at_any_instant_of_giving_it_back(
    stock_dir: Path, tmp_path: Path
) -> None:
    stock = stock_binary("3.5")
    data_dir = copied(stock_dir, tmp_path)
    with start_server(data_dir=data_dir, extra_flags=["--emulated-version=3.5"]) as server:
        expected = everything(state_of(server))
        server.terminate()
        ours = shutil.copytree(data_dir, tmp_path / "ours")
        begun = time.monotonic()
        give_back(data_dir).wait(DEADLINE_S)
        took_s = time.monotonic() - begun
        outcomes = {"stock's": 0, "ours": 0}
        for number in range(KILLS):
            copied(ours, tmp_path)
            process = give_back(data_dir)
            time.sleep(took_s * 1.1 * number / KILLS)
            process.kill()
            process.wait(DEADLINE_S)
            if is_stocks(data_dir):
                outcomes["stock's"] += 1
            else:
                outcomes["ours"] += 1
                run_as(server, "kvorum", "--emulated-version=3.5")
                assert everything(state_of(server)) == expected
                server.terminate()
                assert give_back(data_dir).wait(DEADLINE_S) == 0
            run_as(server, stock)
            assert everything(state_of(server)) == expected
            server.kill9()
    # How many come before the rename is the machine's pace; some must.
    assert outcomes["ours"] >= max(1, KILLS // 10), outcomes


def copied(source: Path, folder: Path) -> Path:
    """A fresh copy of `source` at the place where the server looks."""
    target = folder / "data"
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(source, target))


def give_back(data_dir: Path) -> subprocess.Popen[str]:
    """The process that does it, when it begins."""
    process = subprocess.Popen(
        [sys.executable, "-c", GIVE_BACK, str(data_dir)],
        stdout=subprocess.PIPE,
        text=True,
        env=server_environment(),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdout.close()
    return process
