"""bbolt files of ours before stock etcd, and its files before us."""

from __future__ import annotations

import json
import random
import struct
import subprocess
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvorum.proto.kv_pb2 import KeyValue
from kvorum.storage.bbolt import BoltFile, BoltLayout
from kvorum.storage.buckets import BUCKETS
from tests.stock import (
    BinDir,
    StockEtcd,
    require_stock_34,
    require_stock_35,
    start_stock_etcd,
)
from tests.unit.storage.bbolt.forge import (
    Row,
    add_freelist,
    add_pages,
    bucket_root,
    build,
    rows_of,
    set_header,
)

COMMAND_S = 60.0
STOCK = pytest.mark.parametrize("stock", [require_stock_34, require_stock_35], ids=["3.4", "3.5"])
Stock = Callable[[], BinDir]


def status(path: Path) -> subprocess.CompletedProcess[str]:
    """`etcdutl snapshot status`, which runs bbolt's consistency check first."""
    return subprocess.run(
        [str(require_stock_35().etcdutl), "snapshot", "status", str(path), "-w", "json"],
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )


def hash_and_count(file: BoltFile) -> tuple[int, int]:
    """CRC-32C over all names, keys and values; number of rows. Source: disk.md section 8."""
    crc = count = 0
    for name in file.bucket_names():
        crc = google_crc32c.extend(crc, name)
        for batch in file.rows(name):
            crc = google_crc32c.extend(crc, b"".join([key + value for key, value in batch]))
            count += len(batch)
    return crc, count


def assert_status_is_stocks(path: Path) -> None:
    """Stock finds the file sound, and the same in it as we do."""
    done = status(path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    with BoltFile.open(path) as file:
        assert file.check() == []
        crc, count = hash_and_count(file)
        assert (said["hash"], said["totalKey"], said["totalSize"]) == (crc, count, file.size_bytes)


def revisions(sizes: Sequence[int]) -> list[Row]:
    return [
        (struct.pack(">q", main) + b"_" + bytes(8), bytes([main & 0xFF]) * size)
        for main, size in enumerate(sizes, start=2)
    ]


def write(path: Path, buckets: Mapping[bytes, Sequence[Row]], page_size: int = 4096) -> Path:
    path.write_bytes(build(buckets, page_size))
    return path


FILES: dict[str, dict[bytes, list[Row]]] = {
    "empty": {bucket.name: [] for bucket in sorted(BUCKETS, key=lambda one: one.name)},
    "three levels": {b"key": revisions([40] * 20_000), b"meta": rows_of(3)},
    "one kilobyte": {b"key": revisions([1024] * 2_000)},
    "overflow": {b"key": revisions([10, 3000, 5000, 1 << 20, 8, 4050, 4096, 70_000] * 5)},
    "half pages": {b"key": revisions([2000, 2020, 2040, 2048] * 50)},
    "long keys": {b"authUsers": [(bytes([n]) * 32_000, b"v" * n) for n in range(1, 60)]},
    "inline borders": {bytes([65 + n]): rows_of(1, 960 + n) for n in range(30)},
    "many buckets": {b"%05d" % n: rows_of(n % 7) for n in range(2000)},
}


@pytest.mark.parametrize("name", FILES)
def test_stock_finds_our_files_sound(tmp_path: Path, name: str) -> None:
    assert_status_is_stocks(write(tmp_path / "db", FILES[name]))


@pytest.mark.parametrize("page_size", [1024, 8192, 65536])
def test_stock_finds_our_files_of_other_page_sizes_sound(tmp_path: Path, page_size: int) -> None:
    assert_status_is_stocks(write(tmp_path / "db", FILES["overflow"], page_size))


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(0, 6000) | st.integers(0, 100), max_size=120),
    names=st.dictionaries(st.binary(min_size=1, max_size=5000), st.binary(max_size=900)),
)
def test_stock_finds_any_file_of_ours_sound(sizes: list[int], names: dict[bytes, bytes]) -> None:
    with TemporaryDirectory() as folder:
        buckets = {b"authUsers": sorted(names.items()), b"key": revisions(sizes)}
        assert_status_is_stocks(write(Path(folder) / "db", buckets))


