"""`version`: the version of the etcd that Kvorum presents itself as; and `kvorum`'s own."""

from __future__ import annotations

import kvorum
from kvorum.cli.shared.cobra import Call, command
from kvorum.cli.shared.program import program_name
from kvorum.cli.shared.stdio import write_text
from kvorum.proto.versions import DEFAULT_SERVER_VERSION

VERSION = str(DEFAULT_SERVER_VERSION)
API_VERSION = DEFAULT_SERVER_VERSION.short


@command("version", "", "Print the version of this program and of etcd's API")
def version(call: Call) -> None:
    name = program_name(call.root)
    own = kvorum.__version__ if name == "kvorum" else VERSION  # the others are etcd's programs
    write_text(f"{name} version: {own}\nAPI version: {API_VERSION}\n")
