"""Rotation of log files, on real files."""

from __future__ import annotations

import gzip
import os
import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kvorum.embed.log_rotation import LOG_ROTATION, MIB, RotatedFile, Rotation, parse_rotation
from kvorum.errors import ConfigError

LINE = "x" * 99 + "\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "etcd.log"


def write(path: Path, lines: int, **options: Any) -> None:
    """Lines of 100 bytes; files hold ten of them."""
    rotated = RotatedFile(str(path), Rotation(size_bytes_max=1000, **options))
    for _ in range(lines):
        rotated.write(LINE)
    rotated.close()


def old_files(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir() if entry != path)


def make_old(path: Path, *, days: float = 0.0, ending: str = "", millisecond: int = 0) -> Path:
    time = datetime.now(UTC) - timedelta(days=days)
    old = path.with_name(f"etcd-{time:%Y-%m-%dT%H-%M-%S}.{millisecond:03d}.log{ending}")
    old.write_text("old\n")
    return old


def test_a_full_file_is_renamed_and_a_new_one_begun(path: Path) -> None:
    write(path, 25)
    assert path.read_text() == LINE * 5
    names = old_files(path)
    assert len(names) == 2
    for name in names:
        assert re.fullmatch(r"etcd-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.log", name)
        assert (path.parent / name).read_text() == LINE * 10


def test_no_line_is_lost_or_cut(path: Path) -> None:
    write(path, 1234)
    files = [path, *(path.parent / name for name in old_files(path))]
    assert sum(file.read_text().count(LINE) for file in files) == 1234
    assert sum(file.stat().st_size for file in files) == 123_400


