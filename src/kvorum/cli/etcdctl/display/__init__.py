"""The forms of output (`--write-out`)."""

from __future__ import annotations

from kvorum.cli.etcdctl.display.base import Display, EndpointHash, EndpointHealth, EndpointStatus
from kvorum.cli.etcdctl.settings import Settings
from kvorum.cli.shared.exits import CommandError, Exit

__all__ = ["Display", "EndpointHash", "EndpointHealth", "EndpointStatus", "display_of"]


def display_of(settings: Settings) -> Display:
    """What prints the results of a command.

    Raises:
        CommandError: there is no such form.
    """
    # Each is imported when it is asked for: tables and JSON cost time that a put need not pay.
    match settings.write_out:
        case "simple":
            from kvorum.cli.etcdctl.display.simple import SimpleDisplay  # noqa: PLC0415

            return SimpleDisplay(is_hex=settings.hex)
        case "fields":
            from kvorum.cli.etcdctl.display.fields import FieldsDisplay  # noqa: PLC0415

            return FieldsDisplay()
        case "json":
            from kvorum.cli.etcdctl.display.json import JsonDisplay  # noqa: PLC0415

            return JsonDisplay(is_hex=settings.hex)
        case "protobuf":
            from kvorum.cli.etcdctl.display.protobuf import ProtobufDisplay  # noqa: PLC0415

            return ProtobufDisplay()
        case "table":
            from kvorum.cli.etcdctl.display.table import TableDisplay  # noqa: PLC0415

            return TableDisplay()
    raise CommandError(Exit.BAD_FEATURE, "unsupported output format")
