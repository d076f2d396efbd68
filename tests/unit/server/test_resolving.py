from __future__ import annotations

import pytest

from kvorum.server.resolving import resolve


def test_addresses_stay_as_they_are() -> None:
    assert resolve("127.0.0.1", 2380) == "127.0.0.1:2380"
    assert resolve("::1", 2380) == "[::1]:2380"


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(OSError, match=r".+"):
        resolve("nohost.invalid", 1)
