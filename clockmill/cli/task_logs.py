"""``tasks logs``: what a task wrote, also while it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clockmill.cli import lookup
from clockmill.cli.app import App
from clockmill.cli.base import Command, pass_app
from clockmill.cli.params import map_index_option
from clockmill.errors import NotFound, UsageError
from clockmill.logs.paths import path_for
from clockmill.state import FINISHED_TASK_STATES, TaskState

if TYPE_CHECKING:
    from clockmill.storage.records import RunRow, TaskRow

_LOOK_SECONDS = 0.2
_BLOCK_BYTES = 1 << 20
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
    for block in _followed(app, run, row, number, path) if follow else _blocks(path, 0):
        sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()


def _await_try(app: App, run: RunRow, row: TaskRow) -> TaskRow:
    """The task instance as soon as a try of it has begun, or it is over without one."""
    task_id, map_index = row.task_id, row.map_index
    while row.try_number < 1 and row.state not in FINISHED_TASK_STATES:
        app.clock.sleep(_LOOK_SECONDS)
        row = app.read(lambda connection: lookup.the_task(connection, run, task_id, map_index))
    return row


def _followed(app: App, run: RunRow, row: TaskRow, number: int, path: Path) -> Iterator[bytes]:
    """What is in the log, and what comes to it until the try is over."""
    offset = 0
    while True:
        now = app.read(lambda connection: lookup.the_task(connection, run, row.task_id, row.map_index))
        is_over = now.try_number != number or now.state in _OVER
        for block in _blocks(path, offset):
            offset += len(block)
            yield block
        if is_over:
            return
        app.clock.sleep(_LOOK_SECONDS)


def _blocks(path: Path, offset: int) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while block := file.read(_BLOCK_BYTES):
                yield block
    except FileNotFoundError:
        return  # the attempt is offered and has not begun to write
