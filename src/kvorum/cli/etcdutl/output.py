"""What `--write-out` makes of a result.

Source: etcdutl 3.5.1 and 3.6, printer*.go as seen from their output; shared facts, flags.md
sections 7 and 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kvorum.cli.etcdutl.root import FORMS
from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.cli.shared.stdio import write_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One result in all its forms."""

    cells: Sequence[str]
    """For `simple` and `table`."""
    headings: Sequence[str]
    json: Mapping[str, int | str]
    fields: Mapping[str, int | str]


def check_form(form: str) -> None:
    """Refuse a form that no command has.

    Raises:
        CommandError: with exit code 4.
    """
    if form not in FORMS:
        raise CommandError(Exit.BAD_FEATURE, "unsupported output format")


def refuse_form(form: str) -> CommandError:
    """The error of a command that does not have this form."""
    return CommandError(Exit.BAD_FEATURE, f"{form} not supported as output format")


def print_result(form: str, result: Result) -> None:
    """Print a result.

    Raises:
        CommandError: the form is `protobuf`, or cannot be written.
    """
    match form:
        case "simple":
            write_text(", ".join(result.cells) + "\n")
        case "table":
            from kvorum.cli.shared.grid import render  # noqa: PLC0415 - each when it is asked for

            write_text(render(result.headings, [result.cells]))
        case "json":
            from kvorum.cli.shared.gojson import encode  # noqa: PLC0415

            write_text(encode(result.json) + "\n")
        case "fields":
            write_text("".join(f'"{name}" : {_field(v)}\n' for name, v in result.fields.items()))
        case _:
            raise refuse_form(form)


def _field(value: int | str) -> str:
    from kvorum.cli.shared.goquote import quote  # noqa: PLC0415

    return quote(value) if isinstance(value, str) else str(value)
