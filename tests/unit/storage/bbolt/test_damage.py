"""Every kind of damage is refused with an error that says where it is and what."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kvorum.errors import CorruptionError
from kvorum.storage.bbolt import BoltFile, is_bolt
from kvorum.storage.bbolt.format import BRANCH, LEAF, META, META_BYTES
from tests.unit.storage.bbolt.forge import (
    SMALL_PAGE,
    add_freelist,
    add_pages,
    branch_element_at,
    bucket_root,
    build,
    change_metas,
    meta_of,
    pages_of_type,
    rows_of,
    set_header,
    set_leaf_element,
    set_number,
)

Damage = Callable[[bytearray], None]


def sound() -> bytearray:
    """A tree of three levels in `key`; leaves come first in the file, from page 2 on."""
    return build({b"key": rows_of(700, 60), b"lease": rows_of(20, 300), b"meta": rows_of(2, 8)})


LEAF_ID = 3
BRANCH_ID = pages_of_type(sound(), BRANCH)[0]
KEY_ROOT = bucket_root(sound(), b"key")
ROOT = meta_of(sound()).root


def read_everything(path: Path) -> None:
    with BoltFile.open(path) as file:
        for name in file.bucket_names():
            for _ in file.rows(name):
                pass


DAMAGES: dict[str, tuple[Damage, str]] = {
    "a page with another's id": (
        lambda data: set_header(data, LEAF_ID, "id", 4),
        "page 3: Page expected to be: 3, but self identifies as 4",
    ),
    "a page of an unknown type": (
        lambda data: set_header(data, LEAF_ID, "flags", 0x20),
        "page 3: invalid type: unknown<20>",
    ),
    "a page of two types": (
        lambda data: set_header(data, LEAF_ID, "flags", LEAF | BRANCH),
        "page 3: invalid type: branch",
    ),
    "a meta in a tree": (
        lambda data: set_header(data, LEAF_ID, "flags", META),
        "page 3: invalid type: meta",
    ),
    "more elements than fit": (
        lambda data: set_header(data, LEAF_ID, "count", 0xFFFF),
        "page 3: 65535 elements do not fit into 1024 bytes",
    ),
    "a leaf that goes on behind the file": (
        lambda data: set_header(data, LEAF_ID, "overflow", 0xFFFFFFFF),
        r"page 3: 4294967295 overflow pages are out of bounds: \d+",
    ),
    "a leaf that covers its neighbour": (
        lambda data: set_header(data, LEAF_ID, "overflow", 1),
        "page 4: multiple references",
    ),
    "a key behind its page": (
        lambda data: set_leaf_element(data, LEAF_ID, 0, "pos", 5000),
        r"page 3: element 0 of \d+ lies outside of its place",
    ),
    "a key that is too long": (
        lambda data: set_leaf_element(data, LEAF_ID, 1, "key_size", 0xFFFFFFFF),
        "page 3: element 1 of",
    ),
    "a value that is too long": (
        lambda data: set_leaf_element(data, LEAF_ID, 2, "value_size", 1000),
        "page 3: element 2 of",
    ),
    "elements that overlap": (
        lambda data: set_leaf_element(data, LEAF_ID, 0, "value_size", 61),
        "page 3: element 1 of",
    ),
    "an empty key": (
        lambda data: set_leaf_element(data, LEAF_ID, 0, "key_size", 0),
        r"page 3: key\[0\] on leaf page\(3\) is empty",
    ),
    "a bucket inside a bucket": (
        lambda data: set_leaf_element(data, LEAF_ID, 0, "flags", 1),
        r"page 3: element 0 is a bucket inside a bucket; etcd has none \(in bucket key\)",
    ),
    "unknown flags of an element": (
        lambda data: set_leaf_element(data, LEAF_ID, 0, "flags", 8),
        "page 3: element 0 has unknown flags 0x8",
    ),
    "a value among the buckets": (
        lambda data: set_leaf_element(data, ROOT, 0, "flags", 0),
        "element 0 of the root bucket is a value and no bucket",
    ),
    "a bucket without a header": (
        lambda data: set_leaf_element(data, ROOT, 0, "value_size", 8),
        "bucket b'key' has a header of 8 bytes",
    ),
    "an inline bucket that is no page": (
        lambda data: set_number(data, data.rfind(b"meta") + 4 + 16 + 8, 7, 2),
        "an inline bucket is no leaf: 0, 0x7, 0",
    ),
    "an inline bucket with too many elements": (
        lambda data: set_number(data, data.rfind(b"meta") + 4 + 16 + 10, 999, 2),
        "999 elements do not fit into an inline bucket",
    ),
    "a child that is not there": (
        lambda data: set_number(data, branch_element_at(BRANCH_ID, 1) + 8, 99999, 8),
        r"page 99999: out of bounds: \d+",
    ),
    "a child that is a meta page": (
        lambda data: set_number(data, branch_element_at(BRANCH_ID, 1) + 8, 1, 8),
        "page 1: out of bounds",
    ),
    "a child met twice": (
        lambda data: set_number(data, branch_element_at(BRANCH_ID, 1) + 8, 2, 8),
        "page 2: multiple references",
    ),
    "a circle": (
        lambda data: set_number(data, branch_element_at(BRANCH_ID, 0) + 8, KEY_ROOT, 8),
        f"page {KEY_ROOT}: multiple references",
    ),
    "a branch without children": (
        lambda data: set_header(data, BRANCH_ID, "count", 0),
        f"page {BRANCH_ID}: branch without children",
    ),
    "a branch key behind its page": (
        lambda data: set_number(data, branch_element_at(BRANCH_ID, 0), 1025, 4),
        f"page {BRANCH_ID}: element 0 of",
    ),
    "a bucket that ends within its page": (
        lambda data: set_leaf_element(data, ROOT, 2, "value_size", 20),
        "an inline bucket is cut off",
    ),
    "no root bucket": (
        lambda data: change_metas(data, root=10**6),
        "the root bucket is at page 1000000, but of",
    ),
    "pages behind the end of the file": (
        lambda data: change_metas(data, high_water=meta_of(data).high_water + 1),
        r"the file is truncated: it has \d+ bytes and should have \d+; take a complete copy",
    ),
    "absurdly many pages": (
        lambda data: change_metas(data, high_water=(1 << 64) - 1),
        "the file is truncated",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_refused_and_named(tmp_path: Path, name: str) -> None:
    damage, said = DAMAGES[name]
    data = sound()
    path = tmp_path / "db"
    path.write_bytes(data)
    read_everything(path)
    damage(data)
    path.write_bytes(data)
    with pytest.raises(CorruptionError, match=said) as caught:
        read_everything(path)
    assert str(path) in str(caught.value)
    assert caught.value.advice


@pytest.mark.parametrize("name", DAMAGES)
def test_the_check_finds_what_reading_would_meet(tmp_path: Path, name: str) -> None:
    data = sound()
    DAMAGES[name][0](data)
    path = tmp_path / "db"
    path.write_bytes(data)
    try:
        file = BoltFile.open(path)
    except CorruptionError:
        return  # nothing to check where there is no root bucket
    with file:
        assert file.check()


def test_metas_with_different_page_sizes_are_refused(tmp_path: Path) -> None:
    data = sound()
    meta = replace(meta_of(data, 1), page_size=4096)
    data[SMALL_PAGE + 16 : SMALL_PAGE + 16 + META_BYTES] = meta.pack()
    path = tmp_path / "db"
    path.write_bytes(data)
    with pytest.raises(CorruptionError, match="its metas have page sizes 1024 and 4096"):
        BoltFile.open(path)


def test_branch_keys_out_of_order_are_refused(tmp_path: Path) -> None:
    data = sound()
    swap_keys(data, BRANCH_ID)
    path = tmp_path / "db"
    path.write_bytes(data)
    with pytest.raises(CorruptionError, match=rf"key\[1\].* on branch page\({BRANCH_ID}\) needs"):
        read_everything(path)


def test_the_last_row_of_a_damaged_tree_is_an_error(tmp_path: Path) -> None:
    data = sound()
    last_leaf = max(page for page in pages_of_type(data, LEAF) if page < KEY_ROOT)
    set_header(data, last_leaf, "flags", 0)
    path = tmp_path / "db"
    path.write_bytes(data)
    with BoltFile.open(path) as file, pytest.raises(CorruptionError, match="invalid type"):
        file.last(b"key")


def test_an_empty_leaf_is_passed_over_as_bbolt_does(tmp_path: Path) -> None:
    data = sound()
    last_leaf = max(page for page in pages_of_type(data, LEAF) if page < KEY_ROOT)
    for page_id in (LEAF_ID, last_leaf):
        set_header(data, page_id, "count", 0)
    path = tmp_path / "db"
    path.write_bytes(data)
    with BoltFile.open(path) as file:
        rows = [row for batch in file.rows(b"key") for row in batch]
        assert 600 < len(rows) < 700
        assert file.last(b"key") == rows[-1]


def swap_keys(data: bytearray, page_id: int) -> None:
    """Exchange the first two keys, which have the same length."""
    base = page_id * SMALL_PAGE
    first = data.find(b"k0000", base)
    second = data.find(b"k0000", first + 9)
    data[first : first + 9], data[second : second + 9] = (
        bytes(data[second : second + 9]),
        bytes(data[first : first + 9]),
    )


def test_keys_out_of_order_are_refused(tmp_path: Path) -> None:
    data = sound()
    swap_keys(data, 2)
    path = tmp_path / "db"
    path.write_bytes(data)
    said = r"page 2: key\[1\]=\(hex\)6b3030303030303030 on leaf page\(2\) needs to be > \(found <\)"
    with pytest.raises(CorruptionError, match=said):
        read_everything(path)
    with BoltFile.open(path) as file:
        assert len(file.check()) == 1


@pytest.mark.parametrize(("pair", "said"), [((1, 2), "needs to be >="), ((0, 1), "needs to be <")])
def test_keys_outside_of_what_their_branch_says_are_refused(
    tmp_path: Path, pair: tuple[int, int], said: str
) -> None:
    """Two children of one branch in each other's place: each is sound in itself."""
    data = sound()
    places = [branch_element_at(BRANCH_ID, index) + 8 for index in pair]
    ids = [int.from_bytes(data[place : place + 8], "little") for place in places]
    for place, page_id in zip(places, reversed(ids), strict=True):
        set_number(data, place, page_id, 8)
    path = tmp_path / "db"
    path.write_bytes(data)
    with pytest.raises(CorruptionError, match=r"needs to be (<|>=)"):
        read_everything(path)
    with BoltFile.open(path) as file:
        assert any(said in line for line in file.check())


