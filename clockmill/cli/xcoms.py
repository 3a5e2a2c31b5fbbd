"""``xcoms``: what tasks passed on."""

from __future__ import annotations

import json
from typing import Any

import click

from clockmill.cli import lookup
from clockmill.cli.app import App
from clockmill.cli.base import Group, pass_app
from clockmill.cli.output import output_option, show_rows
from clockmill.cli.params import map_index_option
from clockmill.errors import NotFound
from clockmill.storage import xcoms as store
from clockmill.xcom import RETURN_KEY, to_display

_LONGEST = 120


@click.group(cls=Group)
def xcoms() -> None:
    """Read what tasks passed on."""


@xcoms.command("list")
@click.argument("dag_id")
@click.argument("run_id")
@click.argument("task_id", required=False)
@output_option
@pass_app
def list_xcoms(app: App, dag_id: str, run_id: str, task_id: str | None, output: str) -> None:
    """List the XComs of a run, or of one of its tasks; with their values, of which a table shows the beginning."""
    run = app.read(lambda connection: lookup.the_run(connection, dag_id, run_id))
    if task_id is not None:
        app.read(lambda connection: lookup.tasks_of(connection, run, task_id))
    rows = app.read(lambda connection: store.list_xcoms(connection, dag_id, run_id, task_id))
    rows = [{**row, "value": to_display(row["value"])} for row in rows]
    if output == "table":
        rows = [{**row, "value": _beginning(row["value"])} for row in rows]
    show_rows(rows, ["task_id", "map_index", "key", "value", "try_number", "created_at"], output)


def _beginning(value: Any) -> Any:
    """What of a value fits into a table."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"


@xcoms.command()
@click.argument("dag_id")
@click.argument("run_id")
@click.argument("task_id")
@click.option("--key", default=RETURN_KEY, show_default=True, help="Which value of the task.")
@map_index_option
@pass_app
def get(app: App, dag_id: str, run_id: str, task_id: str, key: str, map_index: int) -> None:
    """Print an XCom as JSON."""
    run = app.read(lambda connection: lookup.the_run(connection, dag_id, run_id))
    app.read(lambda connection: lookup.the_task(connection, run, task_id, map_index))
    rows = app.read(lambda connection: store.list_xcoms(connection, dag_id, run_id, task_id))
    values = {row["key"]: row["value"] for row in rows if row["map_index"] == map_index}
    if key not in values:
        raise NotFound(f"XCom of the task {task_id!r} with the key", key, values)
    click.echo(json.dumps(to_display(values[key]), indent=2, ensure_ascii=False))