DAMAGES: dict[str, Callable[[bytearray, int], object]] = {
    "none": lambda data, free: add_freelist(data, [free, free + 1]),
    "none, long form": lambda data, free: add_freelist(data, [free, free + 1], many=True),
    "not listed": lambda data, free: add_freelist(data, [free]),
    "listed twice": lambda data, free: add_freelist(data, [free, free, free + 1]),
    "in use and free": lambda data, free: add_freelist(
        data, [bucket_root(data, b"key"), free, free + 1]
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_our_check_says_what_stocks_says(tmp_path: Path, name: str) -> None:
    data = build({b"alarm": [], b"key": revisions([40] * 300), b"lease": rows_of(200)}, 4096)
    DAMAGES[name](data, add_pages(data, 2))
    path = tmp_path / "db"
    path.write_bytes(data)
    with BoltFile.open(path) as file:
        problems = file.check()
    if name.startswith("none"):
        assert problems == []
        assert_status_is_stocks(path)
        return
    lines = [f"snapshot file integrity check failed. {len(problems)} errors found.", *problems]
    assert status(path).stderr == "Error: " + "\n".join(lines) + "\n"


def test_a_page_with_a_wrong_id_is_found_by_both(tmp_path: Path) -> None:
    data = build({b"key": revisions([40] * 300)}, 4096)
    add_freelist(data, [])
    set_header(data, 3, "id", 77, 4096)
    path = tmp_path / "db"
    path.write_bytes(data)
    assert "page 77: out of bounds" in status(path).stderr
    with BoltFile.open(path) as file:
        assert file.check() == ["page 3: Page expected to be: 3, but self identifies as 77"]


def fill(member: StockEtcd) -> None:
    """What makes the rows and pages of a database differ: values of all sizes, deletions, leases,
    users, a compaction, and changes after it, which reuse the pages that it freed."""
    rng = random.Random(member.bin_dir.name)
    lease = member.etcdctl("lease", "grant", "6000").split()[1]
    member.etcdctl("put", "leased", "x", f"--lease={lease}")
    member.etcdctl("put", "large", "--", "L" * 100_000)
    for part in range(12):
        names = rng.sample(range(400), 100)
        puts = [f"put k{name:04d} {'v' * rng.randrange(1, 1500)}" for name in names]
        member.etcdctl("txn", stdin="\n" + "\n".join(puts) + "\n\n\n")
        member.etcdctl("del", "--prefix", f"k{part:03d}")
    member.etcdctl("role", "add", "reader")
    member.etcdctl("role", "grant-permission", "reader", "read", "k", "--prefix")
    member.etcdctl("user", "add", "someone:secret")
    member.etcdctl("user", "grant-role", "someone", "reader")
    member.etcdctl("compaction", "--physical", str(revision(member) - 5))
    for number in range(50):
        member.etcdctl("put", f"after{number}", "a" * number * 40)


def revision(member: StockEtcd) -> int:
    said = json.loads(member.etcdctl("get", "none", "-w", "json"))
    return int(said["header"]["revision"])


def live(member: StockEtcd) -> dict[bytes, tuple[bytes, int, int, int]]:
    """What a client sees: value, create and modification revision, version of each key."""
    said = json.loads(member.etcdctl("get", "", "--prefix", "-w", "json"))
    return {
        b64decode(one["key"]): (
            b64decode(one.get("value", "")), one["create_revision"], one["mod_revision"],
            one["version"],
        )
        for one in said.get("kvs", [])
    }  # fmt: skip


def live_in(file: BoltFile) -> dict[bytes, tuple[bytes, int, int, int]]:
    found: dict[bytes, tuple[bytes, int, int, int]] = {}
    for batch in file.rows(b"key"):
        for key, value in batch:
            kv = KeyValue.FromString(value)
            if key.endswith(b"t") and len(key) == 18:
                found.pop(kv.key, None)
            else:
                found[kv.key] = (kv.value, kv.create_revision, kv.mod_revision, kv.version)
    return found


def rewrite(path: Path) -> None:
    """Put a file of ours with the same rows in the place of stock's."""
    with BoltFile.open(path) as file:

        def source(name: bytes) -> Callable[[], Iterator[list[Row]]]:
            return lambda: file.rows(name)

        layout = BoltLayout([(name, source(name)) for name in file.bucket_names()])
        made = path.with_name("db.ours")
        with made.open("wb") as out:
            for chunk in layout.chunks():
                out.write(chunk)
    assert made.stat().st_size == layout.size_bytes
    made.replace(path)


@STOCK
def test_files_of_stock_are_read_and_ours_are_lived_on(tmp_path: Path, stock: Stock) -> None:
    """A member's database: read by us, replaced by our own with the same rows, used by stock."""
    bin_dir = stock()
    data_dir, snapshot = tmp_path / "data", tmp_path / "snapshot"
    database = data_dir / "member" / "snap" / "db"
    with start_stock_etcd(bin_dir, data_dir=data_dir) as member:
        fill(member)
        seen = live(member)
        hashed = member.etcdctl("endpoint", "hashkv", "-w", "json").replace(member.client_url, "")
        member.etcdctl("snapshot", "save", str(snapshot))
        member.etcdctl("defrag")
    content = snapshot.read_bytes()
    assert sha256(content[:-32]).digest() == content[-32:]
    for path in (snapshot, database):
        assert_status_is_stocks(path)
        with BoltFile.open(path) as file:
            assert live_in(file) == seen
            assert file.get(b"authUsers", b"someone") is not None
            assert file.last(b"lease") is not None
    rewrite(database)
    assert_status_is_stocks(database)
    with start_stock_etcd(bin_dir, data_dir=data_dir) as member:
        assert live(member) == seen
        again = member.etcdctl("endpoint", "hashkv", "-w", "json").replace(member.client_url, "")
        assert json.loads(again)[0]["HashKV"]["hash"] == json.loads(hashed)[0]["HashKV"]["hash"]
        assert "someone" in member.etcdctl("user", "list")
        fill_more(member)
        seen = live(member)
    assert_status_is_stocks(database)
    with BoltFile.open(database) as file:
        assert live_in(file) == seen


def fill_more(member: StockEtcd) -> None:
    """Split, merge, empty and free pages that we made."""
    for number in range(30):
        member.etcdctl("put", f"more{number}", "m" * number * 100)
    member.etcdctl("del", "--prefix", "k0")
    member.etcdctl("compaction", "--physical", str(revision(member)))
    member.etcdctl("put", "last", "of all")
    member.etcdctl("defrag")
    member.etcdctl("put", "very last", "of all")
