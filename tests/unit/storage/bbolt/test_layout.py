"""What is written is read as it was, whatever the sizes."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvorum.storage.bbolt import BoltFile, BoltLayout
from kvorum.storage.bbolt.format import BRANCH, LEAF, NO_FREELIST, PAGE_HEADER
from kvorum.storage.bbolt.layout import CHUNK_BYTES
from tests.unit.storage.bbolt.forge import Row, build, meta_of, pages_of_type, rows_of

# Sizes around what fills a page, half of one, a quarter (where buckets stop being inline).
_BORDERS = [
    max(0, size // share - overhead + around)
    for size in (1024, 4096)
    for share in (1, 2, 4)
    for overhead in (0, 16, 32, 48)
    for around in (-1, 0, 1)
]
_VALUE_SIZES = st.one_of(st.integers(0, 60), st.sampled_from(_BORDERS), st.integers(0, 20_000))
_KEYS = st.one_of(
    st.binary(min_size=1, max_size=24),
    st.builds(lambda byte, size: bytes([byte]) * size, st.integers(0, 255), st.integers(1, 3000)),
)


@st.composite
def buckets(draw: st.DrawFn) -> dict[bytes, list[Row]]:
    names = draw(st.sets(st.binary(min_size=1, max_size=12), max_size=6))
    made = {}
    for name in names:
        keys = sorted(draw(st.sets(_KEYS, max_size=40)))
        sizes = draw(st.lists(_VALUE_SIZES, min_size=len(keys), max_size=len(keys)))
        made[name] = [(key, key[:1] * size) for key, size in zip(keys, sizes, strict=True)]
    return made


def read(data: bytes) -> dict[bytes, list[Row]]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "db"
        path.write_bytes(data)
        with BoltFile.open(path) as file:
            assert file.check() == []
            return {
                name: [row for batch in file.rows(name) for row in batch]
                for name in file.bucket_names()
            }


@settings(max_examples=120)
@given(content=buckets(), page_size=st.sampled_from([1024, 4096, 16384]))
def test_what_is_written_is_read(content: dict[bytes, list[Row]], page_size: int) -> None:
    assert read(build(content, page_size)) == content


@settings(max_examples=15)
@given(
    count=st.integers(1, 6000), size=st.integers(0, 300), piece=st.integers(1, 700),
    page_size=st.sampled_from([1024, 4096]),
)  # fmt: skip
def test_how_rows_are_handed_in_does_not_matter(
    count: int, size: int, piece: int, page_size: int
) -> None:
    rows = rows_of(count, size)

    def in_pieces() -> Iterator[list[Row]]:
        for start in range(0, count, piece):
            yield rows[start : start + piece]
            yield []

    made = b"".join(BoltLayout([(b"key", in_pieces)], page_size=page_size).chunks())
    assert made == build({b"key": rows}, page_size)
    assert read(made) == {b"key": rows}


@pytest.mark.parametrize("count", [*range(1, 40), 300, 310, 311, 312, 3000])
def test_no_branch_has_a_single_child(count: int) -> None:
    """Long keys: few children to a branch, so that there are many levels."""
    rows = [(b"%05d" % n + b"k" * 200, b"v" * 300) for n in range(count)]
    data = build({b"key": rows})
    for page_id in pages_of_type(data, BRANCH):
        _, _, children, _ = PAGE_HEADER.unpack_from(data, page_id * 1024)
        assert children >= 2
    assert read(data) == {b"key": rows}


def test_no_bucket_at_all_is_a_sound_file() -> None:
    assert read(build({}, 4096)) == {}


def test_small_buckets_are_kept_inside_the_root_bucket() -> None:
    # 16 of page header, 16 of element, 1 of key: 223 bytes of value make a quarter of a page.
    for value_size, pages in ((223, 3), (224, 4)):
        assert len(build({b"b": [(b"k", bytes(value_size))]})) == pages * 1024


def test_pages_are_nine_tenths_full() -> None:
    data = build({b"key": rows_of(20_000, 100)}, 4096)
    leaves = pages_of_type(data, LEAF, 4096)
    element_bytes = 16 + 9 + 100
    per_page = {PAGE_HEADER.unpack_from(data, one * 4096)[2] for one in leaves[:-3]}
    assert per_page == {(4096 * 9 // 10 - 16) // element_bytes}


def test_the_metas_are_as_in_a_stream_of_bbolt() -> None:
    data = build({b"key": rows_of(100)}, 4096)
    first, second = meta_of(data, 0), meta_of(data, 1)
    assert first.txid == second.txid + 1
    assert (first.root, first.high_water) == (second.root, second.high_water)
    assert first.high_water * 4096 == len(data)
    assert first.freelist == NO_FREELIST


def test_the_size_is_known_before_the_bytes() -> None:
    layout = BoltLayout([(b"key", lambda: iter([rows_of(5000)]))])
    chunks = list(layout.chunks())
    assert layout.size_bytes == sum(map(len, chunks))
    assert layout.size_bytes % 4096 == 0


def test_the_same_layout_can_be_written_again() -> None:
    layout = BoltLayout([(b"key", lambda: iter([rows_of(5000)]))])
    assert list(layout.chunks()) == list(layout.chunks())


def test_memory_does_not_grow_with_the_file() -> None:
    """20 MB pass through while some MB are held."""
    value = bytes(5120)

    def rows() -> Iterator[list[Row]]:
        for start in range(0, 64_000, 500):
            yield [
                (struct.pack(">Q", n) + b"_" + bytes(8), value) for n in range(start, start + 500)
            ]

    tracemalloc.start()
    try:
        size = 0
        for chunk in BoltLayout([(b"key", rows)]).chunks():
            assert len(chunk) < 3 * CHUNK_BYTES
            size += len(chunk)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 4_000 * 5120
    assert peak < 8 * CHUNK_BYTES


def test_large_values_have_pages_of_their_own() -> None:
    rows = [(b"%d" % n, bytes([n]) * (3 << 20)) for n in range(5)]
    data = build({b"key": rows}, 4096)
    assert read(data) == {b"key": rows}
    assert len(data) < 5 * (3 << 20) + 20 * 4096
