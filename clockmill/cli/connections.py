"""``connections``: where things are and how to log in there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from clockmill.cli import transfer
from clockmill.cli.app import App
from clockmill.cli.base import Group, pass_app, same_options
from clockmill.cli.output import counted, output_option, show_record, show_rows
from clockmill.cli.params import show_secrets_option, to_json_object
from clockmill.credentials import ConnectionFields, format_connections, parse_connection, parse_connections
from clockmill.credentials.fields import connection_from_mapping
from clockmill.errors import NotFound
from clockmill.storage import connections as store

_COLUMNS = ["conn_id", "conn_type", "host", "port", "schema", "login", "description"]

_field_options = same_options(
    click.option("--conn-type", help="What kind of thing it is: postgres, http, sqlite..."),
    click.option("--conn-description", "description", help="What it is for."),
    click.option("--conn-host", "host", help="The host."),
    click.option("--conn-port", "port", type=int, help="The port."),
    click.option("--conn-schema", "schema", help="The schema or database."),
    click.option("--conn-login", "login", help="The user."),
    click.option("--conn-password", "password", help="The password; - reads a line from standard input."),
    click.option(
        "--conn-extra", "extra", callback=to_json_object, metavar="JSON", help="Whatever else, a JSON object."
    ),
)


@click.group(cls=Group)
def connections() -> None:
    """Look after connections."""


@connections.command("list")
@output_option
@pass_app
def list_connections(app: App, output: str) -> None:
    """List the connections, without their secrets."""
    show_rows(_all(app), _COLUMNS, output)


@connections.command()
@click.argument("conn_id")
@show_secrets_option
@output_option
@pass_app
def get(app: App, conn_id: str, show_secrets: bool, output: str) -> None:
    """Show a connection; its password and extras are masked unless asked for."""
    found = app.read(lambda connection: store.get_connection(connection, app.cipher, conn_id))
    if found is None:
        raise NotFound("connection", conn_id, [row["conn_id"] for row in _all(app)])
    show_record((found if show_secrets else found.masked()).to_dict(), output)


@connections.command("set")
@click.argument("conn_id")
@click.option("--conn-uri", "uri", help="All fields at once, as TYPE://LOGIN:PASSWORD@HOST:PORT/SCHEMA?KEY=VALUE.")
@click.option(
    "--conn-json", "fields", callback=to_json_object, metavar="JSON", help="All fields at once, a JSON object."
)
@_field_options
@pass_app
def set_connection(app: App, /, conn_id: str, uri: str | None, fields: dict[str, Any] | None, **given: Any) -> None:
    """Set a connection: by its URI, as JSON, or field by field; fields of an old one that are not given stay."""
    given = {name: value for name, value in given.items() if value is not None}
    if given.get("password") == "-":
        given["password"] = sys.stdin.readline().rstrip("\n")
    ways = [bool(uri), bool(fields), bool(given)]
    if ways.count(True) != 1:
        raise click.UsageError("Give either --conn-uri, or --conn-json, or the fields one by one.")
    if uri:
        made = parse_connection(conn_id, uri)
    elif fields:
        made = connection_from_mapping(conn_id, fields)
    else:
        old = app.read(lambda connection: store.get_connection(connection, app.cipher, conn_id))
        made = replace(old or ConnectionFields(conn_id=conn_id), **given)
    _set(app, [made])
    click.echo(f"The connection {conn_id} is set.")


@connections.command()
@click.argument("conn_id")
@pass_app
def delete(app: App, conn_id: str) -> None:
    """Delete a connection."""
    now = app.clock.now()
    app.write(lambda connection: store.delete_connection(connection, conn_id, at=now, actor=app.actor))
    click.echo(f"The connection {conn_id} is deleted.")


@connections.command("import")
@transfer.import_options
@pass_app
def import_file(app: App, file: Path, file_format: str | None, existing: str) -> None:
    """Set the connections in FILE, or on standard input when it is `-`."""
    found = parse_connections(transfer.read(file), transfer.format_of(file, file_format))
    for each in found:
        transfer.refuse_masked("connection", each.conn_id, [each.password, *each.extra.values()])
    known = {row["conn_id"] for row in _all(app)}
    chosen = transfer.choose(found, lambda each: each.conn_id, known, existing, "connection")
    _set(app, chosen)
    click.echo(f"Set {len(chosen)} of {counted(len(found), 'connection')}.")


@connections.command()
@transfer.file_argument
@transfer.format_option
@show_secrets_option
@pass_app
def export(app: App, file: Path, file_format: str | None, show_secrets: bool) -> None:
    """Write the connections to FILE, or to standard output when it is `-`; secrets are masked unless asked for."""
    found = app.read(lambda connection: store.export_connections(connection, app.cipher))
    shown = found if show_secrets else [each.masked() for each in found]
    text = format_connections(shown, transfer.format_of(file, file_format))
    transfer.write(file, text, has_secrets=show_secrets)


def _all(app: App) -> Iterator[dict[str, Any]]:
    return app.pages(
        lambda connection, after: store.list_connections(connection, after=after), lambda row: str(row["conn_id"])
    )


def _set(app: App, chosen: list[ConnectionFields]) -> None:
    now = app.clock.now()
    app.write(lambda connection: store.set_connections(connection, app.cipher, chosen, at=now, actor=app.actor))