def test_a_long_chain_of_branches_is_refused(tmp_path: Path) -> None:
    data = build({b"key": rows_of(700, 60)})
    branch = bucket_root(data, b"key")
    page = bytes(data[branch * SMALL_PAGE : (branch + 1) * SMALL_PAGE])
    start = add_pages(data, 200)
    for page_id in range(start, start + 200):
        data[page_id * SMALL_PAGE : (page_id + 1) * SMALL_PAGE] = page
        set_header(data, page_id, "id", page_id)
        set_header(data, page_id, "count", 1)
        set_number(data, branch_element_at(page_id, 0) + 8, page_id + 1, 8)
    set_number(data, branch_element_at(branch, 0) + 8, start, 8)
    path = tmp_path / "db"
    path.write_bytes(data)
    with BoltFile.open(path) as file:
        with pytest.raises(CorruptionError, match="more than 64 levels of branches"):
            list(file.rows(b"key"))
        with pytest.raises(CorruptionError, match="more than 64 levels of branches"):
            file.get(b"key", b"k00000000")
        assert any("levels of branches" in line for line in file.check())


def test_a_circle_of_branches_does_not_hang(tmp_path: Path) -> None:
    data = build({b"key": rows_of(700, 60)})
    branch = bucket_root(data, b"key")
    for index in range(2):
        set_number(data, branch_element_at(branch, index) + 8, branch, 8)
    path = tmp_path / "db"
    path.write_bytes(data)
    with BoltFile.open(path) as file:
        for read in (
            lambda: list(file.rows(b"key")),
            lambda: file.get(b"key", b"k00000000"),
        ):
            with pytest.raises(CorruptionError):
                read()
        assert f"page {branch}: multiple references" in file.check()


