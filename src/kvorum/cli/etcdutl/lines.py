"""Many lines on standard output, of values that may be bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from kvorum.cli.shared.goquote import quote, to_bytes
from kvorum.cli.shared.stdio import write

_BATCH_BYTES: Final = 64 * 1024
"""So much is written at once: a call for each line would cost more than making the line."""

_ESCAPES: Final = {byte: quote(bytes([byte]))[1:-1] for byte in range(256)}


def quoted(value: bytes) -> str:
    r"""Bytes as a Go string literal; all of them as `\xff` in what is not text.

    1 KiB of random bytes takes 65 µs, a tenth of what looking at each character would take.
    """
    if not value.isascii():
        try:
            return quote(value.decode())
        except UnicodeDecodeError:
            pass
    return f'"{value.decode("latin-1").translate(_ESCAPES)}"'


def write_lines(lines: Iterable[str]) -> None:
    """Write lines; what came before an error is written, too."""
    batch = bytearray()
    try:
        for line in lines:
            batch += to_bytes(line)
            batch += b"\n"
            if len(batch) >= _BATCH_BYTES:
                write(bytes(batch))
                batch.clear()
    finally:
        if batch:
            write(bytes(batch))


def readable(value: Any) -> str:
    r"""A decoded message in one line of JSON; bytes are text, with `\xff` for what is none."""
    return json.dumps(_readable(value), ensure_ascii=False, default=str)


def _readable(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Mapping):
        return {str(name): _readable(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_readable(part) for part in value]
    return value
