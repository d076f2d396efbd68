"""`etcdutl inspect`: every record and row, for people and for programs."""

from __future__ import annotations

import json
import subprocess
from base64 import b64decode
from pathlib import Path

from kvorum.storage.files import open_database
from tests.servers import server_environment
from tests.unit.cli_etcdutl.runs import COMMAND, etcdutl, output_of
from tests.unit.ops.files import PASSWORD


def json_lines(*words: str | Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in output_of(*words, "-w", "json").splitlines()]


def test_buckets_are_counted(snapshot: Path) -> None:
    with open_database(snapshot) as database:
        expected = {
            name.decode(): sum(len(rows) for rows in database.rows(name))
            for name in database.bucket_names()
        }
    simple = [line.split(", ") for line in output_of("inspect", "buckets", snapshot).splitlines()]
    assert {line[0]: int(line[1]) for line in simple} == expected
    shown = json.loads(output_of("inspect", "buckets", snapshot, "-w", "json"))
    assert {one["name"]: one["rows"] for one in shown} == expected
    assert "| ROWS | KEY BYTES | VALUE BYTES |" in output_of(
        "inspect", "buckets", snapshot, "-w", "table"
    )


def test_rows_are_those_of_the_file(snapshot: Path) -> None:
    with open_database(snapshot) as database:
        rows = [row for part in database.rows(b"key") for row in part]
    shown = json_lines("inspect", "bucket", snapshot, "key")
    assert [(b64decode(str(one["key"])), b64decode(str(one["value"]))) for one in shown] == rows
    assert len(json_lines("inspect", "bucket", snapshot, "key", "--limit=3")) == 3


def test_rows_are_quoted_for_people(snapshot: Path) -> None:
    lines = output_of("inspect", "bucket", snapshot, "cluster").splitlines()
    assert lines == ['key="clusterVersion", value="3.5.0"']
    first = output_of("inspect", "bucket", snapshot, "key", "--limit=1")
    assert first.startswith(r'key="\x00\x00\x00\x00\x00\x00\x00')


def test_rows_are_decoded(snapshot: Path) -> None:
    text = output_of("inspect", "bucket", snapshot, "key", "--decode")
    assert '"key": "key002"' in text
    assert "born again" in text


def test_rows_may_begin_later(snapshot: Path) -> None:
    everything = output_of("inspect", "bucket", snapshot, "meta").splitlines()
    later = output_of("inspect", "bucket", snapshot, "meta", "--start=t").splitlines()
    assert later == [line for line in everything if line >= 'key="t']
    assert 0 < len(later) < len(everything)


def test_no_form_shows_a_password(snapshot: Path) -> None:
    for flags in ([], ["--decode"], ["-w", "json"], ["-w", "json", "--decode"]):
        text = output_of("inspect", "bucket", snapshot, "authUsers", *flags)
        assert "ann" in text or "-w" in flags
        assert PASSWORD.decode() not in text


def test_a_bucket_that_is_not_there_is_told_with_those_that_are(snapshot: Path) -> None:
    done = etcdutl("inspect", "bucket", snapshot, "keys")
    assert done.returncode == 1
    assert "has no bucket 'keys'; it has alarm, auth," in done.stderr


def test_records_of_a_log_are_shown_in_order(data_dir: Path) -> None:
    lines = [line.split() for line in output_of("inspect", "log", data_dir).splitlines()]
    kinds = [line[2] for line in lines]
    assert kinds[0] == "metadata"
    assert {"entry", "state", "snapshot"} <= set(kinds)
    assert [int(line[1]) for line in lines] == sorted(int(line[1]) for line in lines)


def test_records_are_chosen_by_type_and_index(data_dir: Path) -> None:
    entries = json_lines("inspect", "log", data_dir, "--record-type=entry")
    assert [one["index"] for one in entries] == [1]
    assert entries[0]["type"] == "conf_change"
    assert "data" not in entries[0]
    assert json_lines("inspect", "log", data_dir, "--entry-type=put") == []
    chosen = json_lines("inspect", "log", data_dir, "--entry-type=put,conf_change", "--decode")
    assert [one["record"] for one in chosen] == ["entry"]
    assert chosen[0]["data"]
    later = json_lines("inspect", "log", data_dir, "--start-index=2")
    assert "entry" not in {one["record"] for one in later}
    earlier = json_lines("inspect", "log", data_dir, "--record-type=entry", "--end-index=1")
    assert len(earlier) == 1


def test_a_record_type_that_is_none_is_refused(data_dir: Path) -> None:
    done = etcdutl("inspect", "log", data_dir, "--record-type=put")
    assert done.returncode == 1
    assert done.stderr.startswith('Error: unknown record type "put", expected one of: metadata,')


def test_what_stands_before_the_damage_is_shown(data_dir: Path) -> None:
    (log,) = (data_dir / "member" / "wal").glob("*.wal")
    entry = json_lines("inspect", "log", data_dir, "--record-type=entry")[0]
    whole = output_of("inspect", "log", data_dir).splitlines()
    with log.open("r+b") as file:
        file.seek(int(str(entry["offset"])) + 20)
        file.write(b"\xff\xff")
    done = etcdutl("inspect", "log", data_dir)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        line for line in whole if int(line.split()[1]) < int(str(entry["offset"]))
    ]
    assert f"Error: {log} at offset {entry['offset']}: " in done.stderr


def test_a_reader_may_go_away(snapshot: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "inspect", "bucket", str(snapshot), "key"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=server_environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == -13
