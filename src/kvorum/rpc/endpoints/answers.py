"""Answers as Go's HTTP server gives them."""

from __future__ import annotations

import json
import posixpath
from typing import Any, Final
from urllib.parse import quote, unquote

from kvorum.rpc.http import TEXT, HttpRequest, HttpResponse

NOSNIFF: Final = ("x-content-type-options", "nosniff")
HTML: Final = "text/html; charset=utf-8"


def error(status: int, text: str, *extra: tuple[str, str]) -> HttpResponse:
    """A refusal: a line of text."""
    return HttpResponse(status, f"{text}\n".encode(), TEXT, (NOSNIFF, *extra))


NOT_FOUND: Final = error(404, "404 page not found")


def not_allowed(method: str) -> HttpResponse:
    """The refusal of another method than `method`."""
    return error(405, "Method Not Allowed", ("allow", method))


def as_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


BAD_REQUEST: Final = HttpResponse(400, b"400 Bad Request")


def clean_path(request: HttpRequest) -> tuple[str, HttpResponse | None]:
    """The path that is meant, and the way to it when it was written otherwise (`//health`)."""
    path = unquote(request.path, errors="replace")
    if path == "*":  # of OPTIONS, or half a preface of HTTP/2
        return path, BAD_REQUEST
    cleaned = posixpath.normpath("/" + path.lstrip("/"))
    if path.endswith("/") and cleaned != "/":
        cleaned += "/"
    if cleaned == path:
        return path, None
    return path, moved(cleaned, request.method)


def moved(path: str, method: str) -> HttpResponse:
    """The way to another path; in words for who only wants to read."""
    where = quote(path)
    if method not in {"GET", "HEAD"}:
        return HttpResponse(301, b"", "", (("location", where),))
    body = f'<a href="{where}">Moved Permanently</a>.\n\n'.encode()
    return HttpResponse(301, body, HTML, (("location", where),))
