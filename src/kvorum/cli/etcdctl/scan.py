"""Reading the comparisons of `txn`: `mod("key") > "0"`.

Source: Go 1.16 fmt.Sscanf with the format `%q) %s %q`, which is how etcdctl reads what follows the
opening parenthesis; and the errors it prints about that.
"""

from __future__ import annotations

import re

from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.cli.shared.gonum import GoParseError, parse_int
from kvorum.cli.shared.goquote import UnquoteError, quote, to_text, unquote
from kvorum.client.txn import (
    RELATIONS,
    Relation,
    compare_create,
    compare_lease,
    compare_mod,
    compare_value,
    compare_version,
)
from kvorum.proto.rpc_pb2 import Compare

_SPACES = re.compile(rb"[\t\n\v\f\r ]*")
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BACK_QUOTED = re.compile(rb"`([^`]*)`")
_WORD = re.compile(rb"[^\t\n\v\f\r ]+")


def parse_comparison(line: bytes) -> Compare:
    """The comparison that a line stands for.

    Raises:
        CommandError: it stands for none.
    """
    target, parenthesis, rest = line.partition(b"(")
    text = to_text(line)
    if not parenthesis:
        raise _malformed(text)
    scanner = _Scanner(rest)
    key, operator, value = scanner.comparison()
    if not scanner.complete:
        raise _malformed(
            f"{text}; got {to_text(target)}({quote(key)}) {to_text(operator)} {quote(value)}"
        )
    return _compare(text, to_text(target), key, to_text(operator), value)


def _compare(text: str, target: str, key: bytes, operator: str, value: bytes) -> Compare:
    if target in {"val", "value"}:
        return compare_value(key, _relation(text, operator), value)
    base = 16 if target == "lease" else 10
    if target not in {"ver", "version", "c", "create", "m", "mod", "lease"}:
        raise _malformed(f"{text} (unknown target {target})")
    try:
        number = parse_int(to_text(value), base)
    except GoParseError:
        raise CommandError(Exit.INVALID_INPUT, f"invalid txn compare request: {text}") from None
    relation = _relation(text, operator)
    match target:
        case "ver" | "version":
            return compare_version(key, relation, number)
        case "c" | "create":
            return compare_create(key, relation, number)
        case "m" | "mod":
            return compare_mod(key, relation, number)
    # Stock 3.5.1 panics at every comparison of a lease. IDs are hexadecimal, as everywhere.
    return compare_lease(key, relation, number)


def _relation(text: str, operator: str) -> Relation:
    if operator not in RELATIONS:
        # Stock 3.5.1 panics.
        raise _malformed(f"{text} (unknown operator {operator})")
    return operator


def _malformed(text: str) -> CommandError:
    return CommandError(Exit.INVALID_INPUT, f"malformed comparison: {text}")


class _Scanner:
    """Reads from the front of a line, until something is not what it should be."""

    __slots__ = ("_line", "_position", "complete")

    def __init__(self, line: bytes) -> None:
        self._line = line
        self._position = 0
        self.complete = False

    def comparison(self) -> tuple[bytes, bytes, bytes]:
        """Key, operator and value; what could not be read is empty."""
        key = self._quoted()
        if key is None:
            return b"", b"", b""
        if not self._literal(b")") or not self._space():
            return key, b"", b""
        operator = self._match(_WORD)
        if operator is None:
            return key, b"", b""
        value = self._quoted() if self._space() else None
        self.complete = value is not None
        return key, operator[0], value or b""

    def _quoted(self) -> bytes | None:
        self._match(_SPACES)
        raw = self._match(_BACK_QUOTED)
        if raw is not None:
            return raw[1]
        literal = self._match(_QUOTED)
        if literal is None:
            return None
        try:
            return unquote(literal[0])
        except UnquoteError:
            return None

    def _literal(self, text: bytes) -> bool:
        found = self._line.startswith(text, self._position)
        if found:
            self._position += len(text)
        return found

    def _space(self) -> bool:
        """At least one space."""
        spaces = self._match(_SPACES)
        return spaces is not None and bool(spaces[0])

    def _match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        match = pattern.match(self._line, self._position)
        if match is not None:
            self._position = match.end()
        return match
