"""``tasks attempts``: every attempt of a task, kept for good."""

from __future__ import annotations

from typing import Any

import click

from clockmill.cli import lookup
from clockmill.cli.app import App
from clockmill.cli.base import pass_app
from clockmill.cli.output import output_option, show_rows
from clockmill.cli.params import map_index_option
from clockmill.state.resources import from_text
from clockmill.storage.run_pages import list_attempts

_COLUMNS = [
    "id",
    "try_number",
    "state",
    "host",
    "worker",
    "queued_at",
    "claimed_at",
    "started_at",
    "ended_at",
    "exit_code",
    "signal",
    "resources",
    "peak_memory_kb",
    "cpu_seconds",
    "reason",
]
#: What a table has no room for.
_NOT_IN_TABLES = frozenset({"id", "worker", "claimed_at", "cpu_seconds"})


@click.command()
@click.argument("dag_id")
@click.argument("run_id")
@click.argument("task_id")
@map_index_option
@output_option
@pass_app
def attempts(app: App, dag_id: str, run_id: str, task_id: str, map_index: int, output: str) -> None:
    """List every attempt of a task: where it ran, its times, how it ended, what it used and why.

    A try has one attempt, more when it was lost, deferred or rescheduled; looks of a sensor in vain are folded into
    the last. A table leaves out some of it, and what is empty; other forms of output have everything.
    """
    run = app.read(lambda connection: lookup.the_run(connection, dag_id, run_id))
    row = app.read(lambda connection: lookup.the_task(connection, run, task_id, map_index))
    found = app.read(lambda connection: list_attempts(connection, row.id))
    rows = [
        {column: getattr(line, column) for column in _COLUMNS} | {"resources": from_text(line.resources) or None}
        for line in found
    ]
    show_rows(rows, [each for each in _COLUMNS if output != "table" or _is_shown(each, rows)], output)


def _is_shown(column: str, rows: list[dict[str, Any]]) -> bool:
    return column not in _NOT_IN_TABLES and any(row[column] not in (None, "") for row in rows)
