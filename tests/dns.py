"""A name server on 127.0.0.1 that knows the SRV records a test gives it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

Record = tuple[int, int, int, str]
"""Priority, weight, port, target."""


@contextlib.contextmanager
def name_server(records: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    """`address:port` of a server for SRV records by name (without a dot at the end)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        stopping = threading.Event()
        server.settimeout(0.1)

        def serve() -> None:
            while not stopping.is_set():
                try:
                    data, client = server.recvfrom(4096)
                except TimeoutError:
                    continue
                server.sendto(_answer(data, records), client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            stopping.set()
            thread.join()


def _answer(data: bytes, records: Mapping[str, Sequence[Record]]) -> bytes:
    query = dns.message.from_wire(data)
    response = dns.message.make_response(query)
    response.flags |= dns.flags.AA | dns.flags.RA
    (question,) = query.question
    found = records.get(question.name.to_text(omit_final_dot=True))
    if found is None:
        response.set_rcode(dns.rcode.NXDOMAIN)
    elif question.rdtype == dns.rdatatype.SRV:
        texts = [
            f"{priority} {weight} {port} {target}." for priority, weight, port, target in found
        ]
        response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "SRV", *texts))
    return response.to_wire()
