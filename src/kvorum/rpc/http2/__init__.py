"""HTTP/2, as much of it as a server of gRPC and small plain answers needs.

`connection` is the protocol without I/O: bytes in, bytes out, calls on a `RequestHandler`. Why it
is our own is measured in docs/internals/hot-path.md: an ASGI server with Rust threads costs about
30 µs of two cores' time for each call, this costs 8, and it lets us keep what gRPC promises about
keep-alive pings, flow control and shutdown.

Source: RFC 9113 (HTTP/2), RFC 7541 (HPACK).
"""
