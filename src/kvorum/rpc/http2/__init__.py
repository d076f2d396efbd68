"""HTTP/2, as much of it as a server of gRPC and small plain answers needs.

`connection` is the protocol without I/O: bytes in, bytes out, calls on a `RequestHandler`. It is
our own because a put cost 66 µs of processor time with the ASGI server that was used before, and
38 with this, a get 40 and 13 (docs/internals/dependencies.md); and because it keeps what gRPC
promises about keep-alive pings, flow control and shutdown.

Source: RFC 9113 (HTTP/2), RFC 7541 (HPACK).
"""
