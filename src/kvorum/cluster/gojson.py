"""JSON as Go's encoding/json writes it: no spaces, and `<`, `>`, `&` escaped.

Stored member records and raft contexts are compared and hashed as bytes, so they must be equal to
those of a stock member to the byte.

Source: Go encoding/json (HTML escaping is on by default); shared facts, peer.md section 7.
"""

from __future__ import annotations

import json
from typing import Any

from kvorum.errors import DecodeError

_ESCAPES = {
    ord("<"): "\\u003c",
    ord(">"): "\\u003e",
    ord("&"): "\\u0026",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}
# Unpaired surrogates cannot be written as UTF-8; Go has no such strings and writes U+FFFD for them.
_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\\ufffd")
_TABLE = _ESCAPES | _SURROGATES


def dumps(value: Any) -> bytes:
    """Encode. The order of keys is that of the dict; Go's is that of the struct's fields."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # The escaped characters stand in strings only, never in JSON's own punctuation.
    return text.translate(_TABLE).encode()


def loads_object(data: bytes | str, what: str) -> dict[str, Any]:
    """Decode a JSON object; integers stay exact up to any size.

    Raises:
        DecodeError: not JSON, or not an object. `what` names the record in the text.
    """
    try:
        value = json.loads(data)
    except ValueError as error:  # covers UnicodeDecodeError and JSONDecodeError
        raise DecodeError(f"{what} is not JSON: {error}") from None
    except RecursionError:
        raise DecodeError(f"{what} is nested too deeply") from None
    if not isinstance(value, dict):
        raise DecodeError(f"{what} is not a JSON object")
    return value
