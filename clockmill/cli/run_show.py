"""``runs show``: one run, why it is as it is, and how many of its tasks are in which state."""

from __future__ import annotations

import click

from clockmill.cli import lookup
from clockmill.cli.app import App
from clockmill.cli.base import Command, pass_app
from clockmill.cli.output import output_option, show_record
from clockmill.state import TaskState
from clockmill.storage.run_pages import count_states

_FIELDS = (
    "run_id",
    "state",
    "reason",
    "run_type",
    "logical_date",
    "data_interval_start",
    "data_interval_end",
    "run_after",
    "queued_at",
    "start_date",
    "end_date",
    "backfill_id",
    "conf",
    "note",
)


@click.command(cls=Command)
@click.argument("dag_id")
@click.argument("run_id")
@output_option
@pass_app
def show(app: App, dag_id: str, run_id: str, output: str) -> None:
    """Show a run, and how many of its tasks are in which state."""
    run = app.read(lambda connection: lookup.the_run(connection, dag_id, run_id))
    counts = app.read(lambda connection: count_states(connection, run.id))
    tasks = {state.value: counts[state] for state in TaskState if state in counts}
    told = ", ".join(f"{number:,} {state}" for state, number in tasks.items())
    record = {name: getattr(run, name) for name in _FIELDS}
    show_record({"dag_id": dag_id, **record, "tasks": told if output == "table" else tasks}, output)
