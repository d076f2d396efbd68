"""Log files that are begun anew when they are full, as `--enable-log-rotation` asks for it.

    rotated = RotatedFile(path, parse_rotation('{"maxsize": 10, "compress": true}'))

A full file is renamed: `etcd.log` becomes `etcd-2026-11-21T10-18-00.123.log` (time of the renaming)
and, with `compress`, then `etcd-2026-11-21T10-18-00.123.log.gz`. Names and sizes are those of the
library that etcd uses, so that what operators have for its files works for ours. Old files are
compressed and removed on a thread of their own, a log line never waits for that.

Source: shared facts, flags.md section 1; refusals and files checked against 3.5.1.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import shutil
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from kvorum.errors import ConfigError
from kvorum.rpc.gateway.syntax import whole_fault

LOG_ROTATION: Final = (
    '{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}'
)
"""Default of `--log-rotation-config-json`: a new file after 100 MB, old ones are kept."""

MIB: Final = 1 << 20
_SIZE_MIB_DEFAULT: Final = 100
_INT64_MAX: Final = 2**63 - 1
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}", re.ASCII)
_GZIP: Final = ".gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """When a new file is begun, and what becomes of old ones."""

    size_bytes_max: int = _SIZE_MIB_DEFAULT * MIB
    age_days_max: int = 0
    """Older files are removed; 0: none is."""
    backups_max: int = 0
    """How many old files stay; 0: all."""
    local_time: bool = False
    """In the names of old files; else UTC."""
    compress: bool = False


def parse_rotation(text: str) -> Rotation:
    """Read `--log-rotation-config-json`. Keys match in any case; unknown ones are left alone.

    Raises:
        ConfigError: it is not JSON, or a value has the wrong type or is negative.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(
            f"improperly formatted log rotation config: {whole_fault(text)}"
        ) from None
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise _wrong_type(document, "value of type embed.logRotationConfig")
    values = {str(key).lower(): value for key, value in document.items() if value is not None}
    size_mib = _count(values, "maxsize")
    return Rotation(
        size_bytes_max=(size_mib or _SIZE_MIB_DEFAULT) * MIB,
        age_days_max=_count(values, "maxage"),
        backups_max=_count(values, "maxbackups"),
        local_time=_switch(values, "localtime"),
        compress=_switch(values, "compress"),
    )


def _count(values: dict[str, Any], name: str) -> int:
    value = values.get(name, 0)
    if type(value) is not int or not -_INT64_MAX <= value <= _INT64_MAX:
        raise _wrong_type(value, f"struct field logRotationConfig.{name} of type int")
    if value < 0:
        raise ConfigError(f"invalid log rotation config: {name} must not be negative")
    return value


def _switch(values: dict[str, Any], name: str) -> bool:
    value = values.get(name, False)
    if type(value) is not bool:
        raise _wrong_type(value, f"struct field logRotationConfig.{name} of type bool")
    return value


def _wrong_type(value: Any, where: str) -> ConfigError:
    """In the words of Go's decoder, which names the value of a number that does not fit."""
    if isinstance(value, bool):
        shown = "bool"
    elif isinstance(value, int | float):
        shown = f"number {value}" if where.endswith("int") else "number"
    elif isinstance(value, list):
        shown = "array"
    else:
        shown = "object" if isinstance(value, dict) else "string"
    return ConfigError(
        f"invalid log rotation config: json: cannot unmarshal {shown} into Go {where}"
    )


