"""``variables``: texts that tasks read by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from clockmill.cli import transfer
from clockmill.cli.app import App
from clockmill.cli.base import Group, pass_app
from clockmill.cli.output import counted, output_option, show_rows
from clockmill.cli.params import show_secrets_option
from clockmill.credentials import VariableFields, format_variables, parse_variables
from clockmill.credentials.fields import MASK
from clockmill.errors import NotFound, UsageError
from clockmill.storage import variables as store


@click.group(cls=Group)
def variables() -> None:
    """Look after variables."""


@variables.command("list")
@output_option
@pass_app
def list_variables(app: App, output: str) -> None:
    """List the variables, without their values."""
    show_rows(_all(app), ["key", "description", "changed_at"], output)


@variables.command()
@click.argument("key")
@click.option("--default", "-d", help="Printed when there is no such variable.")
@click.option("--json", "-j", "as_json", is_flag=True, help="The value is JSON: check it and print it indented.")
@pass_app
def get(app: App, key: str, default: str | None, as_json: bool) -> None:
    """Print the value of a variable."""
    value = app.read(lambda connection: store.get_variable(connection, app.cipher, key))
    if value is None:
        value = default
    if value is None:
        raise NotFound("variable", key, [row["key"] for row in _all(app)])
    click.echo(json.dumps(_parsed(key, value), indent=2, ensure_ascii=False) if as_json else value)


@variables.command("set")
@click.argument("key")
@click.argument("value")
@click.option("--description", default="", help="What it is for.")
@click.option("--json", "-j", "as_json", is_flag=True, help="Refuse a value that is not JSON.")
@pass_app
def set_variable(app: App, key: str, value: str, description: str, as_json: bool) -> None:
    """Set a variable."""
    if as_json:
        try:
            json.loads(value)
        except ValueError as error:
            raise click.BadParameter(f"it is not valid JSON: {error}", param_hint="VALUE") from None
    _set(app, [VariableFields(key=key, value=value, description=description)])
    click.echo(f"The variable {key} is set.")


@variables.command()
@click.argument("key")
@pass_app
def delete(app: App, key: str) -> None:
    """Delete a variable."""
    now = app.clock.now()
    app.write(lambda connection: store.delete_variable(connection, key, at=now, actor=app.actor))
    click.echo(f"The variable {key} is deleted.")


@variables.command("import")
@transfer.import_options
@pass_app
def import_file(app: App, file: Path, file_format: str | None, existing: str) -> None:
    """Set the variables in FILE, or on standard input when it is `-`."""
    found = parse_variables(transfer.read(file), transfer.format_of(file, file_format))
    for each in found:
        transfer.refuse_masked("variable", each.key, [each.value])
    chosen = transfer.choose(found, lambda each: each.key, {row["key"] for row in _all(app)}, existing, "variable")
    _set(app, chosen)
    click.echo(f"Set {len(chosen)} of {counted(len(found), 'variable')}.")


@variables.command()
@transfer.file_argument
@transfer.format_option
@show_secrets_option
@pass_app
def export(app: App, file: Path, file_format: str | None, show_secrets: bool) -> None:
    """Write the variables to FILE, or to standard output when it is `-`; values are masked unless asked for."""
    found = app.read(lambda connection: store.export_variables(connection, app.cipher))
    shown = found if show_secrets else [replace(each, value=MASK) for each in found]
    text = format_variables(shown, transfer.format_of(file, file_format))
    transfer.write(file, text, has_secrets=show_secrets)


def _all(app: App) -> Iterator[dict[str, Any]]:
    return app.pages(
        lambda connection, after: store.list_variables(connection, after=after), lambda row: str(row["key"])
    )


def _set(app: App, chosen: list[VariableFields]) -> None:
    now = app.clock.now()
    app.write(lambda connection: store.set_variables(connection, app.cipher, chosen, at=now, actor=app.actor))


def _parsed(key: str, value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError as error:
        raise UsageError(f"The value of the variable {key!r} is not valid JSON: {error}.") from None
