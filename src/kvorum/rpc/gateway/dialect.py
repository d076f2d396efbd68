"""How the gateways of the versions differ in what they say.

Source: shared facts, client.md section 12; 3.4.23 and 3.5.1 observed, 3.6 and 3.3 from their
sources (grpc-gateway 2 and 1.3).
"""

from __future__ import annotations

from typing import Final

from kvorum.errors import Code, WireError, status_of
from kvorum.proto.versions import Version
from kvorum.rpc.access import NOSNIFF
from kvorum.rpc.exchange import HeaderList
from kvorum.rpc.gateway.encode import string_to_json
from kvorum.rpc.http import CLIENT_CLOSED_REQUEST, JSON, TEXT, HttpResponse, phrase

CONTENT_TYPE: Final = ("content-type", JSON)
FROM_GRPC: Final = ("grpc-metadata-content-type", "application/grpc")
"""On every answer of a method that went well."""
GOOD_STREAM: Final[HeaderList] = (CONTENT_TYPE, FROM_GRPC)
EMPTY_STREAM: Final[HeaderList] = (CONTENT_TYPE,)

_V3_4, _V3_5, _V3_6 = Version(3, 4), Version(3, 5), Version(3, 6)
_STATUSES: Final = {
    Code.OK: 200,
    Code.CANCELLED: 408,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}


class Dialect:
    """Answers in the words of one version."""

    def __init__(self, version: Version) -> None:
        self._version = version
        self._statuses = dict(_STATUSES)
        if version < _V3_5:
            self._statuses[Code.FAILED_PRECONDITION] = 412
        if version >= _V3_6:
            self._statuses[Code.CANCELLED] = CLIENT_CLOSED_REQUEST
        self.old_enum_names = version < _V3_5
        self.reads_protojson = version >= _V3_6

    def status(self, code: int) -> int:
        """The HTTP status for one of gRPC."""
        return self._statuses[Code(code)]

    def good(self, body: bytes) -> HttpResponse:
        """The answer of a unary method."""
        return HttpResponse(200, body, JSON, (FROM_GRPC,))

    def failure(self, error: WireError) -> HttpResponse:
        """The answer of a method that failed before it said anything."""
        code, text = int(status_of(error)), string_to_json(error.message)
        if self._version >= _V3_6:
            body = b'{"code":%d,"message":%b}' % (code, text)
        elif self._version >= _V3_5:
            body = b'{"error":%b,"code":%d,"message":%b}' % (text, code, text)
        elif self._version >= _V3_4:
            body = b'{"error":%b,"message":%b,"code":%d}' % (text, text, code)
        else:
            body = b'{"error":%b,"code":%d}' % (text, code)
        return HttpResponse(self.status(code), body, JSON)

    def stream_failure(self, error: WireError) -> HttpResponse:
        """The answer of a stream that failed; its body also is the last line of one that began."""
        code, text = int(status_of(error)), string_to_json(error.message)
        status = self.status(code)
        if self._version >= _V3_6:
            body = b'{"error":{"code":%d,"message":%b}}\n' % (code, text)
        else:
            parts = [b'"grpc_code":%d' % code, b'"http_code":%d' % status]
            if error.message:
                parts.append(b'"message":' + text)
            parts.append(b'"http_status":"%b"' % phrase(status).encode())
            body = b'{"error":{%b}}' % b",".join(parts)
        return HttpResponse(status, body, JSON)

    def not_found(self) -> HttpResponse:
        """There is no such path below the prefix."""
        return self._no_route(404, Code.NOT_FOUND, "Not Found")

    def method_not_allowed(self) -> HttpResponse:
        """The path is there, for POST."""
        return self._no_route(405, Code.UNIMPLEMENTED, "Method Not Allowed")

    def _no_route(self, status: int, code: Code, text: str) -> HttpResponse:
        if self._version >= _V3_6:
            body = b'{"code":%d,"message":"%b"}' % (code, text.encode())
            return HttpResponse(self.status(code), body, JSON)
        return HttpResponse(status, text.encode() + b"\n", TEXT, (NOSNIFF,))
