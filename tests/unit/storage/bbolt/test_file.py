"""What the reader gives of sound files."""

from __future__ import annotations

import fcntl
import os
import struct
from hashlib import sha256
from pathlib import Path

import pytest

from kvorum.errors import ConfigError, CorruptionError
from kvorum.storage.bbolt import BoltFile, BoltLayout, is_bolt
from kvorum.storage.bbolt.format import KEY_BYTES_MAX, VALUE_BYTES_MAX, Meta, fnv1a_64, unpack_meta
from kvorum.storage.bbolt.tree import BATCH_BYTES
from kvorum.storage.files import DatabaseFile, open_database
from tests.unit.storage.bbolt.forge import (
    Row,
    add_freelist,
    add_pages,
    bucket_root,
    build,
    change_metas,
    meta_of,
    put_meta,
    rows_of,
)

BUCKETS: dict[bytes, list[Row]] = {
    b"alarm": [],
    b"auth": [(b"authRevision", bytes(8))],
    b"key": rows_of(500, 100),
    b"lease": rows_of(1, 5000),
}


def write(folder: Path, data: bytes) -> Path:
    path = folder / "db"
    path.write_bytes(data)
    return path


def all_rows(file: DatabaseFile, bucket: bytes, start: bytes = b"") -> list[Row]:
    return [row for batch in file.rows(bucket, start) for row in batch]


@pytest.mark.parametrize("page_size", [1024, 2048, 4096, 8192, 65536])
def test_files_of_every_page_size_are_read(tmp_path: Path, page_size: int) -> None:
    path = write(tmp_path, build(BUCKETS, page_size))
    with BoltFile.open(path) as file:
        assert file.bucket_names() == sorted(BUCKETS)
        assert {name: all_rows(file, name) for name in BUCKETS} == BUCKETS
        assert file.size_bytes == path.stat().st_size
        assert file.meta.page_size == page_size
        assert file.kind == "bbolt"
        assert file.check() == []


def test_a_bucket_that_is_not_there_has_no_rows(tmp_path: Path) -> None:
    with BoltFile.open(write(tmp_path, build(BUCKETS))) as file:
        assert list(file.rows(b"nothing")) == []
        assert file.get(b"nothing", b"k") is None
        assert file.last(b"nothing") is None


def test_rows_begin_at_the_key_asked_for(tmp_path: Path) -> None:
    rows = BUCKETS[b"key"]
    with BoltFile.open(write(tmp_path, build(BUCKETS))) as file:
        for place in (0, 1, 7, 250, 499):
            key = rows[place][0]
            assert all_rows(file, b"key", key) == rows[place:]
            assert all_rows(file, b"key", key + b"\0") == rows[place + 1 :]
        assert all_rows(file, b"key", b"a") == rows
        assert all_rows(file, b"key", b"z") == []
        assert all_rows(file, b"auth", b"authRevision") == BUCKETS[b"auth"]
        assert all_rows(file, b"auth", b"b") == []


def test_single_rows_are_found(tmp_path: Path) -> None:
    with BoltFile.open(write(tmp_path, build(BUCKETS))) as file:
        for key, value in BUCKETS[b"key"]:
            assert file.get(b"key", key) == value
        for missing in (b"a", b"k", b"k00000003x", b"z"):
            assert file.get(b"key", missing) is None
        assert file.get(b"auth", b"authRevision") == bytes(8)
        assert file.get(b"auth", b"authEnabled") is None


def test_the_last_row_is_found(tmp_path: Path) -> None:
    with BoltFile.open(write(tmp_path, build(BUCKETS))) as file:
        assert file.last(b"key") == BUCKETS[b"key"][-1]
        assert file.last(b"auth") == BUCKETS[b"auth"][-1]
        assert file.last(b"alarm") is None


def test_lists_of_rows_stay_small(tmp_path: Path) -> None:
    rows = rows_of(40_000, 200)
    with BoltFile.open(write(tmp_path, build({b"key": rows}, 4096))) as file:
        sizes = [sum(len(key) + len(value) for key, value in batch) for batch in file.rows(b"key")]
    assert len(sizes) > 5
    assert max(sizes) <= BATCH_BYTES
    assert sum(sizes) == sum(len(key) + len(value) for key, value in rows)


def test_several_readers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    rows = rows_of(30_000, 200)
    with BoltFile.open(write(tmp_path, build({b"key": rows, b"lease": rows}, 4096))) as file:
        pairs = list(zip(file.rows(b"key"), file.rows(b"lease"), strict=True))
    assert len(pairs) > 3
    assert all(one == other for one, other in pairs)


def test_the_sha256_behind_a_snapshot_is_ignored(tmp_path: Path) -> None:
    data = bytes(build(BUCKETS, 4096))
    with open_database(write(tmp_path, data + sha256(data).digest())) as file:
        assert file.kind == "bbolt"
        assert file.size_bytes == len(data)
        assert all_rows(file, b"key") == BUCKETS[b"key"]


def test_room_behind_the_pages_is_ignored(tmp_path: Path) -> None:
    data = build(BUCKETS, 4096)
    with BoltFile.open(write(tmp_path, data + bytes(100_000))) as file:
        assert all_rows(file, b"key") == BUCKETS[b"key"]


