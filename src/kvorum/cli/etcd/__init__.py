"""The `etcd` command: one server process."""

from kvorum.cli.etcd.main import main

__all__ = ["main"]
