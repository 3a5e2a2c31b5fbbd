"""``tasks logs``: what a task wrote, also while it runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from clockmill.cli import lookup
from clockmill.cli.app import App
from clockmill.cli.base import Command, pass_app
from clockmill.cli.params import map_index_option
from clockmill.errors import NotFound, UsageError
from clockmill.logs import reader
from clockmill.logs.paths import path_for
from clockmill.state import FINISHED_TASK_STATES, AttemptState, TaskState
from clockmill.storage.run_pages import list_attempts

if TYPE_CHECKING:
    from clockmill.storage.records import RunRow, TaskRow

_LOOK_SECONDS = 0.2
_OVER = FINISHED_TASK_STATES | {TaskState.NONE, TaskState.UP_FOR_RETRY, TaskState.UP_FOR_RESCHEDULE}


@click.command(cls=Command)
@click.argument("dag_id")
@click.argument("run_id")
@click.argument("task_id")
@map_index_option
@click.option("--try", "try_number", type=click.IntRange(1), help="Which try; the last one when it is left out.")
@click.option("--follow", "-f", is_flag=True, help="Go on until the try is over.")
@pass_app
def logs(
    app: App, dag_id: str, run_id: str, task_id: str, map_index: int, try_number: int | None, follow: bool
) -> None:
    """Print the log of a task."""
    run = app.read(lambda connection: lookup.the_run(connection, dag_id, run_id))
    row = app.read(lambda connection: lookup.the_task(connection, run, task_id, map_index))
    if follow and try_number is None:
        row = _await_try(app, run, row)
    number = try_number or row.try_number
    if number < 1 or number > row.try_number:
        tries = f"it has begun {row.try_number} tries" if row.try_number else "it has not begun a try yet"
        raise UsageError(f"There is no log of the task {task_id!r} to show: {tries}.")
    path = path_for(
        app.settings.logs_folder,
        dag_id=dag_id,
        run_id=run_id,
        task_id=task_id,
        map_index=map_index,
        try_number=number,
    )
    if not path.exists() and not follow:
        raise NotFound("log file", str(path))
    shown = b""
    for shown in reader.follow(path, app.clock, lambda: not follow or _is_over(app, run, row, number)):
        sys.stdout.buffer.write(shown)
        sys.stdout.buffer.flush()
    _tell_refusal(app, row, number, shown)


def _tell_refusal(app: App, row: TaskRow, number: int, shown: bytes) -> None:
    """Say when a try failed although its process did not, where the end of the log does not know that."""
    attempts = app.read(lambda connection: list_attempts(connection, row.id))
    last = next((each for each in reversed(attempts) if each.try_number == number), None)
    if last is None or last.state != AttemptState.FAILED or last.exit_code != 0:
        return
    if " ".join(last.reason.splitlines()).encode() not in shown:
        click.echo(f"*** failed after the end of its process: {last.reason}", err=True)


def _await_try(app: App, run: RunRow, row: TaskRow) -> TaskRow:
    """The task instance as soon as a try of it has begun, or it is over without one."""
    task_id, map_index = row.task_id, row.map_index
    while row.try_number < 1 and row.state not in FINISHED_TASK_STATES:
        app.clock.sleep(_LOOK_SECONDS)
        row = app.read(lambda connection: lookup.the_task(connection, run, task_id, map_index))
    return row


def _is_over(app: App, run: RunRow, row: TaskRow, number: int) -> bool:
    """Whether a try writes no more."""
    now = app.read(lambda connection: lookup.the_task(connection, run, row.task_id, row.map_index))
    return now.try_number != number or now.state in _OVER
