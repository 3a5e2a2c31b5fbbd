"""``tasks``: what tasks there are, how they stand in a run, and their logs."""

from __future__ import annotations

from typing import Any

import click

from clockmill.cli import lookup, task_attempts, task_clear, task_logs, task_mark, task_test
from clockmill.cli.app import App
from clockmill.cli.base import Group, pass_app
from clockmill.cli.output import output_option, show_rows
from clockmill.cli.params import map_index_option
from clockmill.state import TaskState
from clockmill.storage import runs
from clockmill.storage.task_lines import MappedLine, TaskLine, list_lines

_STATES_COLUMNS = ["task_id", "map_index", "state", "try_number", "start_date", "end_date", "instances"]
_INSTANCE_COLUMNS = ["task_id", "map_index", "label", "state", "try_number", "start_date", "end_date"]
_LIST_COLUMNS = ["task_id", "operator", "owner", "group", "upstream", "trigger_rule", "pool", "retries"]


@click.group(cls=Group)
def tasks() -> None:
    """Show, test, clear and mark tasks, and read their logs."""


for command in (
    task_clear.clear,
    task_mark.mark,
    task_attempts.attempts,
    task_logs.logs,
    task_test.test,
    task_test.render,
):
    tasks.add_command(command)


@tasks.command("list")
@click.argument("dag_id")
@output_option
@pass_app
def list_tasks(app: App, dag_id: str, output: str) -> None:
    """List the tasks of a DAG."""
    document = app.read(lambda connection: lookup.newest_document(connection, dag_id))
    rows = [{column: getattr(task, column) for column in _LIST_COLUMNS} for task in document.tasks]
    show_rows(rows, _LIST_COLUMNS, output)


@tasks.command("states-for-dag-run")
@click.argument("dag_id")
@click.argument("run_id")
@click.option("--state", type=click.Choice([each.value for each in TaskState]), help="Only tasks in this state.")
@click.option("--instances", is_flag=True, help="Each instance of a mapped task by itself.")
@output_option
@pass_app
def states_for_dag_run(app: App, dag_id: str, run_id: str, state: str | None, instances: bool, output: str) -> None:
    """List the tasks of a run with their states; a mapped task is one line, unless its instances are asked for."""
    run = app.read(lambda connection: lookup.the_run(connection, dag_id, run_id))
    states = [state] if state else []
    if instances:
        found = app.read(lambda connection: runs.load_tasks(connection, run.id))
        order = {row.task_id: row.id for row in reversed(found)}
        found = sorted(found, key=lambda row: (order[row.task_id], row.map_index))
        rows = [{column: getattr(row, column) for column in _INSTANCE_COLUMNS} for row in found]
        show_rows([row for row in rows if state in (None, row["state"])], _INSTANCE_COLUMNS, output)
        return
    lines = app.pages(
        lambda connection, after: list_lines(connection, run.id, states=states, after=after or 0),
        lambda line: line.id,
    )
    show_rows((_shown(line) for line in lines), _STATES_COLUMNS, output)


def _shown(line: TaskLine) -> dict[str, Any]:
    if isinstance(line, MappedLine):
        told: dict[str, Any] = {"map_index": None, "try_number": None, "instances": line.summary}
    else:
        told = {"map_index": line.map_index, "try_number": line.try_number, "instances": None}
    times = {"start_date": line.start_date, "end_date": line.end_date}
    return {"task_id": line.task_id, "state": line.state, **told, **times}


@tasks.command()
@click.argument("dag_id")
@click.argument("run_id")
@click.argument("task_id")
@map_index_option
@pass_app
def state(app: App, dag_id: str, run_id: str, task_id: str, map_index: int) -> None:
    """Print the state of a task in a run."""
    run = app.read(lambda connection: lookup.the_run(connection, dag_id, run_id))
    row = app.read(lambda connection: lookup.the_task(connection, run, task_id, map_index))
    click.echo(row.state.value)
