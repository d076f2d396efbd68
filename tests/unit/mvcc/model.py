"""A store as simple as can be: a list of everything that ever happened, searched from its start.

It is slow and obviously right; the real store has to agree with it in everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from google_crc32c import extend

from kvorum.mvcc.rules import Rules
from kvorum.proto.kv_pb2 import KeyValue


@dataclass(frozen=True)
class Change:
    main: int
    sub: int
    deletes: bool
    kv: KeyValue

    def row(self) -> tuple[bytes, bytes]:
        key = self.main.to_bytes(8, "big") + b"_" + self.sub.to_bytes(8, "big")
        return key + (b"t" if self.deletes else b""), self.kv.SerializeToString()


class Model:
    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.changes: list[Change] = []
        self.revision = 1
        self.compact_revision = -1

    # Writes: `operations` are ("put", key, value, lease) and ("delete", start, end).

    def write(self, operations: Iterable[tuple]) -> None:
        main, before = self.revision + 1, len(self.changes)
        for operation in operations:
            if operation[0] == "put":
                self._put(main, *operation[1:])
            else:
                for key in sorted(self._between(self.alive(main), *operation[1:])):
                    self._add(main, True, KeyValue(key=key))
        if len(self.changes) > before:
            self.revision = main

    def _put(self, main: int, key: bytes, value: bytes, lease: int) -> None:
        old = self.alive(main).get(key)
        kv = KeyValue(key=key, value=value, lease=lease, mod_revision=main)
        kv.create_revision = old.create_revision if old else main
        kv.version = old.version + 1 if old else 1
        self._add(main, False, kv)

    def _add(self, main: int, deletes: bool, kv: KeyValue) -> None:
        sub = sum(change.main == main for change in self.changes)
        self.changes.append(Change(main, sub, deletes, kv))

    @staticmethod
    def _between(keys: Iterable[bytes], start: bytes, end: bytes | None) -> list[bytes]:
        """`end` as in the index: None: one key; b"": no end."""
        if end is None:
            return [key for key in keys if key == start]
        return [key for key in keys if start <= key and (not end or key < end)]

    # Reads.

    def alive(self, revision: int) -> dict[bytes, KeyValue]:
        alive: dict[bytes, KeyValue] = {}
        for change in self.changes:
            if change.main <= revision:
                if change.deletes:
                    alive.pop(change.kv.key, None)
                else:
                    alive[change.kv.key] = change.kv
        return alive

    def range(self, start: bytes, end: bytes | None, revision: int = 0) -> list[KeyValue]:
        alive = self.alive(revision or self.revision)
        return [alive[key] for key in sorted(self._between(alive, start, end))]

    # Compaction and hashes.

    def compact(self, revision: int) -> None:
        """What a compaction removes changes no answer that may still be given."""
        self.compact_revision = revision

    def rows(self) -> list[tuple[bytes, bytes]]:
        """The rows that are left once a compaction is through."""
        newest: dict[bytes, Change] = {}
        for change in self.changes:
            if change.main <= self.compact_revision:
                newest[change.kv.key] = change
        return [
            change.row()
            for change in self.changes
            if change.main > self.compact_revision
            or (newest[change.kv.key] is change and self._keeps(change))
        ]

    def _keeps(self, change: Change) -> bool:
        if not change.deletes:
            return True
        return self.rules.keep_tombstone_at_compact and change.main == self.compact_revision

    def hash_kv(self, revision: int) -> int:
        alive = self.alive(revision)
        crc = extend(0, b"key")
        for change in self.changes:
            main = change.main
            if main > revision:
                continue
            if main <= self.compact_revision:
                if change.deletes and main == self.compact_revision:
                    continue
                if alive and alive.get(change.kv.key) is not change.kv:
                    continue
                if not alive and change.row() not in self.rows():
                    continue
            crc = extend(crc, b"".join(change.row()))
        return int(crc)
