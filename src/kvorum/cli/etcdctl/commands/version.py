"""`etcdctl version`."""

from __future__ import annotations

from kvorum.cli.etcdctl.cobra import Call, command
from kvorum.cli.etcdctl.stdio import write_text
from kvorum.cli.etcdctl.version import API_VERSION, VERSION


@command("version", "", "Print the version of etcdctl and of the API it speaks")
def version(call: Call) -> None:
    write_text(f"etcdctl version: {VERSION}\nAPI version: {API_VERSION}\n")
