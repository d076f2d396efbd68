"""kvorum: what is ours alone and no part of etcd's own programs."""

from kvorum.cli.kvorum.program import main

__all__ = ["main"]
