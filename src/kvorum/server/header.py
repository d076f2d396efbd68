"""ResponseHeader, encoded: on every response, so built from parts that do not change.

Source: shared facts, client.md section 2 (ResponseHeader is field 1 of every response).
"""

from __future__ import annotations

from kvorum.proto.wire import delimited, varint


class Headers:
    """Makes the headers of one member. `term` is set when the raft term changes."""

    __slots__ = ("_head", "_tail")

    def __init__(self, cluster_id: int, member_id: int) -> None:
        self._head = b"\x08%b\x10%b" % (varint(cluster_id), varint(member_id))
        self._tail = b""

    def set_term(self, term: int) -> None:
        self._tail = b"\x20" + varint(term) if term else b""

    def at(self, revision: int) -> bytes:
        """Field 1 of a response: tag, length, header."""
        body = b"%b\x18%b%b" % (self._head, varint(revision), self._tail)
        return b"\x0a%c%b" % (len(body), body)

    def without_revision(self) -> bytes:
        """The header of answers that have to do with no revision (the member list)."""
        return delimited(b"\x0a", self._head + self._tail)
