"""``workers``: the programs that run tasks on this and other machines."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from clockmill.cli.app import App
from clockmill.cli.base import Group, pass_app
from clockmill.cli.output import output_option, show_rows
from clockmill.state.resources import spoken
from clockmill.storage.worker_list import WorkerRow, list_workers

_COLUMNS = [
    *("id", "executor", "host", "version", "queues", "slots", "busy", "resources", "gateway", "state", "last_seen"),
]
_LATELY = timedelta(days=1)


@click.group(cls=Group)
def workers() -> None:
    """Look after workers."""


@workers.command("list")
@output_option
@pass_app
def list_all(app: App, output: str) -> None:
    """List the workers, and those that left or fell silent within the last day.

    Supervisors of the local executor are none: they belong to a scheduler.
    """
    now = app.clock.now()
    found = app.read(lambda connection: list_workers(connection, now - _LATELY))
    if not found and output == "table":
        click.echo(
            "There are no workers; Celery alone needs them. Start one with: clockmill celery worker",
            err=True,
        )
        return
    rows = [_record(each, each.state(now, app.settings.workers.beat_seconds)) for each in found]
    if output == "table":
        rows = [row | {"resources": spoken(row["resources"]) if row["resources"] else ""} for row in rows]
    show_rows(rows, _COLUMNS, output)


def _record(each: WorkerRow, state: str) -> dict[str, Any]:
    # What one that is gone held is nobody's load any more.
    busy = each.busy if each.is_alive else 0
    told = {"state": state, "last_seen": each.seen_at, "busy": busy}
    return {column: told[column] if column in told else getattr(each, column) for column in _COLUMNS}