@pytest.mark.parametrize("page_size", [1024, 4096, 65536])
@pytest.mark.parametrize("damaged", [0, 1])
def test_one_damaged_meta_does_not_matter(tmp_path: Path, page_size: int, damaged: int) -> None:
    data = build(BUCKETS, page_size)
    data[damaged * page_size + 30] ^= 0x10
    path = write(tmp_path, data)
    assert is_bolt(path)
    with BoltFile.open(path) as file:
        assert all_rows(file, b"key") == BUCKETS[b"key"]
        assert file.check() == []


def test_the_meta_with_the_higher_transaction_counts(tmp_path: Path) -> None:
    data = build(BUCKETS)
    empty = build({b"key": []})
    page = bytearray(empty[2 * 1024 :])
    root = add_pages(data, 1)
    struct.pack_into("<Q", page, 0, root)
    data[root * 1024 :] = page
    old = meta_of(data, 1)
    for txid, expected in ((9, []), (1, BUCKETS[b"key"])):
        put_meta(
            data,
            Meta(
                page_size=1024, root=root, freelist=old.freelist, high_water=old.high_water,
                txid=txid,
            ),
            1,
        )  # fmt: skip
        with BoltFile.open(write(tmp_path, data)) as file:
            assert all_rows(file, b"key") == expected


@pytest.mark.parametrize("many", [False, True])
def test_a_list_of_free_pages_of_either_form_is_read(tmp_path: Path, many: bool) -> None:
    data = build(BUCKETS)
    free = add_pages(data, 200)
    add_freelist(data, range(free, free + 200), many=many)
    with BoltFile.open(write(tmp_path, data)) as file:
        assert file.check() == []
        assert all_rows(file, b"key") == BUCKETS[b"key"]


def test_buckets_that_share_pages_are_refused(tmp_path: Path) -> None:
    data = build(BUCKETS)
    key, lease = bucket_root(data, b"key"), bucket_root(data, b"lease")
    place = data.find(struct.pack("<QQ", lease, 0), meta_of(data).root * 1024)
    struct.pack_into("<Q", data, place, key)
    with BoltFile.open(write(tmp_path, data)) as file:
        assert all_rows(file, b"key") == BUCKETS[b"key"]
        with pytest.raises(CorruptionError, match=f"page {key}: multiple references"):
            all_rows(file, b"lease")


def test_a_file_that_a_member_has_open_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, build(BUCKETS))
    holder = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match=r"db is in use by a running member; stop it"):
            BoltFile.open(path)
        BoltFile.open(path, lock=False).close()
    finally:
        os.close(holder)
    BoltFile.open(path).close()


def test_a_member_cannot_open_the_file_while_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, build(BUCKETS))
    member = os.open(path, os.O_RDWR)
    try:
        with BoltFile.open(path), pytest.raises(BlockingIOError):
            fcntl.flock(member, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(member, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(member)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ConfigError, match=f"{path} is no regular file"):
            BoltFile.open(path)
    with pytest.raises(ConfigError, match="cannot be opened: No such file"):
        BoltFile.open(tmp_path / "missing")
    assert not is_bolt(tmp_path / "missing")
    assert not is_bolt(tmp_path)


def test_a_file_of_another_kind_is_no_bbolt_file(tmp_path: Path) -> None:
    for content in (b"", b"x", bytes(100_000), b"hello " * 30_000):
        assert not is_bolt(write(tmp_path, content))


def test_reading_leaves_the_file_alone_and_closes_it(tmp_path: Path) -> None:
    data = bytes(build(BUCKETS))
    path = write(tmp_path, data)
    path.chmod(0o400)
    before = len(os.listdir("/proc/self/fd"))
    with BoltFile.open(path) as file:
        all_rows(file, b"key")
        file.check()
    file.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert path.read_bytes() == data


def test_the_checksum_is_fnv_1a() -> None:
    """Source: the test vectors of draft-eastlake-fnv."""
    assert fnv1a_64(b"") == 0xCBF29CE484222325
    assert fnv1a_64(b"a") == 0xAF63DC4C8601EC8C
    assert fnv1a_64(b"foobar") == 0x85944171F73967E8


def test_a_meta_is_read_as_it_was_written() -> None:
    meta = Meta(page_size=4096, root=7, freelist=3, high_water=99, txid=12, sequence=5)
    assert unpack_meta(meta.pack()) == meta


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            (b"k" * (KEY_BYTES_MAX + 1), b""),
            "bucket auth: a key of 32769 bytes; bbolt allows",
        ),
        ((b"k", VALUE_BYTES_MAX + 1), "bucket auth: a value of 2147483647 bytes; bbolt allows"),
    ],
)
def test_what_bbolt_does_not_allow_is_not_written(
    row: tuple[bytes, bytes | int], said: str
) -> None:
    class Long(bytes):
        """As long as it says, without the memory."""

        def __len__(self) -> int:
            return VALUE_BYTES_MAX + 1

    key, value = row
    made = Long() if isinstance(value, int) else value
    with pytest.raises(ConfigError, match=said):
        BoltLayout([(b"auth", lambda: iter([[(key, made)]]))])


def test_rows_that_differ_between_the_passes_are_noticed() -> None:
    passes = [rows_of(100), rows_of(2000)]
    layout = BoltLayout([(b"key", lambda: iter([passes.pop(0)]))])
    with pytest.raises(AssertionError, match="the rows of the two passes differ"):
        list(layout.chunks())


def test_a_root_page_id_of_nothing_is_refused(tmp_path: Path) -> None:
    data = build(BUCKETS)
    change_metas(data, root=0)
    with pytest.raises(CorruptionError, match="the root bucket is at page 0"):
        BoltFile.open(write(tmp_path, data))
