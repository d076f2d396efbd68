"""Our database files, read as files: everything is found, nothing is trusted."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from itertools import chain
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvorum.errors import ConfigError, CorruptionError
from kvorum.proto.kv_pb2 import KeyValue
from kvorum.storage import Backend, Bucket
from kvorum.storage.buckets import (
    AUTH_USERS,
    BUCKETS,
    CONSISTENT_INDEX,
    KEY,
    LEASE,
    MEMBERS,
    META,
    encode_u64,
    revision_key,
)
from kvorum.storage.environment import Row
from kvorum.storage.files import DatabaseFile, open_database
from kvorum.storage.lmdb_file import LmdbFile

PAGE_BYTES = 4096
LIVE_READER = """
import sys
from hashlib import sha256
from itertools import chain
from pathlib import Path
from kvorum.storage.lmdb_file import LmdbFile

with LmdbFile.open(Path(sys.argv[1]), live=True) as file:
    print("ready", flush=True)
    sys.stdin.readline()
    rows = list(chain.from_iterable(file.rows(b"key")))
    print(len(rows), sha256(repr(rows).encode()).hexdigest(), flush=True)
"""


def key_value(revision: int, value: bytes) -> Row:
    message = KeyValue(
        key=b"k%d" % revision,
        create_revision=revision,
        mod_revision=revision,
        version=1,
        value=value,
    )
    return revision_key(revision, 0), message.SerializeToString()


def write(path: Path, rows: dict[Bucket, list[Row]]) -> None:
    with Backend.open(path, fsync=False) as backend:
        for bucket, pairs in rows.items():
            for key, value in pairs:
                backend.put(bucket, key, value)


def all_rows(file: DatabaseFile, bucket: Bucket, start: bytes = b"") -> list[Row]:
    return list(chain.from_iterable(file.rows(bucket.name, start)))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of three levels: short rows, rows with pages of their own, some that were deleted."""
    rng, path = Random(3), tmp_path_factory.mktemp("sample") / "db"
    with Backend.open(path, fsync=False) as backend:
        for revision in range(2, 6_000):
            size = rng.choice((0, 30, 200, 1500)) if revision % 50 else rng.randrange(60_000)
            backend.put(KEY, *key_value(revision, rng.randbytes(size)))
        backend.commit()
        for revision in range(2, 4_000, 3):
            backend.delete(KEY, revision_key(revision, 0))
        backend.put(AUTH_USERS, b"a", b"1")
        backend.put(AUTH_USERS, b"n" * 700, b"2")
        backend.put(AUTH_USERS, b"z", b"3")
        backend.put(META, CONSISTENT_INDEX, encode_u64(77))
    return path


def expected_of(path: Path) -> dict[Bucket, list[Row]]:
    with Backend.open(path) as backend:
        return {bucket: backend.range(bucket, b"", None) for bucket in BUCKETS}


def test_every_row_of_every_bucket_is_read_in_order(sample: Path) -> None:
    expected = expected_of(sample)
    with open_database(sample) as file:
        assert file.kind == "lmdb"
        assert file.bucket_names() == [bucket.name for bucket in BUCKETS]
        for bucket in BUCKETS:
            assert all_rows(file, bucket) == expected[bucket]
            assert file.last(bucket.name) == (expected[bucket] or [None])[-1]
        assert list(file.rows(b"nosuch")) == []
        assert file.check() == []
        assert file.size_bytes % PAGE_BYTES == 0
        assert file.size_bytes >= sum(len(value) for _, value in expected[KEY])


