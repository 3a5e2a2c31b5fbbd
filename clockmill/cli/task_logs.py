"""``tasks logs``: what a task wrote, also while it runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from clockmill.cli import lookup
from clockmill.cli.app import App
from clockmill.cli.base import Command, pass_app
from clockmill.cli.params import map_index_option
from clockmill.cli.wiring import make_task_logs
from clockmill.errors import NotFound, UsageError
from clockmill.host.processes import host_name
from clockmill.logs import reader
from clockmill.logs.paths import path_for
from clockmill.state import FINISHED_TASK_STATES, AttemptState, TaskState
from clockmill.storage.log_owners import hosts_of
from clockmill.storage.run_pages import list_attempts

if TYPE_CHECKING:
    from pathlib import Path

    from clockmill.logs.tasklogs import TaskLogs
    from clockmill.storage.records import RunRow, TaskRow

_LOOK_SECONDS = 0.2
_STORE_SECONDS = 1.0
#: After the end of a try, for what its worker has not sent yet.
_PATIENCE_SECONDS = 30.0
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
    task_logs = make_task_logs(app.settings)
    if not follow:
        _refuse_missing(app, task_logs, path, row, number)
    shown = b""
    pieces = reader.follow(
        lambda at: task_logs.chunk(path, at, growing=False)[1],
        app.clock,
        _Ending(app, task_logs, path, run, row, number) if follow else lambda: True,
        look_seconds=_STORE_SECONDS if task_logs.has_store else _LOOK_SECONDS,
    )
    for shown in pieces:
        sys.stdout.buffer.write(shown)
        sys.stdout.buffer.flush()
    _tell_missing(app, task_logs, path, row, number)
    _tell_refusal(app, row, number, shown)


class _Ending:
    """Whether no more of a try will come: it is over, and what its worker sends is here, or is waited for in vain."""

    def __init__(self, app: App, task_logs: TaskLogs, path: Path, run: RunRow, row: TaskRow, number: int) -> None:
        self._app = app
        self._logs = task_logs
        self._path = path
        self._of = run, row, number
        self._over_since: float | None = None

    def __call__(self) -> bool:
        """Whether to stop after one more look."""
        if self._over_since is None and _is_over(self._app, *self._of):
            self._over_since = self._app.clock.monotonic()
        if self._over_since is None:
            return False
        if self._app.clock.monotonic() - self._over_since >= _PATIENCE_SECONDS:
            return True
        _, row, number = self._of
        return not _missing(self._app, self._logs, self._path, row, number)


def _missing(app: App, task_logs: TaskLogs, path: Path, row: TaskRow, number: int) -> list[str]:
    """The attempts of a try of which a worker has still to send something."""
    if not task_logs.is_sent:
        return []
    attempts = app.read(lambda connection: list_attempts(connection, row.id))
    claimed = [each.id for each in attempts if each.try_number == number and each.claimed_at is not None]
    return task_logs.find(path).missing(claimed)


def _tell_missing(app: App, task_logs: TaskLogs, path: Path, row: TaskRow, number: int) -> None:
    if missing := _missing(app, task_logs, path, row, number):
        hosts = app.read(lambda connection: hosts_of(connection, missing))
        host = hosts.get(missing[-1], "its worker")
        click.echo(f"*** there is more of this log on {host}, which has not sent it yet", err=True)


def _tell_refusal(app: App, row: TaskRow, number: int, shown: bytes) -> None:
    """Say when a try failed although its process did not, where the end of the log does not know that."""
    attempts = app.read(lambda connection: list_attempts(connection, row.id))
    last = next((each for each in reversed(attempts) if each.try_number == number), None)
    if last is None or last.state != AttemptState.FAILED or last.exit_code != 0:
        return
    if " ".join(last.reason.splitlines()).encode() not in shown:
        click.echo(f"*** failed after the end of its process: {last.reason}", err=True)


def _refuse_missing(app: App, task_logs: TaskLogs, path: Path, row: TaskRow, number: int) -> None:
    """Say where a log is that is not here.

    :raises NotFound: when there is nothing of it.
    """
    log = task_logs.find(path)
    if log.size or log.whole:
        return
    attempts = app.read(lambda connection: list_attempts(connection, row.id))
    ours = [each.id for each in attempts if each.try_number == number]
    hosts = app.read(lambda connection: hosts_of(connection, ours))
    if host := next((hosts[each] for each in reversed(ours) if each in hosts and hosts[each] != host_name()), None):
        why = "nothing of it has been sent yet" if task_logs.is_sent else "[logs] remote does not say where it is sent"
        raise UsageError(
            f"There is no log of try {number} of the task {row.task_id!r} here: it ran on {host}, and {why}."
        )
    raise NotFound("log file", str(path))


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
