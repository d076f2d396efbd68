"""The error table: what the server writes, the client reads back into the same class."""

from __future__ import annotations

import pytest

from kvorum import errors
from kvorum.errors import Code, StatusError, WireError, from_wire, status_of

LEAVES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, WireError) and value.text
]


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_an_error_survives_the_wire(kind: type[WireError]) -> None:
    error = kind()
    back = from_wire(status_of(error), error.message)
    assert type(back) is kind
    assert str(back) == kind.text


def test_no_two_errors_have_the_same_status() -> None:
    statuses = [(kind.code, kind.text) for kind in LEAVES]
    assert len(statuses) == len(set(statuses))


def test_an_unknown_status_is_kept_as_it_came() -> None:
    error = from_wire(8, "grpc: received message larger than max (9 vs. 8)")
    assert isinstance(error, StatusError)
    assert (status_of(error), error.message) == (Code.RESOURCE_EXHAUSTED, str(error))


def test_codes_have_the_names_of_go() -> None:
    assert [Code(n).go_name for n in (0, 1, 3, 8, 16)] == [
        "OK",
        "Canceled",
        "InvalidArgument",
        "ResourceExhausted",
        "Unauthenticated",
    ]
