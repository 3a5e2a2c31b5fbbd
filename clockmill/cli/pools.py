"""``pools``: how many tasks of a kind may run at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from clockmill.cli import transfer
from clockmill.cli.app import App
from clockmill.cli.base import Group, pass_app
from clockmill.cli.output import counted, output_option, show_record, show_rows
from clockmill.errors import UsageError, did_you_mean
from clockmill.storage import pools as store
from clockmill.storage.pools import Pool, PoolUsage

_COLUMNS = ["name", "slots", "used", "open", "include_deferred", "description"]
_FIELDS = ("slots", "description", "include_deferred")


@click.group(cls=Group)
def pools() -> None:
    """Look after pools."""


@pools.command("list")
@output_option
@pass_app
def list_pools(app: App, output: str) -> None:
    """List the pools with what of them is in use."""
    show_rows([_record(each) for each in app.read(store.list_pools)], _COLUMNS, output)


@pools.command()
@click.argument("name")
@output_option
@pass_app
def get(app: App, name: str, output: str) -> None:
    """Show one pool."""
    show_record(_record(app.read(lambda connection: store.get_pool(connection, name))), output)


@pools.command("set")
@click.argument("name")
@click.argument("slots", type=int)
@click.argument("description", default="")
@click.option("--include-deferred", is_flag=True, help="Count deferred tasks as well.")
@pass_app
def set_pool(app: App, name: str, slots: int, description: str, include_deferred: bool) -> None:
    """Make a pool, or change one."""
    _set(app, [Pool(name=name, slots=slots, description=description, include_deferred=include_deferred)])
    also = " Deferred tasks hold theirs." if include_deferred else ""
    click.echo(f"The pool {name} has {counted(slots, 'slot')}.{also}")


@pools.command()
@click.argument("name")
@pass_app
def delete(app: App, name: str) -> None:
    """Delete a pool."""
    now = app.clock.now()
    app.write(lambda connection: store.delete_pool(connection, name, at=now, actor=app.actor))
    app.wake()
    click.echo(f"The pool {name} is deleted.")


@pools.command("import")
@transfer.file_argument
@transfer.existing_option
@pass_app
def import_file(app: App, file: Path, existing: str) -> None:
    """Set the pools in the JSON file FILE, or on standard input when it is `-`."""
    found = _parsed(transfer.read(file))
    known = {each.name for each in app.read(store.list_pools)}
    chosen = transfer.choose(found, lambda each: each.name, known, existing, "pool")
    _set(app, chosen)
    click.echo(f"Set {len(chosen)} of {counted(len(found), 'pool')}.")


@pools.command()
@transfer.file_argument
@pass_app
def export(app: App, file: Path) -> None:
    """Write the pools as JSON to FILE, or to standard output when it is `-`."""
    found = {each.name: {name: getattr(each, name) for name in _FIELDS} for each in app.read(store.list_pools)}
    transfer.write(file, json.dumps(found, indent=2, ensure_ascii=False) + "\n", has_secrets=False)


def _record(each: PoolUsage) -> dict[str, Any]:
    return {column: getattr(each, column) for column in _COLUMNS}


def _set(app: App, chosen: list[Pool]) -> None:
    now = app.clock.now()
    app.write(lambda connection: store.set_pools(connection, chosen, at=now, actor=app.actor))
    app.wake()


def _parsed(text: str) -> list[Pool]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise UsageError(f"The file is not valid JSON: {error}.") from None
    if not isinstance(data, dict) or not all(isinstance(fields, dict) for fields in data.values()):
        raise UsageError('The file must hold one JSON object such as {"NAME": {"slots": 5}}.')
    return [_pool(name, fields) for name, fields in data.items()]


def _pool(name: str, fields: dict[str, Any]) -> Pool:
    for field in fields:
        if field not in _FIELDS:
            raise UsageError(f"The pool {name!r} has no field {field!r}.{did_you_mean(field, _FIELDS)}")
    slots = fields.get("slots")
    if type(slots) is not int:
        raise UsageError(f"The slots of the pool {name!r} must be a whole number, not {slots!r}.")
    return Pool(
        name=name,
        slots=slots,
        description=str(fields.get("description") or ""),
        include_deferred=bool(fields.get("include_deferred", False)),
    )
