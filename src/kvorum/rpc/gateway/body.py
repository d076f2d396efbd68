"""Bodies of requests: what is kept of them, how much that may be, and what they say."""

from __future__ import annotations

from typing import Any, Final

from kvorum.errors import Code, StatusError
from kvorum.rpc.exchange import Exchange
from kvorum.rpc.gateway import protojson
from kvorum.rpc.gateway.decode import JsonError, parse_first, read_message
from kvorum.rpc.gateway.dialect import Dialect

BODY_BYTES_PER_MESSAGE_BYTE: Final = 2
"""Base64 makes four bytes of three; the rest is for names, and for `/` escaped by `\\`."""
HELD_BYTES_MAX: Final = 256 * 1024 * 1024
"""Parts of requests whose rest has not come, on all connections together."""


class Budget:
    """What all bodies together may hold.

    Args:
        body_bytes_max: of one request, or of one message of a stream.
    """

    __slots__ = ("body_bytes_max", "held_bytes", "held_bytes_max")

    def __init__(self, body_bytes_max: int, held_bytes_max: int = HELD_BYTES_MAX) -> None:
        self.body_bytes_max = body_bytes_max
        self.held_bytes_max = held_bytes_max
        self.held_bytes = 0


class Holding:
    """What one request keeps of its body, told to the budget and to the connection."""

    __slots__ = ("_budget", "_exchange", "_size")

    def __init__(self, budget: Budget, exchange: Exchange) -> None:
        self._budget = budget
        self._exchange = exchange
        self._size = 0

    def set(self, size: int) -> None:
        """Note that `size` bytes are kept now.

        Raises:
            StatusError: that is too much for one, or for all together.
        """
        budget = self._budget
        budget.held_bytes += size - self._size
        self._size = size
        if size > budget.body_bytes_max:
            raise body_too_large()
        if not self._exchange.hold(size) or budget.held_bytes > budget.held_bytes_max:
            raise StatusError(
                Code.RESOURCE_EXHAUSTED, "too many bytes of unfinished requests; try again"
            )

    def drop(self) -> None:
        """Nothing is kept any more."""
        self._budget.held_bytes -= self._size
        self._size = 0
        self._exchange.hold(0)


class Body:
    """A body that is wanted as a whole."""

    __slots__ = ("_chunks", "_holding", "_size")

    def __init__(self, budget: Budget, exchange: Exchange) -> None:
        self._holding = Holding(budget, exchange)
        self._chunks: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Keep a part.

        Raises:
            StatusError: that is too much.
        """
        if chunk:
            self._size += len(chunk)
            self._holding.set(self._size)
            self._chunks.append(chunk)

    def take(self) -> bytes:
        """The whole of it, which then is not kept any more."""
        body = b"".join(self._chunks)
        self.drop()
        return body

    def drop(self) -> None:
        self._chunks.clear()
        self._holding.drop()


def body_too_large() -> StatusError:
    """The refusal of a body that cannot be of a message which is small enough."""
    return StatusError(Code.RESOURCE_EXHAUSTED, "http: request body too large")


def read_body(kind: Any, text: str, dialect: Dialect) -> Any:
    """The message in a body: its first value. What follows is not looked at.

    Raises:
        StatusError: it is none.
    """
    try:
        if dialect.reads_protojson:
            return protojson.read_message(kind, text)
        value = parse_first(text)
        return read_message(kind, value, names_before_35=dialect.old_enum_names)
    except JsonError as error:
        raise StatusError(Code.INVALID_ARGUMENT, str(error)) from None
