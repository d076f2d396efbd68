from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.mvcc.stores import Client, open_client


@pytest.fixture
def client() -> Iterator[Client]:
    """A new store with the leases 7 and 8."""
    with open_client(7, 8) as opened:
        yield opened