class RotatedFile:
    """A log file. Its old files are seen to on a thread of its own.

    Raises (when made, and by `write`):
        OSError: the file cannot be opened or written.
    """

    def __init__(self, path: str, rotation: Rotation) -> None:
        if not path:
            raise FileNotFoundError(2, "No such file or directory")
        self._path = Path(path)
        self._rotation = rotation
        self._lock = threading.Lock()
        self._tidying: threading.Thread | None = None
        self._file = self._path.open("ab", buffering=0)
        self._size_bytes = self._file.tell()
        self._tidy()

    def write(self, line: str) -> None:
        """Write a line; into a new file, where it does not fit into this one."""
        data = line.encode()
        with self._lock:  # libraries log from threads of their own
            if self._size_bytes and self._size_bytes + len(data) > self._rotation.size_bytes_max:
                with contextlib.suppress(OSError):  # then the file goes on growing
                    self._rotate()
            self._size_bytes += len(data)
            self._file.write(data)

    def close(self) -> None:
        """Close the file, and wait for what is being done to old ones."""
        self._file.close()
        if self._tidying is not None:
            self._tidying.join()

    def _rotate(self) -> None:
        now = datetime.now(UTC)
        if self._rotation.local_time:
            now = now.astimezone()
        name = self._old_name(now)
        while self._is_taken(name):  # two in one millisecond
            now += timedelta(milliseconds=1)
            name = self._old_name(now)
        mode = self._path.stat().st_mode & 0o777
        self._path.rename(self._path.with_name(name))
        begun = self._path.open("ab", buffering=0)
        self._file.close()
        self._file, self._size_bytes = begun, 0
        self._path.chmod(mode)
        self._tidy()

    def _is_taken(self, name: str) -> bool:
        """In this order: a file goes only when its compressed form is there."""
        return any(self._path.with_name(one).exists() for one in (name, name + _GZIP))

    def _old_name(self, time: datetime) -> str:
        stamp = f"{time:%Y-%m-%dT%H-%M-%S}.{time.microsecond // 1000:03d}"
        return f"{self._path.stem}-{stamp}{self._path.suffix}"

    def _tidy(self) -> None:
        rotation = self._rotation
        if not (rotation.age_days_max or rotation.backups_max or rotation.compress):
            return
        if self._tidying is not None:
            self._tidying.join(0)
            if self._tidying.is_alive():
                return  # it is at work; what it does not see is seen to next time
        self._tidying = threading.Thread(target=self._tidy_now, name="kvorum-log", daemon=True)
        self._tidying.start()

    def _tidy_now(self) -> None:
        rotation = self._rotation
        kept = self._old_files()
        doomed: list[Path] = []
        if rotation.backups_max:
            stamps = sorted({stamp for stamp, _ in kept}, reverse=True)[: rotation.backups_max]
            doomed += [path for stamp, path in kept if stamp not in stamps]
        if rotation.age_days_max:
            oldest = datetime.now(UTC) - timedelta(days=rotation.age_days_max)
            doomed += [path for stamp, path in kept if self._time_of(stamp) < oldest]
        for path in doomed:
            path.unlink(missing_ok=True)
        if rotation.compress:
            for _, path in kept:
                if path not in doomed and path.suffix != _GZIP:
                    with contextlib.suppress(OSError):  # a full disk: it stays as it is
                        _compress(path)

    def _old_files(self) -> list[tuple[str, Path]]:
        """Time stamp and path of each."""
        found = []
        head, tail = f"{self._path.stem}-", self._path.suffix
        for path in self._path.parent.iterdir():
            name = path.name.removesuffix(_GZIP)
            if name.startswith(head) and name.endswith(tail):
                stamp = name[len(head) : len(name) - len(tail)]
                if _TIME.fullmatch(stamp):
                    found.append((stamp, path))
        return found

    def _time_of(self, stamp: str) -> datetime:
        try:
            time = datetime.strptime(stamp, "%Y-%m-%dT%H-%M-%S.%f")
        except ValueError:
            return datetime.now(UTC)  # not a time, so not one of ours: it stays
        return time.astimezone() if self._rotation.local_time else time.replace(tzinfo=UTC)


def _compress(path: Path) -> None:
    """Put `path.gz` in the place of a file; a crash leaves one of the two whole."""
    target = path.with_name(path.name + _GZIP)
    building = path.with_name(path.name + ".tmp")
    with path.open("rb") as source, building.open("wb") as packed:
        building.chmod(path.stat().st_mode & 0o777)
        with gzip.GzipFile(filename=path.name, mode="wb", fileobj=packed) as packer:
            shutil.copyfileobj(source, packer)
    building.rename(target)
    path.unlink(missing_ok=True)
