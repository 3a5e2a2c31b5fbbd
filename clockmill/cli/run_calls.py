"""``runs callbacks`` and ``runs deadlines``: what a run has led to beside its tasks."""

from __future__ import annotations

import click

from clockmill.cli import lookup
from clockmill.cli.app import App
from clockmill.cli.base import pass_app
from clockmill.cli.output import output_option, show_rows
from clockmill.logs.paths import path_for_callback
from clockmill.storage.callbacks import callbacks_of_run
from clockmill.storage.deadlines import deadlines_of_run, state_of

_CALLBACKS = ["id", "callback", "task_id", "state", "created_at", "ended_at", "crashes", "reason", "log"]
_DEADLINES = ["name", "state", "due_at", "warn_at", "warned_at", "missed_at", "met_at"]


@click.command()
@click.argument("dag_id")
@click.argument("run_id")
@output_option
@pass_app
def callbacks(app: App, dag_id: str, run_id: str, output: str) -> None:
    """List the callbacks of a run that had processes of their own, with the files of their output.

    Those that the process of a task calls itself are told of in the log of the task.
    """
    run = app.read(lambda connection: lookup.the_run(connection, dag_id, run_id))
    rows = []
    for row in app.read(lambda connection: callbacks_of_run(connection, run.id)):
        log = path_for_callback(app.settings.logs_folder, dag_id=dag_id, run_id=run_id, callback_id=row.id)
        told = {"callback": row.kind, "task_id": (row.context.get("task") or {}).get("task_id"), "log": str(log)}
        told["reason"] = row.reason or row.context.get("reason", "")
        rows.append({name: told[name] if name in told else getattr(row, name) for name in _CALLBACKS})
    show_rows(rows, _CALLBACKS, output)


@click.command()
@click.argument("dag_id")
@click.argument("run_id")
@output_option
@pass_app
def deadlines(app: App, dag_id: str, run_id: str, output: str) -> None:
    """List the deadlines of a run and its tasks: open, at risk, met or missed.

    A deadline is at risk when the usual time no longer suffices to meet it.
    """
    run = app.read(lambda connection: lookup.the_run(connection, dag_id, run_id))
    found = app.read(lambda connection: deadlines_of_run(connection, run.id))
    rows = [
        {**{name: getattr(row, name) for name in _DEADLINES if name != "state"}, "state": state_of(row)}
        for row in found
    ]
    show_rows(rows, _DEADLINES, output)