def test_a_range_begins_where_it_should(sample: Path) -> None:
    expected = expected_of(sample)[KEY]
    with LmdbFile.open(sample) as file:
        for place in (0, 1, 17, 4_000, len(expected) - 1):
            start = expected[place][0]
            assert next(file.rows(b"key", start))[0] == expected[place]
            assert file.get(b"key", start) == expected[place][1]
            assert (
                next(file.rows(b"key", start[:-1] + b"\xff"), [])[:1]
                == (expected[place + 1 : place + 2])
            )
        assert file.get(b"key", revision_key(2, 0)) is None
        assert file.get(b"authUsers", b"n" * 700) == b"2"
        assert all_rows(file, AUTH_USERS, b"b") == [(b"n" * 700, b"2"), (b"z", b"3")]


def test_lists_of_rows_are_bounded(sample: Path) -> None:
    with LmdbFile.open(sample) as file:
        for rows in file.rows(b"key"):
            assert sum(len(value) for _, value in rows) < 2 << 20


def test_reading_writes_nothing(sample: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy"
    path.write_bytes(sample.read_bytes())
    path.chmod(0o400)
    before = path.stat()
    with LmdbFile.open(path) as file:
        assert len(all_rows(file, KEY)) > 1000
        assert file.check() == []
    assert os.listdir(tmp_path) == ["copy"]
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.read_bytes() == sample.read_bytes()


def test_a_new_database_has_empty_buckets(tmp_path: Path) -> None:
    write(tmp_path / "db", {})
    with LmdbFile.open(tmp_path / "db") as file:
        assert [all_rows(file, bucket) for bucket in BUCKETS] == [[] for _ in BUCKETS]
        assert file.last(b"key") is None
        assert file.check() == []


@settings(max_examples=30)
@given(
    rows=st.dictionaries(
        st.one_of(st.binary(min_size=1, max_size=20), st.binary(min_size=505, max_size=600)),
        st.binary(max_size=3000),
        max_size=60,
    ),
    start=st.one_of(st.just(b""), st.binary(min_size=500, max_size=600), st.binary(max_size=5)),
)
def test_keys_of_every_length_stand_in_their_order(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[bytes, bytes], start: bytes
) -> None:
    path = tmp_path_factory.mktemp("rows") / "db"
    write(path, {AUTH_USERS: list(rows.items()), MEMBERS: [(b"x", b"y")]})
    expected = sorted(rows.items())
    with LmdbFile.open(path) as file:
        assert all_rows(file, AUTH_USERS) == expected
        assert all_rows(file, AUTH_USERS, start) == [row for row in expected if row[0] >= start]
        assert file.last(b"authUsers") == (expected or [None])[-1]
        for key in (*rows, start):
            assert file.get(b"authUsers", key) == rows.get(key)


# A member goes on writing.


@pytest.mark.parametrize("rounds", [1, 30])
def test_a_live_reader_keeps_seeing_its_transaction(tmp_path: Path, rounds: int) -> None:
    path, rng = tmp_path / "db", Random(1)
    with Backend.open(path, fsync=False) as backend:
        for revision in range(2, 2_000):
            backend.put(KEY, *key_value(revision, rng.randbytes(500)))
        backend.commit()
        rows = backend.range(KEY, b"", None)
        expected = f"{len(rows)} {sha256(repr(rows).encode()).hexdigest()}\n"
        with subprocess.Popen(
            [sys.executable, "-c", LIVE_READER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ) as reader:
            assert reader.stdin is not None
            assert reader.stdout is not None
            assert reader.stdout.readline() == "ready\n"
            for number in range(rounds):
                for revision in range(2, 2_000):
                    backend.put(KEY, *key_value(revision, b"%d" % number * 100))
                backend.commit()
            reader.stdin.write("go\n")
            reader.stdin.flush()
            assert reader.stdout.readline() == expected


# Damage.


def drain(path: Path) -> int:
    """Read everything; the number of rows."""
    with open_database(path) as file:
        file.check()
        return sum(len(rows) for name in file.bucket_names() for rows in file.rows(name))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of some fifty pages with everything in it."""
    path, rng = tmp_path_factory.mktemp("small") / "db", Random(4)
    with Backend.open(path, fsync=False) as backend:
        for revision in range(2, 300):
            size = rng.choice((0, 30, 200, 900)) if revision % 40 else 9_000
            backend.put(KEY, *key_value(revision, rng.randbytes(size)))
        backend.put(AUTH_USERS, b"n" * 700, b"2")
        backend.put(META, CONSISTENT_INDEX, encode_u64(77))
    return path


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "db"


def refusal(path: Path) -> str:
    """The text of the error that reading `path` gives; empty: all of it could be read."""
    try:
        drain(path)
    except (ConfigError, CorruptionError) as error:
        return str(error)
    return ""


def test_a_truncated_file_is_refused_at_every_length(small: Path, damaged: Path) -> None:
    data, whole = small.read_bytes(), drain(small)
    refused_count = 0
    for length in [0, 1, 100, 4095, 4097, *range(4096, len(data), 1024)]:
        damaged.write_bytes(data[:length])
        text = refusal(damaged)
        refused_count += bool(text)
        # What is cut off may have been free pages: then nothing is missing.
        assert str(damaged) in text or drain(damaged) == whole
    assert refused_count > len(data) // 1024 // 2


@settings(max_examples=400)
@given(
    changes=st.lists(
        st.tuples(
            st.integers(0, 1 << 20),
            # The head and the pointers of a page are where a change does most.
            st.one_of(st.integers(0, 47), st.integers(0, 200), st.integers(0, PAGE_BYTES - 2)),
            st.binary(min_size=2, max_size=2),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_any_change_of_bytes_is_an_error_or_harmless(
    small: Path, damaged: Path, changes: list[tuple[int, int, bytes]]
) -> None:
    """It must not crash: it reads lengths and page numbers that are wrong."""
    content = bytearray(small.read_bytes())
    pages_count = len(content) // PAGE_BYTES
    for page, offset, data in changes:
        place = page % pages_count * PAGE_BYTES + offset
        content[place : place + 2] = data
    damaged.write_bytes(content)
    text = refusal(damaged)
    assert not text or str(damaged) in text


def test_a_page_that_is_its_own_child_is_no_endless_loop(sample: Path, damaged: Path) -> None:
    content, texts = sample.read_bytes(), []
    for page in range(2, len(content) // PAGE_BYTES):
        base = page * PAGE_BYTES
        if content[base + 10] == 1:  # a branch page, in use or not
            pointer = base + int.from_bytes(content[base + 16 : base + 18], "little")
            cyclic = content[:pointer] + page.to_bytes(4, "little") + content[pointer + 4 :]
            damaged.write_bytes(cyclic)
            texts.append(refusal(damaged))
    assert any("says it is page" in text for text in texts)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"\x1f\x8b" + bytes(100), "gzip"),
        (bytes(9000), "nothing but zeros"),
        (b"age-encryption.org/v1\n", "encrypted"),
        (b"hello, world", "its first bytes are 68656c6c6f2c"),
    ],
)
def test_a_foreign_file_is_refused_by_what_it_looks_like(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "thing"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        open_database(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        open_database(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="member/snap/db"):
        open_database(tmp_path)


@pytest.mark.parametrize(
    ("bucket", "row", "words"),
    [
        (KEY, (b"short", b""), "73686f7274 is not a revision"),
        (KEY, (revision_key(5, 0), b"\xff\xff"), "row 000000000000000"),
        (KEY, (revision_key(5, 0), key_value(6, b"")[1]), "holds a value of revision 6"),
        (META, (CONSISTENT_INDEX, b"1"), "consistent_index has 1 bytes, not 8"),
        (LEASE, (b"1", b""), "bucket lease: key 31"),
    ],
)
def test_rows_that_do_not_belong_into_their_bucket_are_found(
    tmp_path: Path, bucket: Bucket, row: Row, words: str
) -> None:
    write(tmp_path / "db", {bucket: [row]})
    with LmdbFile.open(tmp_path / "db") as file:
        (problem,) = file.check()
    assert words in problem