def test_several_threads_may_write(path: Path) -> None:
    rotated = RotatedFile(str(path), Rotation(size_bytes_max=1000))
    threads = [
        threading.Thread(target=lambda: [rotated.write(LINE) for _ in range(200)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rotated.close()
    files = [path, *(path.parent / name for name in old_files(path))]
    assert sum(file.read_text().count(LINE) for file in files) == 800


def test_a_file_that_is_there_is_appended_to(path: Path) -> None:
    write(path, 4)
    write(path, 4)
    assert (path.read_text(), old_files(path)) == (LINE * 8, [])
    write(path, 4)
    assert len(old_files(path)) == 1


def test_a_line_longer_than_a_file_gets_a_file(path: Path) -> None:
    rotated = RotatedFile(str(path), Rotation(size_bytes_max=50))
    rotated.write(LINE)
    rotated.write(LINE)
    rotated.close()
    assert path.read_text() == LINE
    assert len(old_files(path)) == 1


def test_the_rights_of_the_file_stay(path: Path) -> None:
    path.touch()
    path.chmod(0o640)
    write(path, 15)
    assert path.stat().st_mode & 0o777 == 0o640


def test_only_so_many_old_files_stay(path: Path) -> None:
    oldest = make_old(path, days=3)
    packed = make_old(path, days=2, ending=".gz")
    write(path, 25, backups_max=3)
    assert not oldest.exists()
    assert packed.exists()
    assert len(old_files(path)) == 3


def test_files_that_are_too_old_go(path: Path) -> None:
    gone, packed = make_old(path, days=2.5), make_old(path, days=3, ending=".gz")
    kept = make_old(path, days=1.5)
    write(path, 1, age_days_max=2)
    assert old_files(path) == [kept.name]
    assert not gone.exists()
    assert not packed.exists()


def test_files_of_others_are_left_alone(path: Path) -> None:
    others = ["etcd-notes.log", "etcd-2026-11-21T10-18-00.123.txt", "other.log", "etcd.log.1"]
    others += ["etcd-2026-99-99T99-99-99.999.log"]
    for name in others:
        path.with_name(name).write_text("mine")
    make_old(path, days=9)
    write(path, 1, age_days_max=1)
    assert old_files(path) == sorted(others)


def test_old_files_are_compressed(path: Path) -> None:
    write(path, 25, compress=True)
    write(path, 0, compress=True)  # what the first run was too quick for
    names = old_files(path)
    assert len(names) == 2
    for name in names:
        assert name.endswith(".log.gz")
        assert gzip.decompress((path.parent / name).read_bytes()).decode() == LINE * 10


def test_an_old_file_that_is_compressed_already_is_not_overwritten(path: Path) -> None:
    now = datetime.now(UTC)
    for ms in range(2000):
        stamp = f"{now + timedelta(milliseconds=ms):%Y-%m-%dT%H-%M-%S.%f}"[:-3]
        path.with_name(f"{path.stem}-{stamp}.log.gz").touch()
    write(path, 15)
    (name,) = [name for name in old_files(path) if name.endswith(".log")]
    assert f"{name}.gz" not in old_files(path)


def test_names_are_in_local_time_where_that_is_asked_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "XXX-11")
    import time  # noqa: PLC0415

    time.tzset()
    try:
        write(path, 11, local_time=True)
    finally:
        monkeypatch.undo()
        time.tzset()
    (name,) = old_files(path)
    stamp = datetime.strptime(name[5:24], "%Y-%m-%dT%H-%M-%S").replace(tzinfo=UTC)
    assert timedelta(hours=10) < stamp - datetime.now(UTC) < timedelta(hours=12)


def test_a_folder_that_takes_no_new_file_costs_no_line(path: Path) -> None:
    rotated = RotatedFile(str(path), Rotation(size_bytes_max=1000))
    path.unlink()  # then it cannot be renamed
    for _ in range(15):
        rotated.write(LINE)
    size = os.fstat(rotated._file.fileno()).st_size
    rotated.close()
    assert size == 1500


def test_the_default_is_stocks() -> None:
    assert parse_rotation(LOG_ROTATION) == Rotation(size_bytes_max=100 * MIB) == Rotation()


def test_every_key_is_read_whatever_its_case() -> None:
    text = '{"MaxSize":7, "maxAge":3, "maxbackups":2, "localtime":true, "Compress":true, "x":1}'
    assert parse_rotation(text) == Rotation(
        size_bytes_max=7 * MIB, age_days_max=3, backups_max=2, local_time=True, compress=True
    )
    assert parse_rotation('{"maxsize": 0, "compress": null}') == Rotation()
    assert parse_rotation("null") == Rotation()


IMPROPER = "improperly formatted log rotation config: "
INVALID = "invalid log rotation config: json: cannot unmarshal "
FIELD = "into Go struct field logRotationConfig."


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("", f"{IMPROPER}unexpected end of JSON input"),
        ("{", f"{IMPROPER}unexpected end of JSON input"),
        ("x", f"{IMPROPER}invalid character 'x' looking for beginning of value"),
        ("{}x", f"{IMPROPER}invalid character 'x' after top-level value"),
        (
            '{"maxsize":1,}',
            f"{IMPROPER}invalid character '}}' looking for beginning of object key string",
        ),
        ("[]", f"{INVALID}array into Go value of type embed.logRotationConfig"),
        ('{"maxsize":"x"}', f"{INVALID}string {FIELD}maxsize of type int"),
        ('{"maxage":1.5}', f"{INVALID}number 1.5 {FIELD}maxage of type int"),
        ('{"maxbackups":true}', f"{INVALID}bool {FIELD}maxbackups of type int"),
        ('{"compress":1}', f"{INVALID}number {FIELD}compress of type bool"),
        ('{"localtime":{}}', f"{INVALID}object {FIELD}localtime of type bool"),
        (
            '{"maxsize":99999999999999999999}',
            f"{INVALID}number 99999999999999999999 {FIELD}maxsize of type int",
        ),
        ('{"maxsize":-1}', "invalid log rotation config: maxsize must not be negative"),
    ],
)
def test_a_wrong_configuration_is_refused_in_stocks_words(text: str, refusal: str) -> None:
    """All but the last were seen of 3.5.1, which logs nothing at all when the size is negative."""
    with pytest.raises(ConfigError) as caught:
        parse_rotation(text)
    assert str(caught.value) == refusal