@pytest.mark.parametrize("length", [0, 10, 79, 80, 1024, 1100, 2048, 5000])
def test_a_truncated_file_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "db"
    path.write_bytes(sound()[:length])
    with pytest.raises(CorruptionError, match=r"truncated|it is no bbolt file, or it is damaged"):
        BoltFile.open(path)


def test_a_file_that_becomes_shorter_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    """Not a SIGBUS, as it would be if the file were mapped."""
    path = tmp_path / "db"
    path.write_bytes(build({b"key": rows_of(50_000, 100)}, 4096))
    with BoltFile.open(path) as file:
        batches = file.rows(b"key")
        next(batches)
        os.truncate(path, 4 * 4096)
        with pytest.raises(CorruptionError, match="the file has become shorter"):
            list(batches)
        assert any("become shorter" in line for line in file.check())


def test_two_damaged_metas_are_told_apart(tmp_path: Path) -> None:
    data = sound()
    data[16 + 40] ^= 1
    set_number(data, SMALL_PAGE + 16 + 4, 3, 4)
    path = tmp_path / "db"
    path.write_bytes(data)
    assert is_bolt(path)
    with pytest.raises(CorruptionError, match=r"meta page 0: its checksum is 0x.*meta page 1"):
        BoltFile.open(path)


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda data, free: add_freelist(data, [free]), "page {next}: unreachable unfreed"),
        (
            lambda data, free: add_freelist(data, [free, free, free + 1]),
            "page {free}: already freed",
        ),
        (
            lambda data, free: add_freelist(data, [3, free, free + 1], many=True),
            "page 3: reachable freed",
        ),
        (lambda data, free: add_freelist(data, [free, free + 1, 10**9]), "page 1000000000: out of"),
        (
            lambda data, free: set_number(
                data, add_freelist(data, [free, free + 1], many=True) * SMALL_PAGE + 16, 10**9, 8
            ),
            "1000000000 free pages do not fit into 1024 bytes",
        ),
        (
            lambda data, free: set_header(data, add_freelist(data, [free]), "flags", LEAF),
            "invalid type: leaf",
        ),
        (
            lambda data, free: set_header(data, add_freelist(data, [free]), "overflow", 7),
            "out of bounds",
        ),
        (lambda data, free: change_metas(data, freelist=10**6), "page 1000000: out of bounds"),
    ],
)
def test_a_damaged_list_of_free_pages_is_found_and_does_not_matter_for_reading(
    tmp_path: Path, damage: Callable[[bytearray, int], None], line: str
) -> None:
    data = sound()
    free = add_pages(data, 2)
    damage(data, free)
    path = tmp_path / "db"
    path.write_bytes(data)
    read_everything(path)
    with BoltFile.open(path) as file:
        wanted = line.format(free=free, next=free + 1)
        assert any(wanted in problem for problem in file.check())
